"""How often and how patiently a stage's failed jobs are tried again."""

from dataclasses import dataclass

from mousetrap.retry.errors import Outage

#: A job whose worker died is begun twice beside others; only after that it runs alone, so that the guilty one is found.
BEGUN_IN_COMPANY = 2
#: More crashes than any job has, and a number that the store can take.
_MOST_CRASHES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff with full jitter; the first attempt counts as one.

    Raises ValueError at once when a number makes no sense, or errors are no tuple of classes, so that a wrong policy never
    reaches a worker.
    """

    #: Tries in all, the first one included; None for no end.
    attempts: int | None = 5
    #: Seconds; the longest pause before the second attempt. It doubles with each further one.
    base: float = 1.0
    #: Seconds; no pause that we choose is longer than this.
    cap: float = 300.0
    #: Errors worth another try.
    retry_on: tuple[type[Exception], ...] = (Exception,)
    #: Errors that every repeat would meet again; they win over `retry_on` and `outages`.
    dont_retry_on: tuple[type[Exception], ...] = ()
    #: Errors that say that what the handler depends on is away. Such an attempt is made again and does not count; the pauses
    #: grow with the outage, from `base` to `cap`.
    outages: tuple[type[Exception], ...] = (Outage,)
    #: Seconds until an outage that does not end is one no more, and the job is given up; infinity for no end.
    outage_limit: float = 7 * 86_400.0
    #: Whether an attempt that met its stage's time limit is worth another one.
    on_timeout: bool = True
    #: Workers that one attempt may kill before the job is given up: two in company, the rest alone.
    crashes: int = 5

    def __post_init__(self) -> None:
        for name in ("retry_on", "dont_retry_on", "outages"):
            _check_errors(name, getattr(self, name))
        if self.attempts is not None and self.attempts < 1:
            raise ValueError(f"attempts is {self.attempts}: a job needs at least 1; None means no end")
        if not 0 < self.base <= self.cap:
            raise ValueError(f"base is {self.base} s and cap is {self.cap} s: need 0 < base <= cap")
        if not self.outage_limit > 0:
            raise ValueError(
                f"outage_limit is {self.outage_limit} s: need more than 0; infinity means no end"
            )
        if self.crashes <= BEGUN_IN_COMPANY:
            raise ValueError(
                f"crashes is {self.crashes}: need at least {BEGUN_IN_COMPANY + 1}, else a job would be given up "
                "for what another one did"
            )
        if self.crashes > _MOST_CRASHES:
            raise ValueError(f"crashes is {self.crashes}: need at most {_MOST_CRASHES}")


def _check_errors(name: str, errors: object) -> None:
    # Found out by the first failure instead, it would fail the judgement of each attempt.
    if not isinstance(errors, tuple) or not all(
        isinstance(each, type) and issubclass(each, BaseException) for each in errors
    ):
        raise ValueError(f"{name} is {errors!r}: need a tuple of classes of errors, as (OSError,)")
