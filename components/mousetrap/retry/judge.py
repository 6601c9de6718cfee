"""Decides what becomes of a failed attempt; pure, so that chance is an argument."""

from dataclasses import dataclass

from mousetrap.retry.policy import RetryPolicy


@dataclass(frozen=True, slots=True)
class Again:
    """Try once more when the pause is over."""

    #: Seconds.
    after: float


@dataclass(frozen=True, slots=True)
class Stop:
    """Give up: the reason is one of the fixed words that dead letters are grouped by."""

    reason: str


def judge(error: Exception, attempt: int, policy: RetryPolicy, chance: float) -> Again | Stop:
    """Again or Stop, for attempt number `attempt` (1 is the first) that ended with `error`.

    `chance` is in [0, 1): it picks the pause evenly from zero to the backoff ("full jitter"), so that jobs which failed
    together do not come back together. An error with an attribute `retry_after` (seconds), as a server's Retry-After,
    sets its own pause.
    """
    if isinstance(error, policy.dont_retry_on) or not isinstance(error, policy.retry_on):
        return Stop("not-retryable")
    if attempt >= policy.attempts:
        return Stop("max-retries")
    return Again(_asked_for(error) or chance * _backoff(attempt, policy))


def _asked_for(error: Exception) -> float | None:
    after = getattr(error, "retry_after", None)
    return float(after) if isinstance(after, int | float) and after > 0 else None


def _backoff(attempt: int, policy: RetryPolicy) -> float:
    doublings = min(attempt - 1, 64)  # beyond this a float is far past any cap, and 2**n would only grow
    return min(policy.cap, policy.base * 2.0**doublings)
