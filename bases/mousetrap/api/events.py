"""Follows a run live, as server-sent events."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.exceptions import HTTPException

from mousetrap.api.access import may_read
from mousetrap.api.known import KnownRun
from mousetrap.api.problems import NO_ACCESS, Kind, refusals
from mousetrap.api.routes import Route
from mousetrap.api.services import WithStore
from mousetrap.api.stopping import until_stopped
from mousetrap.jobs import StoreUnreachable
from mousetrap.run_store import RunStore
from mousetrap.shapes import Event, Progress

_EVENT_ID = r"^(0|[0-9]{1,15}-[0-9]{1,15})$"
#: The pause between two tries to reach a lost store, while the client waits.
_RECONNECT_DELAY_S = 1.0

_log = logging.getLogger(__name__)
router = APIRouter(tags=["runs"], route_class=Route)

News = Event | Progress


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
            async for each in until_stopped(request.app.state.stopping, _watch(store, run.id, place)):
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


def _sent(each: News) -> ServerSentEvent:
    if isinstance(each, Progress):
        return ServerSentEvent(event="progress", data=each)
    # The field `event` is one line. A damaged kind may hold more lines; the data contains it as it is.
    kind = each.kind if each.kind.isprintable() else "unreadable"
    return ServerSentEvent(event=kind, id=each.id, data=each)


def _order(event_id: str) -> tuple[int, ...]:
    return tuple(map(int, event_id.split("-")))
