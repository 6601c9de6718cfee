"""Counts a worker's attempts, until its heartbeat takes the counts along."""

import time
from collections.abc import Callable, Mapping

import msgspec

from mousetrap.jobs import Done, Failure, Job, Outcome, RetryLater
from mousetrap.telemetry import Observer, waited_ms


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


class _Tally:
    """The same while it is counted, and whose it is."""

    __slots__ = ("begun", "done", "failed", "pipeline", "retried", "run_s", "stage", "wait_ms")

    def __init__(self, pipeline: str | None, stage: str | None) -> None:
        self.pipeline, self.stage = pipeline, stage
        self.begun = self.done = self.failed = self.retried = self.wait_ms = 0
        self.run_s = 0.0

    def counts(self) -> Counts:
        return Counts(
            self.begun, self.done, self.failed, self.retried, self.wait_ms, round(self.run_s * 1000)
        )


#: That of no stage.
_NONE = _Tally(None, None)


class StageCounts(Observer):
    """Counts a worker's attempts, by stage too, and notes which messages come later; it asks no server and, of jobs, no clock.

    Each job comes here three times, and most after one of their stage, whose tally is at hand.
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
        self._tallies: dict[tuple[str, str], _Tally] = {}
        #: The one that was used last.
        self._last = _NONE
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
        tallies, self._tallies, self._last = self._tallies, {}, _NONE
        return {f"{it.pipeline}.{it.stage}": it.counts() for it in tallies.values()}

    def put_back(self, taken: Mapping[str, Counts]) -> None:
        """What was taken could not be recorded: the next who takes gets it."""
        for name, each in taken.items():
            pipeline, _, stage = name.partition(".")
            tally = self._of(pipeline, stage)
            tally.begun += each.begun
            tally.done += each.done
            tally.failed += each.failed
            tally.retried += each.retried
            tally.wait_ms += each.wait_ms
            tally.run_s += each.run_ms / 1000
            self._done_before -= each.done

    def take_later(self) -> dict[str, dict[str, int]]:
        """The messages that were delayed since the last time: by queue and job, when they are due, in ms since 1970."""
        later, self._later = self._later, {}
        return later

    def started(self, job: Job, since_ms: int, now_s: float) -> None:
        """The message has waited until now."""
        tally = self._last
        if tally.stage != job.stage or tally.pipeline != job.pipeline:
            tally = self._of(job.pipeline, job.stage)
        tally.begun += 1
        tally.wait_ms += waited_ms(job, since_ms, int((now_s + self._ahead_s) * 1000))

    def ended(self, job: Job, outcome: Outcome, ran_s: float) -> None:
        """The handler has run so long."""
        tally = self._last
        if tally.stage != job.stage or tally.pipeline != job.pipeline:
            tally = self._of(job.pipeline, job.stage)
        tally.run_s += ran_s

    def recorded(self, job: Job, outcome: Outcome, decision: str) -> None:
        """Counts how the attempt ended."""
        if decision != "recorded":
            return
        tally = self._last
        if tally.stage != job.stage or tally.pipeline != job.pipeline:
            tally = self._of(job.pipeline, job.stage)
        if isinstance(outcome, Done) and outcome.instead_of is msgspec.UNSET:
            tally.done += 1
        elif isinstance(outcome, RetryLater):
            tally.retried += 1
            self.failed += outcome.counted
            self._note_later(self.queues.get((job.pipeline, job.stage), ""), job, outcome.after)
        else:
            tally.failed += 1
            self.failed += 1

    def refused(self, queue: str, failure: Failure) -> None:
        """Counts a message that is given up without an attempt."""
        self.failed += 1

    def parked(self, job: Job, queue: str, seconds: float) -> None:
        """Its message comes again later."""
        self._note_later(queue, job, seconds)

    def _note_later(self, queue: str, job: Job, seconds: float) -> None:
        if queue:
            self._later.setdefault(queue, {})[job.id] = int((self._now() + seconds) * 1000)

    def _done_now(self) -> int:
        return sum(tally.done for tally in list(self._tallies.values()))

    def _measured(self) -> float:
        """How far the time of day is ahead of `clock`, in seconds: measured with each heartbeat, as it may be set."""
        return self._now() - self._clock()

    def _of(self, pipeline: str, stage: str) -> _Tally:
        tally = self._last = self._tallies.get((pipeline, stage)) or _Tally(pipeline, stage)
        return self._tallies.setdefault((pipeline, stage), tally)
