"""Serves numbers for Prometheus, where that is asked for."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mousetrap.api.access import may_read
from mousetrap.api.problems import NO_ACCESS, refusals
from mousetrap.api.routes import Route
from mousetrap.api.services import Services, WithServices
from mousetrap.jobs import MousetrapError, dead_queue
from mousetrap.settings import MISSING_METRICS, SettingsWrong
from mousetrap.shapes import Worker
from mousetrap.telemetry import version_of_program

if TYPE_CHECKING:
    from mousetrap.metrics import ApiNumbers, ClusterFacts, QueueFacts

#: Seconds for which a look at broker and store counts: more servers of Prometheus than one do not ask them more often.
_LOOK_VALID_S = 5.0
#: Seconds for broker and store to answer, of the ten that Prometheus waits.
_LOOK_TIMEOUT_S = 4.0
#: Queues that are looked at together.
_TOGETHER = 8
#: States of a worker that takes jobs.
_TAKES = ("serving", "stuck")


def add_metrics(app: FastAPI) -> None:
    """Has the application count its answers, and show them at `/metrics`. Raises SettingsWrong where the library is missing.

    Before any other middleware: the framework's routes are known inside of it.
    """
    try:
        from mousetrap.metrics import CONTENT_TYPE, ApiNumbers, Exposition
    except ModuleNotFoundError as error:
        raise SettingsWrong(MISSING_METRICS) from error

    counts = ApiNumbers(version_of_program())
    look = _Look()
    router = APIRouter(tags=["metrics"], route_class=Route)

    @router.get(
        "/metrics", dependencies=[may_read], response_class=PlainTextResponse, responses=refusals(*NO_ACCESS)
    )
    async def show_metrics(request: Request, services: WithServices) -> Response:
        """What this server has counted, the queues and the workers, for Prometheus.

        Queues and workers are as of at most five seconds ago. Without broker or store the rest is there all the same.
        """
        facts = await look.at(services, request.app.state.watchers.count)
        exposition = Exposition(lambda: counts.collect(facts))
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

    async def at(self, services: Services, watchers: int) -> "ClusterFacts":
        """As of now, or a few seconds ago."""
        async with self._asking:
            if self._facts is None or time.monotonic() > self._until_s:
                self._facts = await _looked(services, watchers)
                self._until_s = time.monotonic() + _LOOK_VALID_S
            return self._facts


async def _looked(services: Services, watchers: int) -> "ClusterFacts":
    from mousetrap.metrics import ClusterFacts

    broker, store = await asyncio.gather(_answers(services.queue.check()), _answers(services.store.check()))
    workers: Sequence[Worker] | None = None
    queues: dict[str, QueueFacts] = {}
    try:
        async with asyncio.timeout(_LOOK_TIMEOUT_S):
            if store:
                workers = await services.registry.workers()
            if broker and store:
                queues = await _queues(services, workers or ())
    except (MousetrapError, TimeoutError):
        pass  # what is known by now
    states = None if workers is None else Counter(str(worker.state) for worker in workers)
    return ClusterFacts({"broker": broker, "store": store}, queues, states, watchers)


async def _queues(services: Services, workers: Sequence[Worker]) -> "dict[str, QueueFacts]":
    names = sorted({stage.queue for it in services.pipelines.values() for stage in it.stages})
    consumers = Counter(queue for it in workers if it.state in _TAKES for queue in it.queues)
    room = asyncio.Semaphore(_TOGETHER)

    async def look(name: str) -> "QueueFacts | None":
        async with room:
            return await _queue(services, name, consumers[name])

    found = await asyncio.gather(*map(look, names))
    return {name: facts for name, facts in zip(names, found, strict=True) if facts is not None}


async def _queue(services: Services, name: str, consumers: int) -> "QueueFacts | None":
    """None for a queue that is not there."""
    from mousetrap.metrics import QueueFacts

    try:
        backlog = await services.queue.backlog(name)
        oldest = await services.registry.look(name, backlog)
        dead = await services.queue.count_ready(dead_queue(name))
    except MousetrapError:
        return None
    return QueueFacts(backlog.ready, oldest, dead, consumers)


async def _answers(check: Awaitable[None]) -> bool:
    try:
        async with asyncio.timeout(_LOOK_TIMEOUT_S / 2):
            await check
    except (MousetrapError, TimeoutError):
        return False
    return True
