"""The errors that have a meaning under every policy."""

from datetime import datetime


class TryAgain(Exception):
    """Raise it in a handler for another attempt: `after` so many seconds, or `at` a time with its zone.

    It counts as an attempt, and overrides `retry_on` and `dont_retry_on`. Raises ValueError unless one of the two is given.
    """

    def __init__(self, why: str = "", *, after: float | None = None, at: datetime | None = None) -> None:
        if (after is None) == (at is None):
            raise ValueError("TryAgain needs `after` (seconds) or `at` (a time), one of them")
        if at is not None and at.tzinfo is None:
            raise ValueError(f"TryAgain(at={at}) has no time zone: give one, as in datetime.now(UTC)")
        super().__init__(
            why or (f"again at {at.isoformat()}" if at is not None else f"again after {after:g} s")
        )
        self.after = after
        self.at = at

    def seconds(self, now: float) -> float:
        """The pause from `now` (seconds since 1970); 0 for a time that has passed."""
        pause = self.at.timestamp() - now if self.at is not None else self.after
        assert pause is not None
        return max(0.0, pause)


class Outage(Exception):
    """A dependency of the handler is away: a database that is down, a service that restarts.

    Raise it, or derive your own error from it. The attempt does not count: it is made again until the outage is over,
    within `RetryPolicy.outages` and `outage_limit`.
    """


class TimeLimitExceeded(TimeoutError):
    """An attempt took longer than its stage allows."""
