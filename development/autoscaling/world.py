"""Simulates a queue and the workers that an autoscaler gives it."""

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from autoscaling.scaler import SYNC_S, Numbers, Scaler

#: Seconds between two beats of a worker: what runs, and how far its queue has come, is known as of the last one.
BEAT_S = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A job: when it came, and the seconds that it holds a slot."""

    arrived_s: float
    takes_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """What a worker is like."""

    slots: int = 10
    #: Jobs that it holds, running or taken ahead.
    held: int = 20
    #: Seconds from the decision to its first job, and those in which it may finish what it runs.
    start_s: float = 20.0
    grace_s: float = 25.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The world at a decision of the autoscaler."""

    at_s: float
    ready: int
    oldest_s: float
    #: Workers that were decided for, and those that take jobs.
    replicas: int
    serving: int


@dataclass
class Report:
    """What happened."""

    samples: list[Sample] = field(default_factory=list)
    #: Seconds that each job waited before it began, in the order of their ends.
    waited_s: list[float] = field(default_factory=list)
    #: Jobs whose worker's grace was over before they were: they go back, and begin again elsewhere.
    handed_back: int = 0
    #: When nothing waited any more, and when something did again.
    empty_s: list[float] = field(default_factory=list)
    stopped_busy: int = 0


@dataclass(eq=False)
class _Worker:
    state: str = "starting"
    running: set[Job] = field(default_factory=set)
    ahead: deque[Job] = field(default_factory=deque)


class World:
    """One queue in simulated time. `oldest_seconds` is exact, as on the embedded queue, or what RabbitMQ's workers can know."""

    def __init__(
        self, plant: Plant, scaler: Scaler, chance: Random, *, workers: int = 1, is_exact: bool = True
    ) -> None:
        self.report = Report()
        self._plant = plant
        self._scaler = scaler
        self._chance = chance
        self._is_exact = is_exact
        self._now_s = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._queue: deque[Job] = deque()
        self._workers = [_Worker("serving") for _ in range(workers)]
        self._turn = 0
        self._taken_s = self._mark_s = 0.0
        self._running = self._left = 0
        #: Between these times the API cannot be asked.
        self.api_away_s = (0.0, 0.0)

    def run(self, jobs: Sequence[Job], until_s: float) -> Report:
        """Lets the jobs come, and ends at this time."""
        self._left = len(jobs)
        for job in jobs:
            self._at(job.arrived_s, lambda job=job: self._arrive(job))  # type: ignore[misc]
        self._at(0.0, self._beat)
        self._at(0.0, self._decide)
        self._at(0.0, self._poll)
        while self._events[0][0] <= until_s:
            self._step()
        self._now_s = until_s
        return self.report

    def finish(self) -> Report:
        """Goes on until all jobs are done."""
        while self._left:
            self._step()
        return self.report

    def numbers(self) -> Numbers | None:
        """What the API answers for the queue; None while it cannot be asked."""
        if self.api_away_s[0] <= self._now_s < self.api_away_s[1]:
            return None
        since_s = self._queue[0].arrived_s if self._queue and self._is_exact else self._mark_s
        oldest_s = self._now_s - since_s if self._queue else 0.0
        return {"ready": len(self._queue), "oldest_seconds": oldest_s, "running": self._running}

    def _step(self) -> None:
        self._now_s, _, act = heapq.heappop(self._events)
        act()

    def _at(self, at_s: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (at_s, next(self._order), act))

    def _arrive(self, job: Job) -> None:
        self._queue.append(job)
        self._deliver()

    def _deliver(self) -> None:
        """Each worker with room in turn gets the job that came first."""
        while self._queue and (worker := self._next_with_room()):
            worker.ahead.append(self._queue.popleft())
            self._taken_s = max(self._taken_s, worker.ahead[-1].arrived_s)
            self._begin(worker)
            if not self._queue:
                self.report.empty_s.append(self._now_s)

    def _next_with_room(self) -> _Worker | None:
        for _ in self._workers:
            self._turn = (self._turn + 1) % len(self._workers)
            worker = self._workers[self._turn]
            if worker.state == "serving" and len(worker.ahead) + len(worker.running) < self._plant.held:
                return worker
        return None

    def _begin(self, worker: _Worker) -> None:
        while worker.ahead and len(worker.running) < self._plant.slots:
            job = worker.ahead.popleft()
            worker.running.add(job)
            begun_s = self._now_s
            self._at(begun_s + job.takes_s, lambda job=job, begun_s=begun_s: self._end(worker, job, begun_s))  # type: ignore[misc]

    def _end(self, worker: _Worker, job: Job, begun_s: float) -> None:
        if job not in worker.running:  # it was handed back
            return
        worker.running.remove(job)
        self._left -= 1
        self.report.waited_s.append(begun_s - job.arrived_s)
        if worker.state == "draining" and not worker.running:
            self._workers.remove(worker)
        elif worker.state == "serving":
            self._begin(worker)
            self._deliver()

    def _beat(self) -> None:
        """Workers report what runs, and how far they have come."""
        self._running = sum(len(it.running) for it in self._workers)
        self._mark_s = max(self._mark_s, self._taken_s if self._queue else self._now_s)
        self._at(self._now_s + BEAT_S, self._beat)

    def _decide(self) -> None:
        numbers = self.numbers()
        serving = sum(it.state == "serving" for it in self._workers)
        replicas = self._replicas
        oldest_s = self._now_s - self._queue[0].arrived_s if self._queue else 0.0
        self.report.samples.append(Sample(self._now_s, len(self._queue), oldest_s, replicas, serving))
        self._scale(self._scaler.decide(self._now_s, numbers, replicas, serving))
        self._at(self._now_s + SYNC_S, self._decide)

    def _poll(self) -> None:
        self._scale(self._scaler.poll(self._now_s, self.numbers(), self._replicas))
        self._at(self._now_s + self._scaler.rules.polling_s, self._poll)

    @property
    def _replicas(self) -> int:
        return sum(it.state != "draining" for it in self._workers)

    def _scale(self, replicas: int) -> None:
        for _ in range(replicas - self._replicas):
            worker = _Worker()
            self._workers.append(worker)
            self._at(self._now_s + self._plant.start_s, lambda worker=worker: self._serve(worker))  # type: ignore[misc]
        for _ in range(self._replicas - replicas):
            self._drain()

    def _serve(self, worker: _Worker) -> None:
        if worker.state == "starting" and worker in self._workers:
            worker.state = "serving"
            self._deliver()

    def _drain(self) -> None:
        """Kubernetes takes those that do not serve first, then any: it knows of no job."""
        starting = [it for it in self._workers if it.state == "starting"]
        worker = (
            starting[-1]
            if starting
            else self._chance.choice([it for it in self._workers if it.state == "serving"])
        )
        worker.state = "draining"
        self._give_back(worker.ahead)
        if not worker.running:
            self._workers.remove(worker)
            return
        self.report.stopped_busy += 1
        self._at(self._now_s + self._plant.grace_s, lambda: self._over(worker))

    def _over(self, worker: _Worker) -> None:
        """The grace is over: what runs still is handed back."""
        if worker in self._workers:
            self._workers.remove(worker)
            self.report.handed_back += len(worker.running)
            self._give_back(sorted(worker.running, key=lambda it: it.arrived_s))
            worker.running.clear()

    def _give_back(self, jobs: Sequence[Job] | deque[Job]) -> None:
        self._queue.extendleft(reversed(jobs))
        self._deliver()
