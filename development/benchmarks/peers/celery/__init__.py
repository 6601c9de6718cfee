"""Celery as a contender."""
