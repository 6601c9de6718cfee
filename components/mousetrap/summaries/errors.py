"""The errors that say that the summaries' database does not do its part."""

from mousetrap.jobs import MousetrapError
from mousetrap.retry import Outage


class SummariesUnreachable(MousetrapError, Outage):
    """The database of summaries is away or busy: check that it runs, and that its address names it. Another try may help."""


class SummariesRefused(MousetrapError):
    """The database of summaries answers, and refuses: check what it says, and what its user may do."""
