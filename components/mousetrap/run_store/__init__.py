"""Keeps the state of runs and jobs in Valkey or Redis."""

from mousetrap.run_store.claim_replies import (
    Busy,
    Claim,
    Decided,
    FanLate,
    Fired,
    Forgotten,
    Granted,
    Limited,
    Locked,
    Over,
    Unsigned,
)
from mousetrap.run_store.damage import read_json
from mousetrap.run_store.decode_run import StoredRun
from mousetrap.run_store.fans import ChildOutput
from mousetrap.run_store.info import StoreInfo
from mousetrap.run_store.listed_jobs import JobFilter, JobPlace, with_letters
from mousetrap.run_store.packed.openings import NewRun
from mousetrap.run_store.records import record_keys
from mousetrap.run_store.requests import (
    ClaimRequest,
    Decision,
    DecisionRequest,
    Exchanged,
    FanOpening,
    KeyTwice,
    OpenedFan,
    Window,
)
from mousetrap.run_store.run_filter import RunFilter
from mousetrap.run_store.signed_records import Opening
from mousetrap.run_store.standing import Holder, Standing
from mousetrap.run_store.store import RunStore, open_store
from mousetrap.run_store.submissions import Opened, RunConflict, Terms
from mousetrap.run_store.work import Kept

__all__ = [
    "Busy",
    "ChildOutput",
    "Claim",
    "ClaimRequest",
    "Decided",
    "Decision",
    "DecisionRequest",
    "Exchanged",
    "FanLate",
    "FanOpening",
    "Fired",
    "Forgotten",
    "Granted",
    "Holder",
    "JobFilter",
    "JobPlace",
    "Kept",
    "KeyTwice",
    "Limited",
    "Locked",
    "NewRun",
    "Opened",
    "OpenedFan",
    "Opening",
    "Over",
    "RunConflict",
    "RunFilter",
    "RunStore",
    "Standing",
    "StoreInfo",
    "StoredRun",
    "Terms",
    "Unsigned",
    "Window",
    "open_store",
    "read_json",
    "record_keys",
    "with_letters",
]
