"""Answers whether the process lives, and whether it can do its work."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from fastapi import APIRouter

from mousetrap.api.problems import Kind, absence, refusals
from mousetrap.api.routes import Route
from mousetrap.api.services import WithServices
from mousetrap.jobs import MousetrapError, StoreFull

#: For broker and store to answer, both asked at once.
_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Health:
    """The process lives, or is ready."""

    status: Literal["live", "ready"]


router = APIRouter(prefix="/health", tags=["health"], route_class=Route)


@router.get("/live")
async def check_live() -> Health:
    """Succeeds while the process answers at all. Needs no key."""
    return Health(status="live")


@router.get("/ready", responses=refusals(Kind.NOT_READY))
async def check_ready(services: WithServices) -> Health:
    """Succeeds when broker and store answer; else it names the one that does not. Needs no key."""
    errors = await asyncio.gather(failure_of(services.queue.check), failure_of(services.store.check))
    absent = {part: why for part, why in zip(("broker", "store"), errors, strict=True) if why is not None}
    if absent:
        raise absence(Kind.NOT_READY, f"waiting for: {', '.join(map(_shown, absent.items()))}", *absent)
    return Health(status="ready")


def _shown(absent: tuple[str, Exception]) -> str:
    """Without the server's address: this needs no key."""
    part, why = absent
    return f"{part} (it is full)" if isinstance(why, StoreFull) else part


async def failure_of(check: Callable[[], Awaitable[None]]) -> Exception | None:
    """The error of a check; None where it succeeds."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            await check()
    except (MousetrapError, TimeoutError) as error:
        return error
    return None
