"""Finds what a path names: a pipeline, a run, a queue."""

from typing import Annotated

from fastapi import Depends, Path

from mousetrap.api.problems import Kind, Problem
from mousetrap.api.services import WithDeadLetters, WithServices, WithStore
from mousetrap.pipeline import Pipeline
from mousetrap.run_store import StoredRun

#: Patterns of a run's id and of a pipeline's name.
RUN_ID = r"^[A-Za-z0-9_-]{1,64}$"
PIPELINE_NAME = r"^[a-z][a-z0-9_-]{0,62}$"


async def _pipeline(
    pipeline: Annotated[str, Path(examples=["earthquakes"])], services: WithServices
) -> Pipeline:
    if pipeline not in services.pipelines:
        known = ", ".join(services.pipelines)
        raise Problem(Kind.UNKNOWN_PIPELINE, f"this server has: {known}; GET /pipelines shows them")
    return services.pipelines[pipeline]


async def _run(run_id: Annotated[str, Path(pattern=RUN_ID)], store: WithStore) -> StoredRun:
    run = await store.get(run_id)
    if run is None:
        raise unknown_run()
    return run


async def _queue(queue: Annotated[str, Path(examples=["start_fetch"])], dead_letters: WithDeadLetters) -> str:
    if queue not in dead_letters.queues:
        raise Problem(Kind.UNKNOWN_QUEUE, f"this server knows: {', '.join(dead_letters.queues)}")
    return queue


#: For the signatures of routes.
KnownPipeline = Annotated[Pipeline, Depends(_pipeline)]
KnownRun = Annotated[StoredRun, Depends(_run)]
KnownQueue = Annotated[str, Depends(_queue)]


def unknown_run() -> Problem:
    """The problem of a run that the store does not have."""
    return Problem(Kind.UNKNOWN_RUN, "check the id; a run is forgotten some days after its last change")
