"""Follows a run live, as server-sent events."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.exceptions import HTTPException

from mousetrap.api.access import may_read
from mousetrap.api.problems import NO_ACCESS, Problem, refusals
from mousetrap.api.routes import Route
from mousetrap.api.runs import KnownRun
from mousetrap.api.services import WithStore
from mousetrap.jobs import StoreUnreachable
from mousetrap.run_store import RunStore
from mousetrap.shapes import Event, Progress

_EVENT_ID = r"^(0|[0-9]{1,15}-[0-9]{1,15})$"
#: Seconds between two tries to reach a lost store, while the client waits.
_PAUSE = 1.0

_log = logging.getLogger(__name__)
router = APIRouter(tags=["runs"], route_class=Route)

Happening = Event | Progress


class Watchers:
    """Those who follow runs now; they leave room for others, for their connections last."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0

    def check(self) -> None:
        """Raises Problem where there is no room for one more."""
        if self._count >= self._most:
            raise Problem(
                "too-many-watchers",
                f"{self._count} are served: ask GET /runs/ID instead, or raise MOUSETRAP_API_MAX_CONNECTIONS",
                headers={"Retry-After": "10"},
            )

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Counts a watcher in this block."""
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1


def end_streams(app: FastAPI) -> None:
    """Ends all streams: they would keep a server that shall stop from stopping."""
    app.state.stopping.set()


async def _place(
    run: KnownRun,
    request: Request,
    last: Annotated[str | None, Header(alias="Last-Event-ID", pattern=_EVENT_ID)] = None,
    after: Annotated[str, Query(pattern=_EVENT_ID, description="The id of the last event seen.")] = "0",
) -> str:
    """The event to go on after."""
    place = last or after
    if run.state.ended and run.timeline and _order(place) >= _order(run.timeline[-1].id):
        raise HTTPException(204)  # what tells a browser's EventSource not to come again
    request.app.state.watchers.check()
    return place


@router.get(
    "/runs/{run_id}/events",
    dependencies=[may_read],
    response_class=EventSourceResponse,
    responses={
        204: {"description": "The run has ended, and you have seen all of it."},
        **refusals(*NO_ACCESS, "unknown-run", "invalid-request", "store-away", "too-many-watchers"),
    },
)
async def follow_run(
    run: KnownRun, place: Annotated[str, Depends(_place)], store: WithStore, request: Request
) -> AsyncIterator[ServerSentEvent]:
    """What happened to the run and what happens now, until it ends.

    Each event has its kind and its id, and `progress` comes between them without one. To go on after a lost connection,
    send the last id as `Last-Event-ID` or `after`. A comment comes every 15 seconds when nothing else does.
    """
    _log.info("started following a run", extra={"run": run.id})
    try:
        with request.app.state.watchers.one_more():
            async for happening in _until(request.app.state.stopping, _watch(store, run.id, place)):
                yield _sent(happening)
    finally:
        _log.info("stopped following a run", extra={"run": run.id})


async def _watch(store: RunStore, run_id: str, place: str) -> AsyncIterator[Happening]:
    """The run's happenings; a store that goes away for a while only delays them."""
    while True:
        try:
            async for happening in store.watch(run_id, place):
                if isinstance(happening, Event):
                    place = happening.id
                yield happening
            return
        except StoreUnreachable:
            await asyncio.sleep(_PAUSE)


async def _until(stopping: asyncio.Event, happenings: AsyncIterator[Happening]) -> AsyncIterator[Happening]:
    """The happenings, until there are no more or the server stops."""
    stop = asyncio.create_task(stopping.wait())
    following = asyncio.create_task(_next(happenings))
    try:
        while True:
            await asyncio.wait({stop, following}, return_when=asyncio.FIRST_COMPLETED)
            if stop.done() or (happening := following.result()) is None:
                return
            yield happening
            following = asyncio.create_task(_next(happenings))
    finally:
        stop.cancel()
        following.cancel()


async def _next(happenings: AsyncIterator[Happening]) -> Happening | None:
    return await anext(happenings, None)


def _sent(happening: Happening) -> ServerSentEvent:
    if isinstance(happening, Progress):
        return ServerSentEvent(event="progress", data=happening)
    # A line of the stream has one line; a damaged kind may hold more, and stands in the data as it is.
    kind = happening.kind if happening.kind.isprintable() else "unreadable"
    return ServerSentEvent(event=kind, id=happening.id, data=happening)


def _order(event_id: str) -> tuple[int, ...]:
    return tuple(map(int, event_id.split("-")))
