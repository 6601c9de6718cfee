"""Stores summaries of earthquakes in a SQL database, one per job."""

from mousetrap.summaries.database import parse as check_address
from mousetrap.summaries.errors import SummariesRefused, SummariesUnreachable
from mousetrap.summaries.migrate import migrate
from mousetrap.summaries.record import SummaryRecord, open_record
from mousetrap.summaries.store import StoredSummary, Summaries, open_summaries

__all__ = [
    "StoredSummary",
    "Summaries",
    "SummariesRefused",
    "SummariesUnreachable",
    "SummaryRecord",
    "check_address",
    "migrate",
    "open_record",
    "open_summaries",
]
