"""The retry policy of a stage."""

from dataclasses import dataclass

from mousetrap.retry.errors import Outage

#: After so many crashes of its worker a job runs alone, so that a further crash can be attributed to it.
SHARED_CRASHES = 2
#: More crashes than any job has, within the range of the store's numbers.
_MAX_CRASHES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff with full jitter; the first attempt counts as one.

    Raises ValueError for numbers out of range and for errors that are not a tuple of classes, so that a wrong policy
    never reaches a worker.
    """

    #: Attempts in all, with the first one; None for no limit.
    attempts: int | None = 5
    #: Seconds; the longest pause before the second attempt. It doubles with each further one.
    base: float = 1.0
    #: Seconds; the longest pause that the backoff gives.
    cap: float = 300.0
    #: Errors worth another try.
    retry_on: tuple[type[Exception], ...] = (Exception,)
    #: Errors that every repeat would meet again; they override `retry_on` and `outages`.
    dont_retry_on: tuple[type[Exception], ...] = ()
    #: Errors that mean that a dependency is away. The attempt is made again and does not count; the pauses grow with the
    #: outage, from `base` to `cap`.
    outages: tuple[type[Exception], ...] = (Outage,)
    #: Seconds until a job is given up because of an outage; infinity for no limit.
    outage_limit: float = 7 * 86_400.0
    #: Whether an attempt that exceeded its stage's time limit is repeated.
    on_timeout: bool = True
    #: Crashes of its worker until the job is given up: two while it runs beside others, the rest alone.
    crashes: int = 5

    def __post_init__(self) -> None:
        for name in ("retry_on", "dont_retry_on", "outages"):
            _check_errors(name, getattr(self, name))
        for name in ("attempts", "crashes"):
            _check_whole(name, getattr(self, name))
        for name in ("base", "cap", "outage_limit"):
            _check_seconds(name, getattr(self, name))
        if self.attempts is not None and self.attempts < 1:
            raise ValueError(f"attempts is {self.attempts}: a job needs at least 1; None means no end")
        if not 0 < self.base <= self.cap:
            raise ValueError(f"base is {self.base} s and cap is {self.cap} s: need 0 < base <= cap")
        if not self.outage_limit > 0:
            raise ValueError(
                f"outage_limit is {self.outage_limit} s: need more than 0; infinity means no end"
            )
        if self.crashes <= SHARED_CRASHES:
            raise ValueError(
                f"crashes is {self.crashes}: need at least {SHARED_CRASHES + 1}, else a job would be given up "
                "for what another one did"
            )
        if self.crashes > _MAX_CRASHES:
            raise ValueError(f"crashes is {self.crashes}: need at most {_MAX_CRASHES}")


def _check_whole(name: str, number: object) -> None:
    if (isinstance(number, int) and not isinstance(number, bool)) or (name == "attempts" and number is None):
        return
    raise ValueError(f"{name} is {number!r}: write a whole number, as {name}=5")


def _check_seconds(name: str, seconds: object) -> None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise ValueError(f"{name} is {seconds!r}: write seconds, as {name}=2.5")  # noqa: TRY004


def _check_errors(name: str, errors: object) -> None:
    # Otherwise the first failure would find it, and every decision would fail.
    if not isinstance(errors, tuple) or not all(
        isinstance(each, type) and issubclass(each, BaseException) for each in errors
    ):
        raise ValueError(f"{name} is {errors!r}: need a tuple of classes of errors, as (OSError,)")
