"""Dramatiq as a contender."""
