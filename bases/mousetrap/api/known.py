"""Finds what a path names: a pipeline, a run, a queue."""

from typing import Annotated

from fastapi import Depends, Path

from mousetrap.api.problems import Kind, Problem
from mousetrap.api.services import Services, WithDeadLetters, WithServices, WithStore
from mousetrap.pipeline import Pipeline
from mousetrap.run_store import RunStore, StoredRun
from mousetrap.submit_run import RUN_ID_FORM

#: Patterns of a run's id and of a pipeline's name.
RUN_ID = f"^{RUN_ID_FORM}$"
PIPELINE_NAME = r"^[a-z][a-z0-9_-]{0,62}$"


async def find_pipeline(name: str, services: Services) -> Pipeline:
    """The pipeline of this name, if this server or a live worker has it. Raises Problem with the reason."""
    pipelines = services.pipelines
    await pipelines.look_for(name, services.registry)
    if reason := pipelines.contradiction(name):
        raise Problem(Kind.PIPELINE_CONTRADICTED, reason)
    if name not in pipelines:
        known = ", ".join(pipelines) or "no pipeline"
        raise Problem(
            Kind.UNKNOWN_PIPELINE,
            f"this server and the workers have: {known}; GET /pipelines shows them. A pipeline is known once a worker with "
            "it is up",
        )
    return pipelines[name]


async def _pipeline(
    pipeline: Annotated[str, Path(examples=["earthquakes"])], services: WithServices
) -> Pipeline:
    return await find_pipeline(pipeline, services)


async def _run(run_id: Annotated[str, Path(pattern=RUN_ID)], store: WithStore) -> StoredRun:
    return await known_run(run_id, store)


async def known_run(run_id: str, store: RunStore) -> StoredRun:
    """The run of this id. Raises Problem where the store has none."""
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
