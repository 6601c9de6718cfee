"""Submits runs with the caller's database transaction."""

from mousetrap.outbox.after_commit import after_commit
from mousetrap.outbox.batch import Submit
from mousetrap.outbox.database import Database, open_engine, place_of
from mousetrap.outbox.entry import Entry
from mousetrap.outbox.errors import OutboxRefused, OutboxUnreachable, PipelineUnknown, RowUnreadable
from mousetrap.outbox.relay import Relay
from mousetrap.outbox.rows import Passed, Refusal, Rows, Status, Taken, count_rows, open_rows
from mousetrap.outbox.set_aside import SetAside, discard_set_aside, list_set_aside, retry_set_aside
from mousetrap.outbox.submit_on_commit import submit_on_commit
from mousetrap.outbox.table import DEFAULT_TABLE, create_table, outbox_table

__all__ = [
    "DEFAULT_TABLE",
    "Database",
    "Entry",
    "OutboxRefused",
    "OutboxUnreachable",
    "Passed",
    "PipelineUnknown",
    "Refusal",
    "Relay",
    "RowUnreadable",
    "Rows",
    "SetAside",
    "Status",
    "Submit",
    "Taken",
    "after_commit",
    "count_rows",
    "create_table",
    "discard_set_aside",
    "list_set_aside",
    "open_engine",
    "open_rows",
    "outbox_table",
    "place_of",
    "retry_set_aside",
    "submit_on_commit",
]
