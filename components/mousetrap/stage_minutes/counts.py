"""Counts a worker's attempts, until its heartbeat takes the counts along."""

import time
from collections.abc import Callable, Mapping

import msgspec

from mousetrap.jobs import Done, Failure, Job, Outcome, RetryLater
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


#: The places in a stage's counts, as `Counts` has its fields.
_BEGUN, _DONE, _FAILED, _RETRIED, _WAIT_MS, _RUN_MS = range(6)


class StageCounts(Observer):
    """Counts a worker's attempts, by stage too, and notes which messages come later; it asks no server.

    Each job comes here three times: the three take less than a microsecond, so they read one clock, and write to a list.
    """

    def __init__(
        self, now: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic
    ) -> None:
        #: The queues of the stages, by pipeline and stage.
        self.queues: Mapping[tuple[str, str], str] = {}
        #: Attempts that failed since it started; an outage of what the handler depends on is no failure of its own.
        self.failed = 0
        self._done_before = 0
        self._now = now
        self._clock = clock
        self._counts: dict[tuple[str, str], list[float]] = {}
        #: When each attempt under way began, on `clock`.
        self._began: dict[str, float] = {}
        self._later: dict[str, dict[str, int]] = {}
        self._ahead_s = self._measured()

    @property
    def done(self) -> int:
        """Attempts that succeeded since it started."""
        return self._done_before + self._done_now()

    def take(self) -> dict[str, Counts]:
        """What was counted since the last time, by `pipeline.stage`."""
        self._ahead_s = self._measured()
        self._done_before += self._done_now()
        counts, self._counts = self._counts, {}
        return {f"{pipeline}.{stage}": Counts(*map(int, each)) for (pipeline, stage), each in counts.items()}

    def put_back(self, taken: Mapping[str, Counts]) -> None:
        """What was taken could not be recorded: the next who takes gets it."""
        for name, each in taken.items():
            pipeline, _, stage = name.partition(".")
            counts = self._of((pipeline, stage))
            for place, value in enumerate(msgspec.structs.astuple(each)):
                counts[place] += value
            self._done_before -= each.done

    def take_later(self) -> dict[str, dict[str, int]]:
        """The messages that were delayed since the last time: by queue and job, when they are due, in ms since 1970."""
        later, self._later = self._later, {}
        return later

    def started(self, job: Job, since_ms: int) -> None:
        """The message has waited until now."""
        now_s = self._began[job.id] = self._clock()
        counts = self._counts.get((job.pipeline, job.stage)) or self._of((job.pipeline, job.stage))
        counts[_BEGUN] += 1
        if since_ms:
            now_ms = int((now_s + self._ahead_s) * 1000)
            # RabbitMQ notes whole seconds. To take those of both times is right in the mean: one alone would add half a second.
            if not since_ms % 1000:
                now_ms -= now_ms % 1000
            if now_ms > since_ms:
                counts[_WAIT_MS] += now_ms - since_ms

    def ended(self, job: Job, outcome: Outcome) -> None:
        """The handler has run until now, unless it never began."""
        if (began := self._began.pop(job.id, None)) is not None:
            counts = self._counts.get((job.pipeline, job.stage)) or self._of((job.pipeline, job.stage))
            counts[_RUN_MS] += (self._clock() - began) * 1000

    def recorded(self, job: Job, outcome: Outcome, decision: str) -> None:
        """Counts how the attempt ended."""
        if decision != "recorded":
            return
        counts = self._counts.get((job.pipeline, job.stage)) or self._of((job.pipeline, job.stage))
        if isinstance(outcome, Done) and outcome.instead_of is msgspec.UNSET:
            counts[_DONE] += 1
        elif isinstance(outcome, RetryLater):
            counts[_RETRIED] += 1
            self.failed += outcome.counted
            self._note_later(self.queues.get((job.pipeline, job.stage), ""), job, outcome.after)
        else:
            counts[_FAILED] += 1
            self.failed += 1

    def refused(self, queue: str, failure: Failure) -> None:
        """Counts a message that is given up without an attempt."""
        self.failed += 1

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

    def _done_now(self) -> int:
        return int(sum(counts[_DONE] for counts in list(self._counts.values())))

    def _measured(self) -> float:
        """How far the time of day is ahead of `clock`, in seconds: measured with each heartbeat, as it may be set."""
        return self._now() - self._clock()

    def _of(self, stage: tuple[str, str]) -> list[float]:
        return self._counts.setdefault(stage, [0, 0, 0, 0, 0, 0])
