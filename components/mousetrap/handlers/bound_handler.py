"""A handler that is ready to run, wherever it runs."""

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field

from msgspec import UNSET, UnsetType

from mousetrap.blobs import Chunks, chunks_in_memory
from mousetrap.handlers.binding import Binding
from mousetrap.handlers.context import AttemptInfo, attempt_info
from mousetrap.handlers.hung import HungHandlers
from mousetrap.handlers.items import Children, CountedChildren
from mousetrap.handlers.on_failure import carried_on
from mousetrap.handlers.outcomes import forked, judged, waited_out
from mousetrap.handlers.progress_reporter import Report
from mousetrap.handlers.yields import Emit, drop_value
from mousetrap.jobs import LARGEST_PAYLOAD, Done, GiveUp, Job, Outcome, RetryLater
from mousetrap.pipeline import All, Pages, Pipeline, Stage
from mousetrap.retry import TimeLimitExceeded


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerHost:
    """What all handlers of one worker share."""

    #: Runs the sync handlers.
    threads: Executor
    hung: HungHandlers
    #: The worker's name.
    worker: str
    #: Keeps progress reports.
    report: Report
    #: Keeps what generator handlers yield.
    emit: Emit = field(default=drop_value)
    #: Bytes of an output.
    largest: int = LARGEST_PAYLOAD
    #: Takes the items of a fan-out's attempt.
    children: Callable[[AttemptInfo], Children] = field(default=lambda attempt: CountedChildren())
    #: The outputs that a join reads, by the ids of the run and of the job that opened the fan-out; None where there are none.
    gathered: Callable[[str, str], Pages | None] = field(default=lambda run_id, job_id: None)
    #: The chunks of a run's blobs, by the run's id.
    chunks: Callable[[str], Chunks] = field(default_factory=chunks_in_memory)
    #: A number in [0, 1) that spreads retries.
    chance: Callable[[], float] = field(default=random.random)
    #: Gets each error before it is judged, for those who need more of it than its text.
    raised: Callable[[BaseException], None] = field(default=lambda error: None)


class BoundHandler(ABC):
    """A binding whose dependencies are open.

    1. `run` reads the job's input under the stage's contract.
    2. It calls the handler, and stops it at the stage's timeout.
    3. It returns the outcome: done, retry later or give up.
    """

    def __init__(self, binding: Binding, host: HandlerHost) -> None:
        self.pipeline = binding.pipeline
        self.stage = binding.stage
        #: The stages that may follow this one, and those of which one takes this one's output as it is written.
        self.followers = binding.pipeline.followers(binding.stage)
        self.takers = binding.pipeline.takers(binding.stage)
        #: The names of those that each take it.
        self.forks = binding.pipeline.forks(binding.stage)
        #: What a job opens when it is done; None where at most one job follows.
        self.opens = binding.pipeline.opened_by(binding.stage)
        #: Whether a fan-out that its jobs are in has a time after which none of them begins.
        self.bounded = _is_bounded(binding.pipeline, binding.stage)
        #: Whether its jobs join children.
        self.gathers = isinstance(binding.stage.after, All)
        #: That stage, where no type has to select it; None after an end, and where children follow.
        self.next_stage = None if self.opens else self.follower()
        self._host = host

    def follower(self, chosen: str | UnsetType = UNSET) -> Stage | None:
        """The stage that takes an output: the `chosen` one, or else the only one that follows."""
        return self.pipeline.follower(self.stage, chosen)

    @abstractmethod
    async def run(self, job: Job, *, fence: int, lock_fence: int = 0) -> Outcome:
        """Makes one attempt. Raises CancelledError when the running task is cancelled, and nothing else."""

    def judged(self, error: BaseException, job: Job) -> Outcome:
        """The outcome of an attempt that ended with `error`."""
        self._host.raised(error)
        return judged(error, job.attempt, self.stage, self._host.chance(), time.time())

    def carried_on(self, given_up: GiveUp, job: Job) -> Done | GiveUp:
        """The outcome that the run goes on with, where the stage has one for a job that is given up; else the one that was given."""
        return forked(carried_on(given_up, job, self.stage, self.takers, self._host.largest), self.forks)

    def waited_out(self, outcome: RetryLater, waited_s: float) -> Outcome:
        """The outcome of an attempt that met an outage, which has lasted for so long."""
        return waited_out(outcome, waited_s, self.stage.retry, self._host.chance())

    def _timed_out(self, job: Job) -> Outcome:
        error = TimeLimitExceeded(f"the attempt took longer than its {self.stage.timeout:g} s")
        return self.judged(error, job)

    def _attempt(self, job: Job, fence: int, lock_fence: int) -> AttemptInfo:
        """The attempt that begins now, as data."""
        return attempt_info(job, self.stage, self._host.worker, (fence, lock_fence), time.monotonic())


def _is_bounded(pipeline: Pipeline, stage: Stage) -> bool:
    openers = {level.opener for level in pipeline.levels(stage)}
    return any(fan.within is not None for fan in pipeline.fans if fan.opener.name in openers)
