"""FastStream as a contender."""
