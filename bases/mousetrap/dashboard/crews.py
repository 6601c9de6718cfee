"""Judges what workers do for each other's stages."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from mousetrap.shapes import Worker

#: The states in which a worker runs jobs.
_RUN = ("serving", "stuck")


def replaced(workers: Iterable[Worker]) -> frozenset[str]:
    """The names of silent workers of which each stage has a worker that started after their last beat."""
    every = list(workers)
    newest: dict[str, int] = {}
    for worker in every:
        if worker.state == "serving":
            for stage in worker.stages:
                newest[stage] = max(worker.started_ms, newest.get(stage, 0))
    return frozenset(
        it.name
        for it in every
        if it.state == "stale" and all(newest.get(stage, -1) > it.seen_ms for stage in it.stages)
    )


def taken_by(queue: str, stages: Sequence[str], workers: Iterable[Worker]) -> Mapping[str, int]:
    """What takes all slots of a queue's workers, by stage, the most first; nothing where one is free or runs a job of the queue."""
    crew = [it for it in workers if it.state in _RUN and queue in it.queues]
    taken = Counter[str]()
    for worker in crew:
        taken.update(worker.running_by_stage)
    if any(it.running < it.concurrency for it in crew) or any(taken[stage] for stage in stages):
        return {}
    return dict(taken.most_common())
