"""Decides whether and when a failed attempt is repeated."""

from dataclasses import dataclass

from mousetrap.retry.backoff import doubled
from mousetrap.retry.errors import TimeLimitExceeded, TryAgain
from mousetrap.retry.policy import RetryPolicy

#: The limit of every pause, also of one that a policy or a remote server asks for.
_MAX_PAUSE_S = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Again:
    """Make another attempt after the pause."""

    #: Seconds.
    after: float


@dataclass(frozen=True, slots=True)
class WaitOut:
    """An outage: make the same attempt again; `outage_pause` gives the pause, which is at least `after`."""

    #: Seconds.
    after: float


@dataclass(frozen=True, slots=True)
class Stop:
    """Give up. Dead letters are grouped by the reason, one of a few fixed words."""

    reason: str


def judge(
    error: Exception, attempt: int, policy: RetryPolicy, chance: float, now: float
) -> Again | WaitOut | Stop:
    """The decision on attempt number `attempt` (1 is the first), which ended with `error`.

    `chance` is in [0, 1): it picks the pause evenly from zero to the backoff ("full jitter"), so that jobs that failed
    together do not return together. `now` is in seconds since 1970. TryAgain, and an error with an attribute
    `retry_after` (seconds), as a server's Retry-After, set their own pause, of thirty days at most.
    """
    if (reason := _reason_to_stop(error, policy)) is not None:
        return Stop(reason)
    if isinstance(error, policy.outages):
        return WaitOut(min(_asked_for(error, now) or 0.0, _MAX_PAUSE_S))
    if policy.attempts is not None and attempt >= policy.attempts:
        return Stop("max-retries")
    asked = _asked_for(error, now)
    longest = doubled(policy.base, min(policy.cap, _MAX_PAUSE_S), attempt - 1)
    return Again(chance * longest if asked is None else asked)


def outage_pause(asked: float, waited: float, policy: RetryPolicy, chance: float) -> Again | Stop:
    """The pause before an attempt is made again after an outage that has lasted `waited` seconds.

    It is about as long as the outage so far, of which chance removes up to half, so that waiting jobs do not return
    together; `asked` is the shortest pause that the error asked for.
    """
    if waited >= policy.outage_limit:
        return Stop("outage")
    longest = min(policy.cap, max(policy.base, waited), _MAX_PAUSE_S)
    return Again(max(asked, longest * (0.5 + chance / 2)))


def _reason_to_stop(error: Exception, policy: RetryPolicy) -> str | None:
    """Why a repeat cannot succeed; None if it can."""
    if isinstance(error, TryAgain):
        return None
    if isinstance(error, TimeLimitExceeded) and not policy.on_timeout:
        return "timeout"
    if isinstance(error, policy.dont_retry_on):
        return "not-retryable"
    if not isinstance(error, (*policy.retry_on, *policy.outages)):
        return "not-retryable"
    return None


def _asked_for(error: Exception, now: float) -> float | None:
    try:
        if isinstance(error, TryAgain):
            return min(error.seconds(now), _MAX_PAUSE_S)
        after = getattr(error, "retry_after", None)
        return float(min(after, _MAX_PAUSE_S)) if isinstance(after, int | float) and after > 0 else None
    except BaseException:  # noqa: BLE001  attributes can be anything, and raise anything
        return None
