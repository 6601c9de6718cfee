"""Starts, repeats and republishes runs, and bounds how many are accepted."""

from mousetrap.submit_run.intake import STORE_SHARE, WARN_SHARE, DeadLettersFull, Intake, IntakeBounds
from mousetrap.submit_run.rerun import RerunImpossible
from mousetrap.submit_run.run_ids import new_run_id, run_id_of_key
from mousetrap.submit_run.submitter import Accepted, Submitter, submit_run

__all__ = [
    "STORE_SHARE",
    "WARN_SHARE",
    "Accepted",
    "DeadLettersFull",
    "Intake",
    "IntakeBounds",
    "RerunImpossible",
    "Submitter",
    "new_run_id",
    "run_id_of_key",
    "submit_run",
]
