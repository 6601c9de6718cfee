"""Shows how much waits in a queue, and for how long: the numbers by which workers are added and taken away."""

from fastapi import APIRouter

from mousetrap.api.access import may_read
from mousetrap.api.dead import KnownQueue
from mousetrap.api.problems import NO_ACCESS, refusals
from mousetrap.api.routes import Route
from mousetrap.api.services import WithServices
from mousetrap.shapes import Queue

router = APIRouter(tags=["queues"], route_class=Route)


@router.get(
    "/queues/{queue}",
    dependencies=[may_read],
    responses=refusals(*NO_ACCESS, "unknown-queue", "broker-away", "unroutable", "store-away"),
)
async def show_queue(queue: KnownQueue, services: WithServices) -> Queue:
    """How many jobs wait for a worker, and how long the oldest of them has. Looking takes no job and delays none."""
    backlog = await services.queue.backlog(queue)
    oldest = await services.registry.look(queue, backlog)
    return Queue(name=queue, ready=backlog.ready, oldest_seconds=oldest)
