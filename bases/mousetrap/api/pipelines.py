"""Shows the pipelines, and what each gave last."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response

from mousetrap import shapes
from mousetrap.api.access import may_read
from mousetrap.api.problems import NO_ACCESS, Problem, refusals
from mousetrap.api.routes import Route
from mousetrap.api.services import WithServices, WithStore, services_of
from mousetrap.pipeline import Pipeline, schema

#: What a pipeline can be called.
NAME = r"^[a-z][a-z0-9_-]{0,62}$"

router = APIRouter(tags=["pipelines"], route_class=Route)


def pipeline_of(name: str, pipelines: Mapping[str, Pipeline]) -> Pipeline:
    """The pipeline of this name. Raises Problem where there is none."""
    if name not in pipelines:
        known = ", ".join(pipelines)
        raise Problem("unknown-pipeline", f"this server has: {known}; GET /pipelines tells more")
    return pipelines[name]


async def _known(pipeline: Annotated[str, Path(examples=["earthquakes"])], request: Request) -> Pipeline:
    return pipeline_of(pipeline, services_of(request).pipelines)


#: For the signatures of routes.
KnownPipeline = Annotated[Pipeline, Depends(_known)]


@router.get("/pipelines", dependencies=[may_read], responses=refusals(*NO_ACCESS))
async def list_pipelines(services: WithServices) -> list[shapes.Pipeline]:
    """Every pipeline, with its stages, their queues and their contracts."""
    return [_shown(pipeline) for pipeline in services.pipelines.values()]


def _shown(pipeline: Pipeline) -> shapes.Pipeline:
    stages = [
        shapes.Stage(name=it.name, queue=it.queue, input=schema(it.input), output=schema(it.output))
        for it in pipeline.stages
    ]
    return shapes.Pipeline(name=pipeline.name, description=pipeline.description, stages=tuple(stages))


@router.get(
    "/pipelines/{pipeline}/latest",
    dependencies=[may_read],
    responses=refusals(*NO_ACCESS, "unknown-pipeline", "no-result", "store-away"),
)
async def show_latest(pipeline: KnownPipeline, store: WithStore, response: Response) -> Any:
    """The result of the newest run that completed; the header `Mousetrap-Run` names the run."""
    run = await store.latest(pipeline.name)
    if run is None:
        raise Problem("no-result", f"start one with POST /pipelines/{pipeline.name}/runs")
    response.headers["Mousetrap-Run"] = run.id
    return run.result
