"""Serves numbers for Prometheus, where that is asked for."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mousetrap.api.access import may_read
from mousetrap.api.limits import waiting_by_queue
from mousetrap.api.problems import NO_ACCESS, refusals
from mousetrap.api.routes import Route
from mousetrap.api.schedule_shown import OVERDUE_MS
from mousetrap.api.services import Services, WithServices
from mousetrap.jobs import MousetrapError, QueueBlocked
from mousetrap.settings import MISSING_METRICS, SettingsWrong
from mousetrap.shapes import Worker
from mousetrap.telemetry import version_of_program

if TYPE_CHECKING:
    from mousetrap.metrics import Acts, ApiNumbers, ClusterFacts

#: Seconds for which a look at broker and store counts: more servers of Prometheus than one do not ask them more often.
_LOOK_VALID_S = 5.0
#: Seconds for broker and store to answer, of the ten that Prometheus waits; and to answer at all, where that failed.
_LOOK_TIMEOUT_S, _CHECK_TIMEOUT_S = 4.0, 2.0


def add_metrics(app: FastAPI) -> None:
    """Has the application count its answers, and show them at `/metrics`. Raises SettingsWrong where the library is missing.

    Before any other middleware: the framework's routes are known inside of it.
    """
    try:
        from mousetrap.metrics import CONTENT_TYPE, ApiNumbers, Exposition
    except ModuleNotFoundError as error:
        raise SettingsWrong(MISSING_METRICS) from error

    counts, look = ApiNumbers(version_of_program()), _Look()
    router = APIRouter(tags=["metrics"], route_class=Route)

    @router.get(
        "/metrics", dependencies=[may_read], response_class=PlainTextResponse, responses=refusals(*NO_ACCESS)
    )
    async def show_metrics(request: Request, services: WithServices) -> Response:
        """What this server has counted, the queues and the workers, for Prometheus.

        Queues and workers are as of at most five seconds ago. Without broker or store, the rest is there all the same.
        """
        facts = await look.at(services)
        watchers = request.app.state.watchers.count
        acts = _acts(services)
        exposition = Exposition(lambda: counts.collect(facts, acts, watchers))
        # In a thread: for a hundred queues the text takes some ten milliseconds.
        return Response(await asyncio.to_thread(exposition.text), media_type=CONTENT_TYPE)

    app.include_router(router)
    app.add_middleware(_Counting, counts=counts)


class _Counting:
    """Counts each answer by its route's template; a stream counts when it begins."""

    def __init__(self, app: ASGIApp, counts: "ApiNumbers") -> None:
        self._app = app
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, answered = time.monotonic(), False

        def note(status: int) -> None:
            nonlocal answered
            answered = True
            route = getattr(scope.get("route"), "path", "")
            self._counts.answered(route, scope["method"], status, time.monotonic() - began)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                note(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception:
            if not answered:
                note(500)
            raise


class _Look:
    """What broker and store know, asked again after some seconds."""

    def __init__(self) -> None:
        self._facts: ClusterFacts | None = None
        self._until_s = 0.0
        self._asking = asyncio.Lock()

    async def at(self, services: Services) -> "ClusterFacts":
        """As of now, or of a few seconds ago; without broker or store, what the other one knows."""
        async with self._asking:
            if self._facts is None or time.monotonic() > self._until_s:
                self._facts = await _looked(services)
                self._until_s = time.monotonic() + _LOOK_VALID_S
            return self._facts


async def _looked(services: Services) -> "ClusterFacts":
    from mousetrap.metrics import ClusterFacts

    try:
        async with asyncio.timeout(_LOOK_TIMEOUT_S):
            look = await services.queue_facts.look()
            counts = await services.store.count_open()
            schedules = await services.schedules.count(OVERDUE_MS)
            limited = await waiting_by_queue(services)
        # Of the pipelines that are known: the store could name any.
        runs = {name: counts.get(name, 0) for name in sorted(services.pipelines)}
        there = {"broker": True, "store": True}
        return ClusterFacts(there, False, look.queues, _states(look.workers), runs, schedules, limited)
    except (MousetrapError, TimeoutError):
        broker, store = await asyncio.gather(
            _failure(services.queue.check()), _failure(services.store.check())
        )
        workers = await _workers(services)
    there = {"broker": broker is None, "store": store is None}
    return ClusterFacts(there, isinstance(broker, QueueBlocked), (), workers, {})


def _acts(services: Services) -> "Acts":
    """Those of pipelines and queues that are known: all of these are there from the start, as zeros."""
    from mousetrap.metrics import Acts

    ended, letters = services.store.ended_from_outside, services.dead_letters
    places = [(name, state) for name in sorted(services.pipelines) for state in ("cancelled", "rejected")]
    return Acts(
        ended={place: ended.get(place, 0) for place in places},
        redriven={queue: letters.redriven[queue] for queue in letters.queues},
    )


async def _workers(services: Services) -> Mapping[str, int] | None:
    """Those in each state; None where the store is away."""
    try:
        async with asyncio.timeout(_CHECK_TIMEOUT_S):
            return _states(await services.registry.workers())
    except (MousetrapError, TimeoutError):
        return None


def _states(workers: Sequence[Worker]) -> Mapping[str, int]:
    return Counter(str(worker.state) for worker in workers)


async def _failure(asked: Awaitable[None]) -> Exception | None:
    """Why there is no answer; None where there is one."""
    try:
        async with asyncio.timeout(_CHECK_TIMEOUT_S):
            await asked
    except (MousetrapError, TimeoutError) as error:
        return error
    return None
