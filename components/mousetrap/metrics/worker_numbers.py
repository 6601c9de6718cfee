"""Counts what happens to a worker's jobs, for Prometheus."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from msgspec import UNSET
from prometheus_client.core import Metric

from mousetrap.jobs import Done, GiveUp, Job, Outcome, RetryLater
from mousetrap.metrics import names
from mousetrap.metrics.families import Labels, blocked, build_info, connected, histogram, numbers
from mousetrap.metrics.names import OTHER
from mousetrap.metrics.times import Times
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.telemetry import Observer, waited_ms

#: The reasons of dead letters. Another one is counted as `other`: a record of the store can hold any.
REASONS = (
    "contract",
    "crash-loop",
    "fan-changed",
    "fan-forgotten",
    "fan-late",
    "fan-stalled",
    "fan-too-wide",
    "lock-held",
    "max-retries",
    "not-retryable",
    "outage",
    "payload-altered",
    "payload-missing",
    "payload-unusable",
    "serializer",
    "signature",
    "stale",
    "store-damaged",
    "store-signature",
    "timeout",
    "too-large",
    "undecodable",
    "unknown-stage",
    "wire-version",
    OTHER,
)
#: How an attempt ends. `outage`: what it depends on is away, and it is made again. `lost`: another worker has the job.
#: `unlocked`: its lock was lost. `over`: its run had ended before. `cancelled`: its run was ended while it ran.
OUTCOMES = ("finished", "retrying", "gave_up", "outage", "lost", "unlocked", "over", "cancelled")
#: How runs end that a worker ends.
ENDS = ("completed", "failed", "expired")
#: What the store answered to an outcome that it did not take.
_REFUSED = {"stale": "lost", "unlocked": "unlocked", "over": "over"}
#: Seconds between two looks at how late the event loop is.
_LAG_INTERVAL_S = 0.25


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """What a worker is at this moment."""

    slots: int
    #: Messages that wait for one, by queue.
    prefetched: Mapping[str, int]
    hung: int
    #: Whether broker and store answered the last check, and how often they ceased to.
    connected: Mapping[str, bool]
    outages: Mapping[str, int]
    blocked: bool
    #: Seconds that the store took for the last heartbeat.
    beat_s: float


class _StageNumbers:
    __slots__ = ("is_end", "outcomes", "wait", "work")

    def __init__(self, is_end: bool) -> None:
        #: Whether a run is complete once a job of it that is in no fan is done.
        self.is_end = is_end
        self.outcomes = dict.fromkeys(OUTCOMES, 0)
        self.work, self.wait = Times(), Times()


class _PipelineNumbers:
    __slots__ = ("ends", "seconds")

    def __init__(self) -> None:
        self.ends = dict.fromkeys(ENDS, 0)
        self.seconds = Times()


class WorkerNumbers(Observer):
    """The counts of one worker. Its event loop counts; any thread may collect."""

    def __init__(
        self,
        facts: Callable[[], WorkerFacts],
        version: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._facts = facts
        self._version = version
        self._clock = clock
        self._now = now
        self._stages: dict[Labels, _StageNumbers] = {}
        self._pipelines: dict[str, _PipelineNumbers] = {}
        self._published: dict[str, int] = {}
        self._letters: dict[Labels, int] = {}
        #: The stage's numbers of each handler that runs, by the job's id. One that is lost with its task stays until its job comes
        #: again; there are as many as jobs run at once.
        self._begun: dict[str, _StageNumbers] = {}
        self._lag = Times()

    def declare(self, pipeline: Pipeline, stage: Stage) -> None:
        """Counts the jobs of a stage from now on; those of others are not counted. All series are there at once, as zeros."""
        is_end = not pipeline.followers(stage) and pipeline.opened_by(stage) is None
        self._stages[pipeline.name, stage.name] = _StageNumbers(is_end)
        self._pipelines.setdefault(pipeline.name, _PipelineNumbers())
        for each in pipeline.stages:
            self._published.setdefault(each.queue, 0)
        self._letters.update({(stage.queue, reason): 0 for reason in REASONS})

    def started(self, job: Job, since_ms: int, now_s: float) -> None:
        """Its wait is over; its attempt runs."""
        if (stage := self._stages.get((job.pipeline, job.stage))) is None:
            return
        self._begun[job.id] = stage
        if since_ms:
            stage.wait.add(waited_ms(job, since_ms, int(self._now() * 1000)) / 1000)

    def ended(self, job: Job, outcome: Outcome, ran_s: float) -> None:
        """Its handler's time is known."""
        if (stage := self._begun.pop(job.id, None)) is not None:
            stage.work.add(ran_s)

    def recorded(self, job: Job, outcome: Outcome, decision: str) -> None:
        """Counts the attempt, and a run that has ended with it."""
        if (stage := self._stages.get((job.pipeline, job.stage))) is None:
            return
        if decision != "recorded":
            stage.outcomes[_REFUSED[decision]] += 1
            return
        stage.outcomes[_outcome_word(outcome)] += 1
        if not job.fans and (end := _end_of(outcome, stage.is_end)):
            self._count_end(job, end)

    def run_ended(self, job: Job, state: str) -> None:
        """Counts a run that has ended in a fan-out, or before a job of it began."""
        if (job.pipeline, job.stage) in self._stages:
            self._count_end(job, state)

    def _count_end(self, job: Job, end: str) -> None:
        run = self._pipelines[job.pipeline]
        run.ends[end] += 1
        run.seconds.add(max(0.0, self._now() - job.accepted_ms / 1000))

    def lease_lost(self, job: Job) -> None:
        """Another worker has it."""
        self._stopped(job, "lost")

    def cancelled(self, job: Job) -> None:
        """Its run has ended."""
        self._stopped(job, "cancelled")

    def published(self, job: Job, queue: str) -> None:
        """Another message."""
        if queue in self._published:
            self._published[queue] += 1

    def buried(self, job: Job | None, queue: str, reason: str) -> None:
        """Another dead letter."""
        known = (queue, reason) if (queue, reason) in self._letters else (queue, OTHER)
        if known in self._letters:
            self._letters[known] += 1

    async def watch_loop(self) -> None:
        """Measures how late the event loop is, until it is cancelled."""
        while True:
            due = self._clock() + _LAG_INTERVAL_S
            await asyncio.sleep(_LAG_INTERVAL_S)
            self._lag.add(max(0.0, self._clock() - due))

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment."""
        stages, pipelines, facts = dict(self._stages), dict(self._pipelines), self._facts()
        outcomes = {(*at, word): count for at, it in stages.items() for word, count in it.outcomes.items()}
        begun = list(self._begun.values())
        running = {place: begun.count(stage) for place, stage in stages.items()}
        yield numbers(names.ATTEMPTS, outcomes)
        yield histogram(names.ATTEMPT_SECONDS, {place: it.work for place, it in stages.items()})
        yield histogram(names.QUEUE_WAIT_SECONDS, {place: it.wait for place, it in stages.items()})
        yield numbers(names.ATTEMPTS_RUNNING, running)
        yield numbers(
            names.RUNS, {(at, end): n for at, it in pipelines.items() for end, n in it.ends.items()}
        )
        yield histogram(names.RUN_SECONDS, {(name,): it.seconds for name, it in pipelines.items()})
        yield numbers(names.PUBLISHED, {(queue,): count for queue, count in list(self._published.items())})
        yield numbers(names.DEAD_LETTERS, dict(self._letters))
        yield histogram(names.LOOP_LAG_SECONDS, {(): self._lag})
        yield from self._of_facts(facts)

    def _of_facts(self, facts: WorkerFacts) -> Iterator[Metric]:
        yield numbers(names.SLOTS, {(): facts.slots})
        queues = dict.fromkeys([queue for queue, _ in list(self._letters)], 0)
        held = {queue: facts.prefetched.get(queue, 0) for queue in queues}
        yield numbers(names.PREFETCHED, {(queue,): count for queue, count in held.items()})
        yield numbers(names.HUNG_HANDLERS, {(): facts.hung})
        yield connected(facts.connected)
        yield numbers(names.OUTAGES, {(to,): count for to, count in facts.outages.items()})
        yield blocked(facts.blocked)
        yield numbers(names.HEARTBEAT_SECONDS, {(): facts.beat_s})
        yield build_info(self._version)

    def _stopped(self, job: Job, word: str) -> None:
        self._begun.pop(job.id, None)
        if (stage := self._stages.get((job.pipeline, job.stage))) is not None:
            stage.outcomes[word] += 1


def _outcome_word(outcome: Outcome) -> str:
    match outcome:
        case Done():
            return "finished" if outcome.instead_of is UNSET else "gave_up"
        case RetryLater():
            return "retrying" if outcome.counted else "outage"
        case GiveUp():
            return "gave_up"


def _end_of(outcome: Outcome, is_end: bool) -> str | None:
    """What the outcome of a job in no fan means for its run; None where that goes on."""
    if isinstance(outcome, GiveUp):
        return "failed"
    if not isinstance(outcome, Done):
        return None
    ends = is_end if outcome.next is UNSET else outcome.ends_way
    return "completed" if ends else None
