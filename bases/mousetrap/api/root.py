"""Serves one pipeline at two short paths."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response

from mousetrap.api.access import Starter, may_read
from mousetrap.api.dashboard import ForPeople
from mousetrap.api.latest import answer, find_latest
from mousetrap.api.problems import CLOSED, NO_ACCESS, Kind, refusals
from mousetrap.api.routes import Route
from mousetrap.api.services import WithServices
from mousetrap.api.start import submit
from mousetrap.pipeline import Pipeline
from mousetrap.shapes import Doc


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """The run that `/refresh` started."""

    status: Literal["ok"] = "ok"
    run_id: Annotated[str, Doc(examples=("019b1f0c6a7e4d5f8a9b0c1d2e3f4a5b",))]


def root_router(pipeline: Pipeline, *, ui: bool) -> APIRouter:
    """`POST /refresh` and `GET /` for this pipeline; with `ui` a browser is led from there to the dashboard."""
    router = APIRouter(tags=["root"], route_class=Route)

    @router.post(
        "/refresh",
        description=f"Starts a run of the pipeline {pipeline.name} on its defaults.",
        responses=refusals(*NO_ACCESS, *CLOSED),
    )
    async def refresh(_: Starter, services: WithServices) -> Refreshed:
        return Refreshed(run_id=(await submit(services, pipeline, b"")).run_id)

    async def show_newest(services: WithServices, response: Response) -> Any:
        latest = await find_latest(services, pipeline.name)
        return answer(latest, response) if latest else {}

    router.add_api_route(
        "/",
        show_newest,
        route_class_override=ForPeople if ui else None,
        description=f"The newest result of the pipeline {pipeline.name}; empty before there is one. Header `Mousetrap-Source`: `run`, or `record` once the run is forgotten.",
        dependencies=[may_read],
        responses=refusals(*NO_ACCESS, Kind.RESULT_LEFT_OUT, Kind.STORE_AWAY, Kind.RECORD_AWAY),
    )
    return router
