"""Shows the log lines that are kept of a run."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query

from mousetrap import shapes
from mousetrap.api.access import may_read
from mousetrap.api.known import KnownRun
from mousetrap.api.problems import NO_ACCESS, Kind, refusals
from mousetrap.api.routes import Route
from mousetrap.api.services import WithServices
from mousetrap.run_logs import LogReader

router = APIRouter(tags=["runs"], route_class=Route)


async def _reader(services: WithServices) -> LogReader:
    return services.logs


@router.get(
    "/runs/{run_id}/logs",
    dependencies=[may_read],
    responses=refusals(*NO_ACCESS, Kind.UNKNOWN_RUN, Kind.INVALID_REQUEST, Kind.STORE_AWAY),
)
async def list_lines(
    run: KnownRun,
    logs: Annotated[LogReader, Depends(_reader)],
    level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Query(description="Only lines from this level up.")
    ] = "DEBUG",
    limit: Annotated[int, Query(ge=1, le=1_000)] = 200,
    after: Annotated[
        int, Query(ge=0, le=10**12, description="The number of the last line of the page before.")
    ] = 0,
) -> shapes.LogPage:
    """What the run's handlers caused to be logged, oldest first: the newest thousand lines, 64 kB, of the last day.

    A worker keeps lines from the level MOUSETRAP_RUN_LOGS up, twice a second. To follow a run, ask again with the number of the last line.
    """
    return await logs.page(run.id, after=after, limit=limit, level=level)
