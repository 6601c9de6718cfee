"""The errors that mean something to the judgement, whatever a stage's policy says."""

from datetime import datetime


class TryAgain(Exception):
    """Raised by a handler that wants to be tried again: `after` so many seconds, or `at` a time with its zone.

    It counts as an attempt; `retry_on` and `dont_retry_on` do not matter. Raises ValueError unless one of the two is given.
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
        """The pause, when it is `now` (seconds since 1970); a time that has passed means at once."""
        pause = self.at.timestamp() - now if self.at is not None else self.after
        assert pause is not None
        return max(0.0, pause)


class Outage(Exception):
    """What the handler depends on is away: a database that is down, a service that is being restarted.

    Raise it, or make an error of yours a kind of it. The attempt does not count: it is made again until the outage is over,
    as `RetryPolicy.outages` and `outage_limit` say.
    """


class TimeLimitExceeded(TimeoutError):
    """An attempt took longer than its stage allows."""
