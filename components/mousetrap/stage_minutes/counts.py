"""Counts a worker's attempts, until its heartbeat takes the counts along."""

import time
from collections.abc import Callable, Mapping

import msgspec

from mousetrap.jobs import Done, Job, Outcome, RetryLater
from mousetrap.telemetry import Observer


class Counts(msgspec.Struct):
    """What one stage did in a worker since the last heartbeat; each field is one of `shapes.Minute`."""

    begun: int = 0
    done: int = 0
    failed: int = 0
    retried: int = 0
    wait_ms: int = 0
    run_ms: int = 0

    def add(self, other: "Counts") -> None:
        """Counts what the other has, too."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class StageCounts(Observer):
    """Counts attempts by stage, and notes which messages come later; it asks no server, and costs an attempt about a microsecond.

    `queues` are those of the stages, by pipeline and stage.
    """

    def __init__(
        self,
        queues: Mapping[tuple[str, str], str],
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queues = queues
        self._now = now
        self._clock = clock
        self._counts: dict[tuple[str, str], Counts] = {}
        #: When each attempt under way began, on `clock`.
        self._began: dict[str, float] = {}
        self._later: dict[str, dict[str, int]] = {}

    def take(self) -> dict[str, Counts]:
        """What was counted since the last time, by `pipeline.stage`."""
        counts, self._counts = self._counts, {}
        return {f"{pipeline}.{stage}": each for (pipeline, stage), each in counts.items()}

    def put_back(self, taken: Mapping[str, Counts]) -> None:
        """What was taken could not be recorded: the next who takes gets it."""
        for name, each in taken.items():
            pipeline, _, stage = name.partition(".")
            self._of(pipeline, stage).add(each)

    def take_later(self) -> dict[str, dict[str, int]]:
        """The messages that were delayed since the last time: by queue and job, when they are due, in ms since 1970."""
        later, self._later = self._later, {}
        return later

    def started(self, job: Job, since_ms: int) -> None:
        """The message has waited until now."""
        self._began[job.id] = self._clock()
        counts = self._of(job.pipeline, job.stage)
        counts.begun += 1
        if since_ms:
            now_ms = int(self._now() * 1000)
            # RabbitMQ notes whole seconds. To take those of both times is right in the mean: one alone would add half a second.
            if since_ms % 1000 == 0:
                now_ms -= now_ms % 1000
            counts.wait_ms += max(0, now_ms - since_ms)

    def ended(self, job: Job, outcome: Outcome) -> None:
        """The handler has run until now, unless it never began."""
        if (began := self._began.pop(job.id, None)) is not None:
            self._of(job.pipeline, job.stage).run_ms += int((self._clock() - began) * 1000)

    def recorded(self, job: Job, outcome: Outcome, decision: str) -> None:
        """Counts how the attempt ended."""
        if decision != "recorded":
            return
        counts = self._of(job.pipeline, job.stage)
        if isinstance(outcome, Done) and outcome.instead_of is msgspec.UNSET:
            counts.done += 1
        elif isinstance(outcome, RetryLater):
            counts.retried += 1
            self._note_later(self._queues.get((job.pipeline, job.stage), ""), job, outcome.after)
        else:
            counts.failed += 1

    def parked(self, job: Job, queue: str, seconds: float) -> None:
        """Its message comes again later."""
        self._note_later(queue, job, seconds)

    def lease_lost(self, job: Job) -> None:
        """It is stopped, and does not end."""
        self._began.pop(job.id, None)

    def cancelled(self, job: Job) -> None:
        """As above."""
        self._began.pop(job.id, None)

    def _note_later(self, queue: str, job: Job, seconds: float) -> None:
        if queue:
            self._later.setdefault(queue, {})[job.id] = int((self._now() + seconds) * 1000)

    def _of(self, pipeline: str, stage: str) -> Counts:
        counts = self._counts.get((pipeline, stage))
        if counts is None:
            counts = self._counts[pipeline, stage] = Counts()
        return counts
