"""Shows queues: what waits in them, who takes it, and how fast."""

from typing import Annotated

from fastapi import APIRouter, Query

from mousetrap import shapes
from mousetrap.api.access import may_read
from mousetrap.api.known import PIPELINE_NAME, KnownQueue, find_pipeline
from mousetrap.api.problems import NO_ACCESS, Kind, refusals
from mousetrap.api.routes import Route
from mousetrap.api.services import WithQueueFacts, WithServices

router = APIRouter(tags=["queues"], route_class=Route)


@router.get(
    "/queues",
    dependencies=[may_read],
    responses=refusals(
        *NO_ACCESS,
        Kind.UNKNOWN_PIPELINE,
        Kind.PIPELINE_CONTRADICTED,
        Kind.INVALID_REQUEST,
        Kind.BROKER_AWAY,
        Kind.STORE_AWAY,
    ),
)
async def list_queues(
    facts: WithQueueFacts,
    services: WithServices,
    pipeline: Annotated[
        str | None, Query(pattern=PIPELINE_NAME, description="Only the queues of this one.")
    ] = None,
) -> tuple[shapes.Queue, ...]:
    """The queues of all known pipelines, or of one, by name.

    All who ask the same within a second get the same answer; no job is taken or delayed.
    """
    if pipeline is None:
        return (await facts.look()).queues
    found = await find_pipeline(pipeline, services)
    return (await facts.look(sorted({stage.queue for stage in found.stages}))).queues


@router.get(
    "/queues/{queue}",
    dependencies=[may_read],
    responses=refusals(*NO_ACCESS, Kind.UNKNOWN_QUEUE, Kind.BROKER_AWAY, Kind.STORE_AWAY),
)
async def show_queue(queue: KnownQueue, facts: WithQueueFacts) -> shapes.Queue:
    """How many jobs wait for a worker, how long the oldest of them has, and who takes them. Looking takes no job and delays none."""
    (shown,) = (await facts.look_at([queue])).queues
    return shown


@router.get(
    "/queues/{queue}/minutes",
    dependencies=[may_read],
    responses=refusals(*NO_ACCESS, Kind.UNKNOWN_QUEUE, Kind.INVALID_REQUEST, Kind.STORE_AWAY),
)
async def show_minutes(
    queue: KnownQueue, facts: WithQueueFacts, hours: Annotated[int, Query(ge=1, le=24)] = 24
) -> shapes.QueueMinutes:
    """What the queue's stages did in each minute of the last day, and how many jobs waited.

    Each worker counts its own attempts, and sends the counts with its heartbeat: they are five seconds late, and a worker that is
    killed takes its last ones along.
    """
    stages = facts.stages().get(queue, ())
    minutes = await facts.minutes.of_stages(stages, hours)
    return shapes.QueueMinutes(
        name=queue,
        stages=tuple(shapes.StageMinutes(stage=stage, minutes=minutes[stage]) for stage in stages),
        ready=await facts.minutes.of_queue(queue, hours),
    )
