"""Shows the workers: who is alive, what they serve and run."""

from fastapi import APIRouter

from mousetrap.api.access import may_read
from mousetrap.api.problems import NO_ACCESS, refusals
from mousetrap.api.routes import Route
from mousetrap.api.services import WithRegistry
from mousetrap.shapes import Worker

router = APIRouter(tags=["workers"], route_class=Route)


@router.get("/workers", dependencies=[may_read], responses=refusals(*NO_ACCESS, "store-away"))
async def list_workers(registry: WithRegistry) -> tuple[Worker, ...]:
    """Workers by name; one that was killed is listed as stale, with what it ran, for an hour."""
    return await registry.workers()
