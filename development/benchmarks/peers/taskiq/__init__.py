"""Taskiq as a contender."""
