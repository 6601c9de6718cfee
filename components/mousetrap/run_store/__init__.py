"""The state of runs and jobs in Valkey: every transition atomic, every key with a time-to-live."""

from mousetrap.run_store.claims import Busy, Claim, Decided, Forgotten, Granted, Locked, Over, Unsigned
from mousetrap.run_store.damage import read_json
from mousetrap.run_store.facts import StoreFacts
from mousetrap.run_store.reading import StoredRun
from mousetrap.run_store.records import Opening
from mousetrap.run_store.store import Decision, Opened, RunConflict, RunStore, open_store

__all__ = [
    "Busy",
    "Claim",
    "Decided",
    "Decision",
    "Forgotten",
    "Granted",
    "Locked",
    "Opened",
    "Opening",
    "Over",
    "RunConflict",
    "RunStore",
    "StoreFacts",
    "StoredRun",
    "Unsigned",
    "open_store",
    "read_json",
]
