"""Keeps the earthquakes' summaries in a SQL database, each job's once, however often the job is repeated."""

from mousetrap.summaries.errors import SummariesUnreachable
from mousetrap.summaries.store import StoredSummary, Summaries, open_summaries

__all__ = ["StoredSummary", "Summaries", "SummariesUnreachable", "open_summaries"]
