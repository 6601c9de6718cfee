"""Shows all workers and queues together."""

from collections import Counter
from collections.abc import Mapping, Sequence

from fastapi import APIRouter

from mousetrap import shapes
from mousetrap.api.access import may_read
from mousetrap.api.problems import NO_ACCESS, Kind, refusals
from mousetrap.api.queue_facts import Look, running_by_stage, serves, serving_by
from mousetrap.api.routes import Route
from mousetrap.api.services import WithQueueFacts

router = APIRouter(tags=["workers"], route_class=Route)


@router.get(
    "/cluster", dependencies=[may_read], responses=refusals(*NO_ACCESS, Kind.BROKER_AWAY, Kind.STORE_AWAY)
)
async def show_cluster(facts: WithQueueFacts) -> shapes.Cluster:
    """Workers, what they can run and run, what waits, and what each stage did in the last hour."""
    return _cluster(await facts.look(), await facts.last_hour())


def _cluster(look: Look, minutes: Mapping[str, tuple[shapes.Minute, ...]]) -> shapes.Cluster:
    serving = serving_by(lambda worker: worker.stages, look.workers)
    running = running_by_stage(look.workers)
    loads = tuple(
        _load(stage, queue, serving.get(stage, ()), running.get(stage, 0), minutes.get(stage, ()))
        for queue in look.queues
        for stage in queue.stages
    )
    return shapes.Cluster(
        workers=Counter(worker.state for worker in look.workers),
        slots=sum(worker.concurrency for worker in look.workers if serves(worker)),
        running=sum(worker.running for worker in look.workers if worker.state != "stale"),
        waiting=sum(queue.ready for queue in look.queues),
        delayed=sum(queue.delayed for queue in look.queues),
        dead=sum(queue.dead for queue in look.queues),
        stages=loads,
        paused={queue.name: queue.paused for queue in look.queues if queue.paused is not None},
        unserved=tuple(load.stage for load in loads if not load.workers),
    )


def _load(
    stage: str,
    queue: shapes.Queue,
    serving: Sequence[shapes.Worker],
    running: int,
    minutes: tuple[shapes.Minute, ...],
) -> shapes.StageLoad:
    return shapes.StageLoad(
        stage=stage,
        queue=queue.name,
        workers=len(serving),
        slots=sum(worker.concurrency for worker in serving),
        running=running,
        waiting=queue.ready,
        minutes=minutes,
    )
