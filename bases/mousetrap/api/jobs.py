"""Lists the jobs of a run, those of a fan-out among them."""

from typing import Annotated

from fastapi import APIRouter, Query

from mousetrap import shapes
from mousetrap.api.access import may_read
from mousetrap.api.known import PIPELINE_NAME, KnownRun, find_pipeline
from mousetrap.api.problems import NO_ACCESS, Kind, Problem, refusals
from mousetrap.api.routes import Route
from mousetrap.api.services import WithServices
from mousetrap.run_store import JobFilter, JobPlace, with_letters
from mousetrap.shapes import JobState

#: A stage, and an index in each fan that its jobs are in: three at most.
_PLACE = r"^[a-z][a-z0-9_-]{0,62}:([0-9]{1,8}(\.[0-9]{1,8}){0,2})?$"

router = APIRouter(tags=["runs"], route_class=Route)


@router.get(
    "/runs/{run_id}/jobs",
    dependencies=[may_read],
    responses=refusals(
        *NO_ACCESS,
        Kind.UNKNOWN_PIPELINE,
        Kind.UNKNOWN_RUN,
        Kind.PIPELINE_CONTRADICTED,
        Kind.INVALID_REQUEST,
        Kind.STORE_AWAY,
    ),
)
async def list_jobs(
    run: KnownRun,
    services: WithServices,
    stage: Annotated[
        str | None, Query(pattern=PIPELINE_NAME, description="Only the jobs of this one.")
    ] = None,
    state: Annotated[JobState | None, Query(description="Only the jobs that are in this state now.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[str | None, Query(pattern=_PLACE, description="`next` of the page before.")] = None,
) -> shapes.JobPage:
    """The jobs of a run, by the order of its pipeline's stages and then by index; with what became of each.

    Of a stage in a fan-out there is a job for each item. One request reads 2,000 jobs and a mebibyte of outputs at most: a page
    can hold fewer than `limit`, or none, and there are no more only when `next` is null.
    """
    pipeline = await find_pipeline(run.pipeline, services)
    if stage is not None and pipeline.stage(stage) is None:
        known = ", ".join(it.name for it in pipeline.stages)
        what = f"pipeline {pipeline.name!r} has no stage {stage!r}: it has {known}"
        raise Problem(Kind.INVALID_REQUEST, what, where="query.stage")
    place = JobPlace.read(after) if after else None
    wanted = JobFilter(stage=stage, state=state, limit=limit, place=place)
    return with_letters(await services.store.jobs(run, pipeline, wanted), pipeline)
