"""Counts an API's requests, and shows its queues and workers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from prometheus_client.core import Metric

from mousetrap.metrics import names
from mousetrap.metrics.families import Labels, blocked, build_info, connected, histogram, numbers
from mousetrap.metrics.names import OTHER, Name
from mousetrap.metrics.times import Times
from mousetrap.shapes import Queue, WorkerState

#: Methods that have a series of their own.
_METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
#: Statuses that a route has series for from its first request on.
_STATUSES = ("2xx", "4xx", "5xx")


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What broker and store know at one moment; of one that is away, nothing."""

    #: Whether broker and store answer, and whether the broker lacks memory or disk.
    connected: Mapping[str, bool]
    blocked: bool
    queues: Sequence[Queue]
    #: How many workers are in each state.
    workers: Mapping[str, int] | None
    #: How many runs of each pipeline have not ended.
    runs: Mapping[str, int]
    #: How many schedules there are, and how many of them are late.
    schedules: tuple[int, int] | None = None
    #: How many jobs wait for limits, by the queue of their stage: of all that have one.
    limited: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Acts:
    """What an API has done since it started."""

    #: Runs that it ended, by pipeline and state.
    ended: Mapping[Labels, int]
    #: Dead letters that it sent round again, by queue.
    redriven: Mapping[str, int]


class ApiNumbers:
    """The counts of one API. Its event loop counts; any thread may collect."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._answers: dict[Labels, int] = {}
        self._seconds: dict[Labels, Times] = {}

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Counts a request. `route` is a template of ours, or empty for a path that none has."""
        place: Labels = (route or "none", method if method in _METHODS else OTHER)
        if (times := self._seconds.get(place)) is None:
            times = self._seconds[place] = Times()
            # All at once: of a series that begins with its first step, Prometheus does not see that step.
            self._answers.update({(*place, each): 0 for each in _STATUSES})
        answer: Labels = (*place, f"{status // 100}xx")
        self._answers[answer] = self._answers.get(answer, 0) + 1
        times.add(seconds)

    def collect(self, facts: ClusterFacts, acts: Acts, watchers: int) -> Iterator[Metric]:
        """The metrics of this moment."""
        for name, value in (
            (names.QUEUE_READY, "ready"),
            (names.QUEUE_OLDEST_SECONDS, "oldest_seconds"),
            (names.QUEUE_DEAD, "dead"),
            (names.QUEUE_DELAYED, "delayed"),
            (names.QUEUE_CONSUMERS, "consumers"),
            (names.QUEUE_WORKERS, "workers"),
        ):
            yield _of_queues(name, facts, value)
        yield numbers(
            names.QUEUE_PAUSED,
            {(it.name,): int(it.paused is not None) for it in facts.queues if not it.missing},
        )
        yield numbers(names.RUNS_OPEN, {(pipeline,): count for pipeline, count in facts.runs.items()})
        yield numbers(names.WORKERS, _by_state(facts.workers))
        yield numbers(names.HTTP_REQUESTS, dict(self._answers))
        yield histogram(names.HTTP_SECONDS, dict(self._seconds))
        for name, count in zip((names.SCHEDULES, names.SCHEDULES_LATE), facts.schedules or (), strict=False):
            yield numbers(name, {(): count})
        yield numbers(names.LIMITED, {(queue,): count for queue, count in facts.limited.items()})
        yield numbers(names.WATCHERS, {(): watchers})
        yield numbers(names.RUNS, acts.ended)
        yield numbers(names.REDRIVEN, {(queue,): count for queue, count in acts.redriven.items()})
        yield connected(facts.connected)
        yield blocked(facts.blocked)
        yield build_info(self._version)


def _by_state(workers: Mapping[str, int] | None) -> Mapping[Labels, float]:
    """A series for every state, so that none ends when its last worker leaves it; none without the store."""
    if workers is None:
        return {}
    return {(state,): workers.get(state, 0) for state in get_args(WorkerState)}


def _of_queues(name: Name, facts: ClusterFacts, value: str) -> Metric:
    return numbers(name, {(it.name,): getattr(it, value) for it in facts.queues if not it.missing})
