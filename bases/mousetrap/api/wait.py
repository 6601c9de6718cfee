"""Waits for a run's end on behalf of a client."""

import asyncio
from contextlib import AbstractContextManager, suppress
from typing import Annotated

from fastapi import Request
from pydantic import Field

from mousetrap.api.room import Room
from mousetrap.api.services import Services
from mousetrap.jobs import StoreUnreachable
from mousetrap.run_store import StoredRun
from mousetrap.shutdown import end_tasks

#: The longest wait of one request: proxies end those that last much longer.
_MOST_S = 60.0
#: For the queries of routes.
Wait = Annotated[
    float | None,
    Field(gt=0, le=_MOST_S, description="Seconds, at most sixty, to wait for the run's end."),
]


def room_to_wait(request: Request) -> AbstractContextManager[None]:
    """Counts a client that waits. Raises Problem where there is no room for it."""
    room: Room = request.app.state.watchers
    return room.one_more()


async def ended_run(request: Request, run_id: str, seconds: float) -> StoredRun | None:
    """The run once it has ended; None when it has not in time, the server stops, the client leaves or the store is away."""
    services: Services = request.app.state.services
    waiting = asyncio.create_task(services.store.wait_ended(run_id, seconds))
    others = [asyncio.create_task(request.app.state.stopping.wait()), asyncio.create_task(_left(request))]
    try:
        await asyncio.wait([waiting, *others], return_when=asyncio.FIRST_COMPLETED)
        with suppress(StoreUnreachable):
            return waiting.result() if waiting.done() else None
        return None
    finally:
        await end_tasks(*others, None if waiting.done() else waiting)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
