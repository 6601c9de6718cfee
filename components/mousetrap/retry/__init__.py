"""Again, when, or stop: judges a failed attempt from its error, its number and the stage's policy."""

from mousetrap.retry.backoff import Backoff
from mousetrap.retry.errors import Outage, TimeLimitExceeded, TryAgain
from mousetrap.retry.judge import Again, Stop, WaitOut, judge, wait_out
from mousetrap.retry.policy import BEGUN_IN_COMPANY, RetryPolicy
from mousetrap.retry.text import encodable, error_kind, error_text, error_traceback

__all__ = [
    "BEGUN_IN_COMPANY",
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
    "wait_out",
]
