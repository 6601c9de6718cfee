"""Decides what becomes of a failed attempt; pure, so that chance and the clock are arguments."""

from dataclasses import dataclass

from mousetrap.retry.backoff import doubled
from mousetrap.retry.errors import TimeLimitExceeded, TryAgain
from mousetrap.retry.policy import RetryPolicy

#: Seconds; the longest pause, whatever a policy or a server far away says.
_LONGEST = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Again:
    """Try once more when the pause is over."""

    #: Seconds.
    after: float


@dataclass(frozen=True, slots=True)
class WaitOut:
    """An outage: make the same attempt again later, as `wait_out` says, but not sooner than asked for."""

    #: Seconds.
    after: float


@dataclass(frozen=True, slots=True)
class Stop:
    """Give up: the reason is one of the fixed words that dead letters are grouped by."""

    reason: str


def judge(
    error: Exception, attempt: int, policy: RetryPolicy, chance: float, now: float
) -> Again | WaitOut | Stop:
    """Again, WaitOut or Stop, for attempt number `attempt` (1 is the first) that ended with `error`.

    `chance` is in [0, 1): it picks the pause evenly from zero to the backoff ("full jitter"), so that jobs which failed
    together do not come back together. `now` is in seconds since 1970. TryAgain, and an error with an attribute
    `retry_after` (seconds), as a server's Retry-After, set their own pause, of thirty days at most.
    """
    if (reason := _hopeless(error, policy)) is not None:
        return Stop(reason)
    if isinstance(error, policy.outages):
        return WaitOut(min(_asked_for(error, now) or 0.0, _LONGEST))
    if policy.attempts is not None and attempt >= policy.attempts:
        return Stop("max-retries")
    asked = _asked_for(error, now)
    longest = doubled(policy.base, min(policy.cap, _LONGEST), attempt - 1)
    return Again(chance * longest if asked is None else asked)


def wait_out(asked: float, waited: float, policy: RetryPolicy, chance: float) -> Again | Stop:
    """The pause before an attempt that met an outage is made again; `waited` is how long the outage has lasted, in seconds.

    We wait about as long again as it has lasted, at least half of that by chance, so that those who wait do not come back
    together; `asked` is the least pause that the error asked for.
    """
    if waited >= policy.outage_limit:
        return Stop("outage")
    longest = min(policy.cap, max(policy.base, waited), _LONGEST)
    return Again(max(asked, longest * (0.5 + chance / 2)))


def _hopeless(error: Exception, policy: RetryPolicy) -> str | None:
    """Why no repeat will mend it, if so."""
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
            return min(error.seconds(now), _LONGEST)
        after = getattr(error, "retry_after", None)
        return float(min(after, _LONGEST)) if isinstance(after, int | float) and after > 0 else None
    except BaseException:  # noqa: BLE001  attributes can be anything, and raise anything
        return None
