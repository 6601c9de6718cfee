"""Serves one pipeline at two short paths."""

from typing import Any

from fastapi import APIRouter

from mousetrap.api import views
from mousetrap.api.access import Starter, may_read
from mousetrap.api.problems import CLOSED, NO_ACCESS, refusals
from mousetrap.api.routes import Route
from mousetrap.api.services import WithServices, WithStore
from mousetrap.api.start import submit
from mousetrap.pipeline import Pipeline


def root_router(pipeline: Pipeline) -> APIRouter:
    """`POST /refresh` and `GET /` for this pipeline."""
    router = APIRouter(tags=["root"], route_class=Route)

    @router.post(
        "/refresh",
        description=f"Starts a run of the pipeline {pipeline.name} on its defaults.",
        responses=refusals(*NO_ACCESS, *CLOSED),
    )
    async def refresh(_: Starter, services: WithServices) -> views.Refreshed:
        return views.Refreshed(run_id=(await submit(services, pipeline, b"")).run_id)

    @router.get(
        "/",
        description=f"The newest result of the pipeline {pipeline.name}; empty before there is one.",
        dependencies=[may_read],
        responses=refusals(*NO_ACCESS, "store-away"),
    )
    async def show_newest(store: WithStore) -> Any:
        run = await store.latest(pipeline.name)
        return run.result if run else {}

    return router
