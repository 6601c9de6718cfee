"""Again, when, or stop: judges a failed attempt from its error, its number and the stage's policy."""

from mousetrap.retry.judge import Again, Stop, judge
from mousetrap.retry.policy import RetryPolicy

__all__ = ["Again", "RetryPolicy", "Stop", "judge"]
