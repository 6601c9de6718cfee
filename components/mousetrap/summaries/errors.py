"""The error that says that the summaries' database does not do its part."""

from mousetrap.jobs import MousetrapError


class SummariesUnreachable(MousetrapError):
    """The database of summaries cannot be used: check that it runs, and that its address names it and a user who may write."""
