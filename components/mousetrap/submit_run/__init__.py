"""Starts a run: records it, publishes its first job, and waits until the broker has that for good."""

from mousetrap.submit_run.intake import STORE_SHARE, WARN_SHARE, DeadLettersFull, Intake, IntakeBounds
from mousetrap.submit_run.republish import republish
from mousetrap.submit_run.rerun import RerunImpossible, rerun
from mousetrap.submit_run.run_ids import new_run_id, run_id_of_key
from mousetrap.submit_run.submit import Accepted, submit_run

__all__ = [
    "STORE_SHARE",
    "WARN_SHARE",
    "Accepted",
    "DeadLettersFull",
    "Intake",
    "IntakeBounds",
    "RerunImpossible",
    "new_run_id",
    "republish",
    "rerun",
    "run_id_of_key",
    "submit_run",
]
