"""Assembles the API; nothing is open before the server starts it."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from mousetrap.api import (
    about,
    batch,
    cluster,
    control,
    dead,
    docs,
    events,
    export,
    health,
    jobs,
    limits,
    operations,
    publish,
    queues,
    read,
    repair,
    run_logs,
    schedules,
    start,
    task_paths,
    trail,
    waiting,
)
from mousetrap.api.access import Access
from mousetrap.api.dashboard import add_dashboard
from mousetrap.api.description import describe
from mousetrap.api.errors import HANDLERS
from mousetrap.api.key_file import follow_keys
from mousetrap.api.metrics import add_metrics
from mousetrap.api.middleware import BodyLimit, Head, Headers
from mousetrap.api.problems import any_refusal
from mousetrap.api.room import room_for_watchers
from mousetrap.api.root import root_router
from mousetrap.api.services import open_services
from mousetrap.api.version import INTERFACE_VERSION
from mousetrap.known_pipelines import KnownPipelines
from mousetrap.pipeline import Pipeline
from mousetrap.schedules import Schedule
from mousetrap.settings import Settings
from mousetrap.shutdown import end_tasks

#: Most of the API's load is to start runs: their routes are looked through first.
_PARTS = (
    start,
    task_paths,
    publish,
    batch,
    read,
    events,
    jobs,
    export,
    run_logs,
    limits,
    queues,
    cluster,
    control,
    repair,
    dead,
    operations,
    schedules,
    trail,
    waiting,
    health,
    about,
    docs,
)


def create_app(
    settings: Settings,
    pipelines: Mapping[str, Pipeline],
    *,
    inputs: Mapping[str, bytes] | None = None,
    records: Mapping[str, str] | None = None,
    declared: Sequence[Schedule] = (),
    root: str | None = None,
    keys_file: Path | None = None,
) -> FastAPI:
    """The API of these pipelines as an ASGI application; keys from `keys_file` are read again when it changes.

    `inputs` are what an empty body means, by pipeline; `records` name what opens their records of results; `declared` are schedules of the code; `root` names the pipeline behind `GET /` and `POST /refresh`.
    Other pipelines are those of workers' manifests. Raises SettingsWrong when other machines could call it without a key.
    """
    known = KnownPipelines(pipelines, settings.keyring)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services(
            settings, known, inputs or {}, records or {}, declared
        ) as app.state.services:
            tasks = [asyncio.create_task(follow_keys(app.state.access, keys_file))] if keys_file else []
            try:
                yield
            finally:
                await end_tasks(*tasks)

    app = FastAPI(
        title="Mousetrap",
        summary="Starts runs of pipelines, shows them, follows them live, stops and repairs them.",
        version=INTERFACE_VERSION,
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_url=None,
        responses=any_refusal(),
        exception_handlers=dict(HANDLERS),
        generate_unique_id_function=lambda route: route.name,
    )
    _set_state(app, settings)
    for part in _PARTS:
        app.include_router(part.router)
    if root is not None:
        app.include_router(root_router(pipelines[root], ui=settings.ui))
    _add_around(app, settings, at_root=root is None)
    describe(app, known, inputs or {})
    return app


def _set_state(app: FastAPI, settings: Settings) -> None:
    """What routes and middleware read, and no server is needed for."""
    app.state.access = Access(settings)
    app.state.server = about.Server.starting(settings)
    app.state.stopping = asyncio.Event()
    app.state.watchers = room_for_watchers(settings.api_max_connections)
    app.state.batches = batch.room_for_batches()
    app.state.max_body = settings.api_max_body
    app.state.on_rabbitmq = settings.broker_url.startswith("amqp")


def _add_around(app: FastAPI, settings: Settings, *, at_root: bool) -> None:
    """What is beside the routes of the API, and what is around all of them."""
    if settings.ui:
        add_dashboard(app, at_root=at_root)
    if settings.metrics:
        add_metrics(app)
    app.add_middleware(BodyLimit, max_bytes=settings.api_max_body)
    app.add_middleware(Head)
    app.add_middleware(Headers)
