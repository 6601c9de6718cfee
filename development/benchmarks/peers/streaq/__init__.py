"""streaQ as a contender."""
