"""Answers the paths and words of another task server."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel

from mousetrap.api import repair
from mousetrap.api.access import may_operate, may_read
from mousetrap.api.audit import WithAudit
from mousetrap.api.known import RUN_ID, KnownRun
from mousetrap.api.problems import NO_ACCESS, Kind, refusals
from mousetrap.api.routes import Route
from mousetrap.api.services import WithStore
from mousetrap.shapes import Event, Run, RunState

#: Ids of the newest runs that a list has.
_LISTED = 200
_STATUS: dict[RunState, Literal["scheduled", "running", "finished", "canceled"]] = {
    RunState.QUEUED: "scheduled",
    RunState.RETRYING: "scheduled",
    RunState.RUNNING: "running",
    RunState.COMPLETED: "finished",
    RunState.CANCELLED: "canceled",
}

router = APIRouter(tags=["runs"], route_class=Route)


class TaskState(BaseModel):
    """A run as the state of a task."""

    #: `errored` is every end without a result but a cancellation.
    status: Literal["scheduled", "running", "finished", "canceled", "errored"]
    #: Seconds since 1970.
    updated: float
    job_retries: int
    eventlog: list[tuple[float, str]]
    result: Any = None
    error: str | None = None


@router.get("/@amqp-tasks", dependencies=[may_read], responses=refusals(*NO_ACCESS, Kind.STORE_AWAY))
async def list_tasks(store: WithStore) -> list[str]:
    """The ids of the newest 200 runs, for programs that have asked a task server at this path; `GET /runs` has all."""
    return [run.id for run in (await store.page(limit=_LISTED)).runs]


@router.get(
    "/@amqp-tasks/{run_id}",
    dependencies=[may_read],
    responses=refusals(*NO_ACCESS, Kind.UNKNOWN_RUN, Kind.INVALID_REQUEST, Kind.STORE_AWAY),
)
async def show_task(run: KnownRun) -> TaskState:
    """A run in the words of a task server; `GET /runs/{run_id}` has all of it."""
    return task_state(run)


@router.delete(
    "/@amqp-tasks/{run_id}",
    dependencies=[may_operate],
    responses=refusals(*NO_ACCESS, Kind.UNKNOWN_RUN, Kind.RUN_ENDED, Kind.INVALID_REQUEST, Kind.STORE_AWAY),
)
async def cancel_task(
    run_id: Annotated[str, Path(pattern=RUN_ID)], store: WithStore, audit: WithAudit
) -> Literal[True]:
    """Cancels a run, as `DELETE /runs/{run_id}` does."""
    await repair.cancel_run(run_id, store, audit)
    return True


def task_state(run: Run) -> TaskState:
    """The run in those words."""
    return TaskState(
        status=_STATUS.get(run.state, "errored"),
        updated=run.updated_ms / 1000,
        job_retries=sum(each.kind == "retrying" for each in run.timeline),
        eventlog=[(each.at_ms / 1000, _line(each)) for each in run.timeline],
        result=run.result,
        error=f"{run.failure.kind}: {run.failure.text}" if run.failure else None,
    )


def _line(event: Event) -> str:
    return f"{event.kind} {event.stage}" if event.stage else event.kind
