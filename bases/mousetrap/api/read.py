"""Shows pipelines, runs and workers."""

import asyncio
from dataclasses import replace
from functools import lru_cache
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from mousetrap import shapes
from mousetrap.api.access import may_read
from mousetrap.api.filters import ListedRuns
from mousetrap.api.known import KnownPipeline, KnownRun, known_run
from mousetrap.api.latest import answer, find_latest
from mousetrap.api.problems import NO_ACCESS, Kind, Problem, refusals
from mousetrap.api.put_aside import put_aside
from mousetrap.api.routes import Route
from mousetrap.api.services import WithServices, WithStore
from mousetrap.api.wait import Wait, ended_run, room_to_wait
from mousetrap.pipeline import All, Pipeline, edge_of, fallbacks, predecessors, schema

router = APIRouter(route_class=Route)


@router.get("/pipelines", tags=["pipelines"], dependencies=[may_read], responses=refusals(*NO_ACCESS))
async def list_pipelines(services: WithServices) -> list[shapes.Pipeline]:
    """Every pipeline of this server and of the workers: its stages, their queues and contracts, and what leads from one to another."""
    return [_shown(pipeline) for pipeline in services.pipelines.values()]


@router.get(
    "/pipelines/{pipeline}",
    tags=["pipelines"],
    dependencies=[may_read],
    responses=refusals(*NO_ACCESS, Kind.UNKNOWN_PIPELINE, Kind.PIPELINE_CONTRADICTED, Kind.STORE_AWAY),
)
async def show_pipeline(pipeline: KnownPipeline, services: WithServices) -> shapes.Pipeline:
    """A pipeline: its stages, their queues and their contracts, and what leads from stage to stage."""
    schedules = services.pipelines.schedules.get(pipeline.name, ())
    return replace(_shown(pipeline), schedules=tuple(it.name for it in schedules))


@router.get(
    "/pipelines/{pipeline}/latest",
    tags=["pipelines"],
    dependencies=[may_read],
    responses=refusals(
        *NO_ACCESS,
        Kind.UNKNOWN_PIPELINE,
        Kind.PIPELINE_CONTRADICTED,
        Kind.NO_RESULT,
        Kind.RESULT_LEFT_OUT,
        Kind.STORE_AWAY,
        Kind.RECORD_AWAY,
    ),
)
async def show_latest(pipeline: KnownPipeline, services: WithServices, response: Response) -> Any:
    """The result of the newest run that completed; the header `Mousetrap-Run` names the run.

    Once the run store has forgotten it, a pipeline that keeps a record of its results answers from there:
    `Mousetrap-Source` is `record` then, and `Mousetrap-Recorded` the time at which the result was stored.
    """
    latest = await find_latest(services, pipeline.name)
    if latest is None:
        raise Problem(Kind.NO_RESULT, f"start one with POST /pipelines/{pipeline.name}/runs")
    return answer(latest, response)


@router.get(
    "/runs",
    tags=["runs"],
    dependencies=[may_read],
    responses=refusals(*NO_ACCESS, Kind.INVALID_REQUEST, Kind.STORE_AWAY),
)
async def list_runs(store: WithStore, filter: Annotated[ListedRuns, Query()]) -> shapes.RunPage:
    """Runs that match every given condition, newest first, by page.

    Lists that the store keeps lead to them: of each state but `completed`, of each kind of error, of tags, of ids. Where all of
    these are long, as for a stage or a worker alone, one request looks at 1,000 runs: a page can hold fewer than `limit`, or none,
    and there are no more only when `next` is null.
    """
    return await store.page(filter.selection(), limit=filter.limit, after=filter.after)


@router.get(
    "/runs/{run_id}",
    tags=["runs"],
    dependencies=[may_read],
    responses=refusals(
        *NO_ACCESS, Kind.UNKNOWN_RUN, Kind.INVALID_REQUEST, Kind.STORE_AWAY, Kind.TOO_MANY_WATCHERS
    ),
)
async def show_run(
    run: KnownRun, services: WithServices, request: Request, wait: Annotated[Wait, Query()] = None
) -> shapes.Run:
    """A run with its timeline, and with the dead letter that keeps it waiting, if one does.

    With `wait` the answer comes when the run has ended, or shows it as it is when the time is over.
    """
    if wait is not None and not run.state.ended:
        with room_to_wait(request):
            run = await ended_run(request, run.id, wait) or await known_run(run.id, services.store)
    trace_url = services.trace_url.replace("{trace_id}", run.trace_id) if run.trace_id else ""
    return replace(run, letter=await put_aside(run, services), trace_url=trace_url or None)


@router.get(
    "/runs/{run_id}/reruns",
    tags=["runs"],
    dependencies=[may_read],
    responses=refusals(*NO_ACCESS, Kind.UNKNOWN_RUN, Kind.INVALID_REQUEST, Kind.STORE_AWAY),
)
async def list_reruns(run: KnownRun, store: WithStore) -> shapes.RunPage:
    """The runs that repeat a run, newest first; of very many, two hundred. There is no next page."""
    return shapes.RunPage(runs=tuple(await store.reruns(run.id)), next=None)


@router.get(
    "/workers", tags=["workers"], dependencies=[may_read], responses=refusals(*NO_ACCESS, Kind.STORE_AWAY)
)
async def list_workers(services: WithServices) -> tuple[shapes.Worker, ...]:
    """Workers by name; one that was killed is listed as stale, with what it ran, for an hour."""
    workers, asked = await asyncio.gather(services.registry.workers(), services.control.asked())
    return tuple(replace(it, asked=asked.get(it.name)) for it in workers) if asked else workers


# Kept: most pages of the dashboard ask for all pipelines, and the schemas of one take milliseconds.
@lru_cache(maxsize=1_000)
def _shown(pipeline: Pipeline) -> shapes.Pipeline:
    edges, others = predecessors(pipeline.stages), fallbacks(pipeline.stages)
    stages = [
        shapes.Stage(
            name=it.name,
            queue=it.queue,
            after=edges[it.name],
            edge=edge_of(it.after),
            need=it.after.need if isinstance(it.after, All) and not it.after.is_join else None,
            keep=not isinstance(it.after, All) or it.after.keep,
            within=it.after.within.total_seconds() if isinstance(it.after, All) and it.after.within else None,
            fallback=others.get(it.name),
            skips=it.on_failure == "skip",
            skips_after=it.on_failure == "skip_after",
            inside=tuple(level.opener for level in pipeline.levels(it)),
            attempts=it.retry.attempts,
            timeout=it.timeout,
            soft_timeout=it.soft_timeout,
            lock=it.lock.name if it.lock else None,
            lock_by=it.lock.by if it.lock else None,
            input=schema(it.input),
            output=schema(it.output),
        )
        for it in pipeline.stages
    ]
    return shapes.Pipeline(
        name=pipeline.name,
        description=pipeline.description,
        stages=tuple(stages),
        arrows=tuple(shapes.Arrow(**arrow._asdict()) for arrow in pipeline.arrows),
        topics=pipeline.topics,
    )
