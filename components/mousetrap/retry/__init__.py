"""Again, when, or stop: judges a failed attempt from its error, its number and the stage's policy."""

from mousetrap.retry.errors import TimeLimitExceeded, TryAgain
from mousetrap.retry.judge import Again, Stop, judge
from mousetrap.retry.policy import BEGUN_IN_COMPANY, RetryPolicy

__all__ = ["BEGUN_IN_COMPANY", "Again", "RetryPolicy", "Stop", "TimeLimitExceeded", "TryAgain", "judge"]
