"""Tells a supervisor whether the process lives, and whether it can do its work."""

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import APIRouter

from mousetrap.api import views
from mousetrap.api.problems import absence, refusals
from mousetrap.api.routes import Route
from mousetrap.api.services import WithServices
from mousetrap.jobs import MousetrapError, StoreFull

#: Seconds for broker and store to answer, both asked at once.
_PATIENCE = 1.0

router = APIRouter(prefix="/health", tags=["health"], route_class=Route)


@router.get("/live")
async def check_live() -> views.Health:
    """Always, while the process answers at all. Needs no key."""
    return views.Health(status="live")


@router.get("/ready", responses=refusals("not-ready"))
async def check_ready(services: WithServices) -> views.Health:
    """When broker and store answer; else which of them does not. Needs no key."""
    answers = await asyncio.gather(_answers(services.queue.check), _answers(services.store.check))
    absent = {part: why for part, why in zip(("broker", "store"), answers, strict=True) if why is not None}
    if absent:
        raise absence("not-ready", f"waiting for: {', '.join(map(_shown, absent.items()))}", *absent)
    return views.Health(status="ready")


def _shown(absent: tuple[str, Exception]) -> str:
    """Without the server's place: this needs no key."""
    part, why = absent
    return f"{part} (it is full)" if isinstance(why, StoreFull) else part


async def _answers(check: Callable[[], Awaitable[None]]) -> Exception | None:
    """Why it does not, if so."""
    try:
        async with asyncio.timeout(_PATIENCE):
            await check()
    except (MousetrapError, TimeoutError) as error:
        return error
    return None
