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
from mousetrap.api.known import KnownRun
from mousetrap.api.problems import NO_ACCESS, Kind, Problem, refusals
from mousetrap.api.routes import Route
from mousetrap.api.services import WithStore
from mousetrap.jobs import StoreUnreachable
from mousetrap.run_store import RunStore
from mousetrap.shapes import Event, Progress

_EVENT_ID = r"^(0|[0-9]{1,15}-[0-9]{1,15})$"
#: The pause between two tries to reach a lost store, while the client waits.
_RECONNECT_DELAY_S = 1.0

_log = logging.getLogger(__name__)
router = APIRouter(tags=["runs"], route_class=Route)

News = Event | Progress


class Watchers:
    """Counts the clients that follow runs; their connections last, so some room is kept for others."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0

    def check(self) -> None:
        """Raises Problem where there is no room for one more."""
        if self._count >= self._most:
            raise Problem(
                Kind.TOO_MANY_WATCHERS,
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
    """Ends all streams: an open one keeps the server from stopping."""
    app.state.stopping.set()


async def _resume_after(
    run: KnownRun,
    request: Request,
    last: Annotated[str | None, Header(alias="Last-Event-ID", pattern=_EVENT_ID)] = None,
    after: Annotated[str, Query(pattern=_EVENT_ID, description="The id of the last event seen.")] = "0",
) -> str:
    """The id of the last event that the client has."""
    place = last or after
    if run.state.ended and run.timeline and _order(place) >= _order(run.timeline[-1].id):
        raise HTTPException(204)  # a browser's EventSource does not connect again after this
    request.app.state.watchers.check()
    return place


@router.get(
    "/runs/{run_id}/events",
    dependencies=[may_read],
    response_class=EventSourceResponse,
    responses={
        204: {"description": "The run has ended, and you have seen all of it."},
        **refusals(
            *NO_ACCESS, Kind.UNKNOWN_RUN, Kind.INVALID_REQUEST, Kind.STORE_AWAY, Kind.TOO_MANY_WATCHERS
        ),
    },
)
async def follow_run(
    run: KnownRun, place: Annotated[str, Depends(_resume_after)], store: WithStore, request: Request
) -> AsyncIterator[ServerSentEvent]:
    """What happened to the run and what happens now, until it ends.

    Each event has its kind and its id, and `progress` comes between them without one. To go on after a lost connection,
    send the last id as `Last-Event-ID` or `after`. A comment comes every 15 seconds when nothing else does.
    """
    _log.info("started following a run", extra={"run": run.id})
    try:
        with request.app.state.watchers.one_more():
            async for each in _until_stopped(request.app.state.stopping, _watch(store, run.id, place)):
                yield _sent(each)
    finally:
        _log.info("stopped following a run", extra={"run": run.id})


async def _watch(store: RunStore, run_id: str, place: str) -> AsyncIterator[News]:
    """The run's news; an outage of the store only delays them."""
    while True:
        try:
            async for each in store.watch(run_id, place):
                if isinstance(each, Event):
                    place = each.id
                yield each
            return
        except StoreUnreachable:
            await asyncio.sleep(_RECONNECT_DELAY_S)


async def _until_stopped(stopping: asyncio.Event, news: AsyncIterator[News]) -> AsyncIterator[News]:
    """The news, until they end or the server stops."""
    stop = asyncio.create_task(stopping.wait())
    following = asyncio.create_task(_next(news))
    try:
        while True:
            await asyncio.wait({stop, following}, return_when=asyncio.FIRST_COMPLETED)
            if stop.done() or (each := following.result()) is None:
                return
            yield each
            following = asyncio.create_task(_next(news))
    finally:
        stop.cancel()
        following.cancel()


async def _next(news: AsyncIterator[News]) -> News | None:
    return await anext(news, None)


def _sent(each: News) -> ServerSentEvent:
    if isinstance(each, Progress):
        return ServerSentEvent(event="progress", data=each)
    # The field `event` is one line. A damaged kind may hold more lines; the data contains it as it is.
    kind = each.kind if each.kind.isprintable() else "unreadable"
    return ServerSentEvent(event=kind, id=each.id, data=each)


def _order(event_id: str) -> tuple[int, ...]:
    return tuple(map(int, event_id.split("-")))
