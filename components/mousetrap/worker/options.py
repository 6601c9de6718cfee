"""Holds the numbers of a worker."""

import random
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field

from mousetrap.retry import encodable
from mousetrap.signing import Keyring
from mousetrap.telemetry import Observer


def _handler_threads(most: int) -> Executor:
    return ThreadPoolExecutor(most, thread_name_prefix="handler")


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What a worker takes from its process; a simulation gives its own."""

    #: Seconds since 1970.
    now: Callable[[], float] = time.time
    #: A number in [0, 1) that spreads pauses.
    chance: Callable[[], float] = random.random
    #: Runs so many sync handlers at once.
    threads: Callable[[int], Executor] = _handler_threads
    #: Gets each error of a handler before it is judged.
    raised: Callable[[BaseException], None] = lambda error: None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """The numbers of a worker; the defaults suit handlers that wait more than they compute."""

    #: Unique among all workers; each timeline names it.
    name: str
    #: Jobs that run at once.
    concurrency: int = 10
    #: Up to so many while jobs wait; 0 for never more.
    concurrency_most: int = 0
    #: Messages taken from each queue before one of them is settled.
    prefetch: int = 20
    #: Seconds that a claim is good for; it is renewed each third of that.
    lease: float = 30.0
    #: Seconds to finish the running jobs after the first stop signal.
    grace: float = 25.0
    #: Children that one run may have.
    fan_most: int = 100_000
    #: Whether to end when the queues are empty.
    burst: bool = False
    keyring: Keyring = field(default_factory=Keyring)
    #: They get the events of its jobs, beside the log and the statistics.
    observers: tuple[Observer, ...] = ()
    runtime: Runtime = field(default_factory=Runtime)

    @property
    def most(self) -> int:
        """Jobs that may ever run at once."""
        return max(self.concurrency, self.concurrency_most)

    def __post_init__(self) -> None:
        # It goes to the store and the broker, and can contain a host name that is not text.
        object.__setattr__(self, "name", encodable(self.name))
