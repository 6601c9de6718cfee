"""A handler that is ready to run, wherever it runs."""

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field

from mousetrap.handlers.binding import Binding
from mousetrap.handlers.hung import HungHandlers
from mousetrap.handlers.outcomes import judged
from mousetrap.handlers.progress_reporter import Report
from mousetrap.jobs import Job, Outcome
from mousetrap.retry import TimeLimitExceeded


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerHost:
    """What all handlers of one worker share."""

    #: Runs the sync handlers.
    threads: Executor
    hung: HungHandlers
    #: Keeps progress reports.
    report: Report
    #: A number in [0, 1) that spreads retries.
    chance: Callable[[], float] = field(default=random.random)


class BoundHandler(ABC):
    """A binding whose dependencies are open.

    1. `run` reads the job's input under the stage's contract.
    2. It calls the handler, and stops it at the stage's timeout.
    3. It returns the outcome: done, retry later or give up.
    """

    def __init__(self, binding: Binding, host: HandlerHost) -> None:
        self.pipeline = binding.pipeline
        self.stage = binding.stage
        #: The stage that takes this one's output; None after the last.
        self.next_stage = binding.pipeline.after(binding.stage)
        self._host = host

    @abstractmethod
    async def run(self, job: Job, *, fence: int, lock_fence: int = 0) -> Outcome:
        """Makes one attempt. Raises CancelledError when the running task is cancelled, and nothing else."""

    def judged(self, error: BaseException, job: Job) -> Outcome:
        """The outcome of an attempt that ended with `error`."""
        return judged(error, job.attempt, self.stage, self._host.chance(), time.time())

    def _timed_out(self, job: Job) -> Outcome:
        error = TimeLimitExceeded(f"the attempt took longer than its {self.stage.timeout:g} s")
        return self.judged(error, job)

    def _deadline(self) -> float | None:
        """The deadline of an attempt that begins now, on time.monotonic()'s clock."""
        return time.monotonic() + self.stage.timeout if self.stage.timeout else None
