"""How often and how patiently a stage's failed jobs are tried again."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff with full jitter; the first attempt counts as one.

    Raises ValueError at once when a number makes no sense, so that a wrong policy never reaches a worker.
    """

    #: Tries in all, the first one included.
    attempts: int = 5
    #: Seconds; the longest pause before the second attempt. It doubles with each further one.
    base: float = 1.0
    #: Seconds; no pause that we choose is longer than this.
    cap: float = 300.0
    #: Errors worth another try.
    retry_on: tuple[type[Exception], ...] = (Exception,)
    #: Errors that no repeat will mend; they win over `retry_on`.
    dont_retry_on: tuple[type[Exception], ...] = ()

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts is {self.attempts}: a job needs at least 1")
        if not 0 < self.base <= self.cap:
            raise ValueError(f"base is {self.base} s and cap is {self.cap} s: need 0 < base <= cap")
