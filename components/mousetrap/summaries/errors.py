"""Errors of the summaries' database."""

from mousetrap.jobs import MousetrapError
from mousetrap.retry import Outage


class SummariesUnreachable(MousetrapError, Outage):
    """The database of summaries is unreachable or busy: check that it runs, and its address. Another try may help."""


class SummariesRefused(MousetrapError):
    """The database of summaries refuses: check its message and the rights of its user."""
