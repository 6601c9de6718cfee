"""Gathers what broker, store and workers know of queues."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from mousetrap import shapes
from mousetrap.control import Control
from mousetrap.jobs import Backlog, Queue, dead_queue
from mousetrap.known_pipelines import KnownPipelines
from mousetrap.run_store import RunStore
from mousetrap.shutdown import end_tasks
from mousetrap.stage_minutes import Minutes, Recent
from mousetrap.worker_registry import WorkerRegistry

#: Seconds for which an answer is kept to be shared, at most.
_KEPT_S = 10.0
#: A look is shared for so many times as long as it took, and for so many seconds at most.
_REST, _MOST_REST_S = 9.0, 5.0

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Look:
    """What is known of some queues at one moment."""

    queues: tuple[shapes.Queue, ...]
    workers: tuple[shapes.Worker, ...]
    #: The counts of their stages in the last five minutes.
    recent: Recent


@dataclass(frozen=True, slots=True)
class _Depth:
    """What the broker has of one queue."""

    backlog: Backlog
    dead: int = 0
    oldest_s: float = 0.0
    missing: bool = False


_MISSING = _Depth(Backlog(0, None), missing=True)


class _Asked:
    """A look that others share while it is under way, and for a time after its end."""

    def __init__(self, task: "asyncio.Task[Any]") -> None:
        self.task = task
        self._began_s = time.monotonic()
        self._ended_s: float | None = None
        task.add_done_callback(self._end)

    def age(self, now_s: float) -> float:
        """Since its end. Counted from its begin, one that takes longer than it is shared would be begun again beside itself."""
        return 0.0 if self._ended_s is None else now_s - self._ended_s

    def is_good(self, now_s: float, stale: float) -> bool:
        """Whether it answers who accepts what is so old; who accepts nothing old shares none."""
        return stale > 0 and self.age(now_s) <= max(stale, self._rest_s) and not _failed(self.task)

    @property
    def _rest_s(self) -> float:
        """So long it is shared at least: who watches 200 queues costs a tenth of a core, and gets older counts for it."""
        return 0.0 if self._ended_s is None else min(_REST * (self._ended_s - self._began_s), _MOST_REST_S)

    def _end(self, task: "asyncio.Task[Any]") -> None:
        _failed(task)
        self._ended_s = time.monotonic()


class QueueFacts:
    """Looks at queues: the broker, the workers' beats, and what they noted and counted.

    All who ask the same while it is asked, and within a second after, share one look; a slow one, as at 200 queues, for up to
    five seconds. It raises what broker and store raise.
    """

    def __init__(
        self,
        pipelines: KnownPipelines,
        queue: Queue,
        store: RunStore,
        registry: WorkerRegistry,
        control: Control,
    ) -> None:
        self._pipelines = pipelines
        self._queue = queue
        self._store = store
        self._registry = registry
        self._control = control
        self.minutes = Minutes(registry.client, registry.place)
        #: What was asked: all that a process is asked for within some seconds.
        self._asking: dict[tuple[str, ...], _Asked] = {}

    def stages(self) -> Mapping[str, tuple[str, ...]]:
        """The stages of each known queue, as `pipeline.stage`."""
        found: dict[str, tuple[str, ...]] = {}
        for name, pipeline in self._pipelines.items():
            for stage in pipeline.stages:
                found[stage.queue] = (*found.get(stage.queue, ()), f"{name}.{stage.name}")
        return found

    async def look(self, queues: Sequence[str] | None = None, *, stale: float = 1.0) -> Look:
        """These queues, or all known ones by name; one under way, or that ended within `stale` seconds, is shared."""
        names = tuple(sorted(self.stages()) if queues is None else queues)
        return await self._shared(("queues", *names), stale, lambda: self.look_at(names))

    async def last_hour(self) -> Mapping[str, tuple[shapes.Minute, ...]]:
        """The minutes of all known stages in the last hour; shared as above."""
        stages = sorted(stage for names in self.stages().values() for stage in names)
        return await self._shared(("hour", *stages), 1.0, lambda: self.minutes.of_stages(stages, 1))

    async def _shared(
        self, what: tuple[str, ...], stale: float, ask: Callable[[], Coroutine[Any, Any, Value]]
    ) -> Value:
        asked = self._asking.get(what)
        if asked is None or not asked.is_good(time.monotonic(), stale):
            # Those that no caller can share any more go, so that there are no more than are asked for within some seconds.
            now = time.monotonic()
            self._asking = {key: it for key, it in self._asking.items() if it.age(now) < _KEPT_S}
            asked = self._asking[what] = _Asked(asyncio.create_task(ask()))
        return await asyncio.shield(asked.task)

    async def look_at(self, queues: Sequence[str]) -> Look:
        """These queues, now."""
        of_queues = self.stages()
        stages = [stage for queue in queues for stage in of_queues.get(queue, ())]
        found, workers, later, recent, paused = await _together(
            self._depths(queues),
            self._workers(),
            self._store.count_later(queues),
            self.minutes.recent(stages, queues),
            self._control.paused(),
        )
        await self.minutes.add({}, {name: it.backlog.ready for name, it in found.items() if not it.missing})
        serving, running = serving_by(lambda worker: worker.queues, workers), running_by_stage(workers)
        shown = [
            _shown(
                queue,
                depth,
                delayed,
                serving.get(queue, ()),
                {stage: running.get(stage, 0) for stage in of_queues.get(queue, ())},
                recent,
                paused.get(queue),
            )
            for (queue, depth), delayed in zip(found.items(), later, strict=True)
        ]
        return Look(tuple(shown), workers, recent)

    async def _workers(self) -> tuple[shapes.Worker, ...]:
        """Shared by looks at different queues: to read 500 workers takes 8 ms of CPU, three quarters of a look at one queue."""
        return await self._shared(("workers",), 1.0, self._registry.workers)

    def forget(self) -> None:
        """Shares no earlier look any more: something was changed that it shows."""
        self._asking = {}

    async def aclose(self) -> None:
        """Ends the looks that are under way."""
        await end_tasks(*(asked.task for asked in self._asking.values()))

    async def _depths(self, queues: Sequence[str]) -> Mapping[str, _Depth]:
        """What the broker has of each; of one that is missing with its dead queue, or without it, nothing."""
        backlogs = await self._queue.backlogs([*queues, *map(dead_queue, queues)])
        there = {it: backlogs[it] for it in queues if it in backlogs and dead_queue(it) in backlogs}
        waited_s = await self._registry.look_at_each(there)
        return {
            it: _Depth(there[it], backlogs[dead_queue(it)].ready, waited_s[it]) if it in there else _MISSING
            for it in queues
        }


def serves(worker: shapes.Worker) -> bool:
    """Whether it takes jobs, or will once its broker is back."""
    return worker.state in ("serving", "waiting", "stuck")


def serving_by(
    names: Callable[[shapes.Worker], Iterable[str]], workers: Iterable[shapes.Worker]
) -> Mapping[str, Sequence[shapes.Worker]]:
    """Those that serve, by each of their queues or stages: to ask each of 500 workers for each of 200 took 50 ms."""
    found = defaultdict[str, list[shapes.Worker]](list)
    for worker in workers:
        if serves(worker):
            for name in dict.fromkeys(names(worker)):
                found[name].append(worker)
    return found


def running_by_stage(workers: Iterable[shapes.Worker]) -> Mapping[str, int]:
    """How many jobs of each stage run. Workers of earlier versions do not report it by stage: those of one stage alone count."""
    found = Counter[str]()
    for worker in workers:
        if worker.state == "stale":
            continue
        if worker.running_by_stage:
            found.update(worker.running_by_stage)
        elif len(worker.stages) == 1:
            found[worker.stages[0]] += worker.running
    return found


def _shown(
    queue: str,
    depth: _Depth,
    delayed: int,
    serving: Sequence[shapes.Worker],
    running: Mapping[str, int],
    recent: Recent,
    paused: shapes.Pause | None,
) -> shapes.Queue:
    minutes = recent.seconds / 60
    begun = sum(recent.counts[stage].begun for stage in running) / minutes
    before = recent.ready[queue]
    ready = depth.backlog.ready
    return shapes.Queue(
        name=queue,
        stages=tuple(running),
        missing=depth.missing,
        ready=ready,
        running=sum(running.values()),
        delayed=delayed,
        dead=depth.dead,
        consumers=depth.backlog.consumers,
        workers=len(serving),
        slots=sum(worker.concurrency for worker in serving),
        oldest_seconds=depth.oldest_s,
        out_per_minute=round(begun, 2),
        in_per_minute=None if before is None else round(max(0.0, begun + (ready - before) / minutes), 2),
        paused=paused,
    )


async def _together(*asked: Awaitable[Any]) -> Sequence[Any]:
    """The results of all. Raises the first error, and asks no more then."""
    tasks = [asyncio.ensure_future(each) for each in asked]
    try:
        return await asyncio.gather(*tasks)
    finally:
        await end_tasks(*tasks)


def _failed(looking: "asyncio.Task[Any]") -> bool:
    """Whether it ended with an error, which counts as seen now."""
    return looking.done() and (looking.cancelled() or looking.exception() is not None)
