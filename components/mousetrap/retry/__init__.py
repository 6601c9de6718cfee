"""Decides whether a failed attempt is repeated, and when."""

from mousetrap.retry.backoff import Backoff
from mousetrap.retry.errors import Outage, TimeLimitExceeded, TryAgain
from mousetrap.retry.judge import Again, Stop, WaitOut, judge, outage_pause
from mousetrap.retry.policy import SHARED_CRASHES, RetryPolicy
from mousetrap.retry.text import encodable, error_kind, error_text, error_traceback

__all__ = [
    "SHARED_CRASHES",
    "Again",
    "Backoff",
    "Outage",
    "RetryPolicy",
    "Stop",
    "TimeLimitExceeded",
    "TryAgain",
    "WaitOut",
    "encodable",
    "error_kind",
    "error_text",
    "error_traceback",
    "judge",
    "outage_pause",
]
