"""Starts, repeats and republishes runs, and bounds how many are accepted."""

from mousetrap.submit_run.gate import Gate, NotTried
from mousetrap.submit_run.intake import STORE_SHARE, WARN_SHARE, DeadLettersFull, Intake, IntakeBounds
from mousetrap.submit_run.options import OptionInvalid, SubmitOptions, delay_until
from mousetrap.submit_run.publication import Publication
from mousetrap.submit_run.rerun import RerunImpossible
from mousetrap.submit_run.start_options import (
    KEY_FORM,
    KEY_OWNER,
    RUN_ID_FORM,
    CommonOptions,
    PublishOptions,
    RunOptions,
    Span,
    StartOptions,
    check_identity,
    read_options,
    seconds,
)
from mousetrap.submit_run.submitter import (
    ABANDONED_S,
    Accepted,
    Submission,
    Submitter,
    new_run_id,
    run_id_of_key,
    submit_run,
)

__all__ = [
    "ABANDONED_S",
    "KEY_FORM",
    "KEY_OWNER",
    "RUN_ID_FORM",
    "STORE_SHARE",
    "WARN_SHARE",
    "Accepted",
    "CommonOptions",
    "DeadLettersFull",
    "Gate",
    "Intake",
    "IntakeBounds",
    "NotTried",
    "OptionInvalid",
    "Publication",
    "PublishOptions",
    "RerunImpossible",
    "RunOptions",
    "Span",
    "StartOptions",
    "Submission",
    "SubmitOptions",
    "Submitter",
    "check_identity",
    "delay_until",
    "new_run_id",
    "read_options",
    "run_id_of_key",
    "seconds",
    "submit_run",
]
