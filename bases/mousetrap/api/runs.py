"""Shows runs."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from mousetrap.api import views
from mousetrap.api.access import may_read
from mousetrap.api.pipelines import NAME
from mousetrap.api.problems import NO_ACCESS, Problem, refusals
from mousetrap.api.services import WithStore
from mousetrap.run_store import Run

RUN_ID = r"^[A-Za-z0-9_-]{1,64}$"
_PLACE = r"^[0-9]{13}:[A-Za-z0-9_-]{1,64}$"

router = APIRouter(tags=["runs"])


async def _known(run_id: Annotated[str, Path(pattern=RUN_ID)], store: WithStore) -> Run:
    run = await store.get(run_id)
    if run is None:
        raise Problem("unknown-run", "check the id; a run is forgotten some days after its last change")
    return run


_REFUSED = refusals(*NO_ACCESS, "unknown-run", "invalid-request", "store-away")
#: For the signatures of routes.
KnownRun = Annotated[Run, Depends(_known)]


@router.get("/runs", dependencies=[may_read], responses=refusals(*NO_ACCESS, "invalid-request", "store-away"))
async def list_runs(
    store: WithStore,
    pipeline: Annotated[str | None, Query(pattern=NAME)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[str | None, Query(pattern=_PLACE, description="`next` of the page before.")] = None,
) -> views.RunPage:
    """Runs, newest first, by page."""
    return views.RunPage.model_validate(await store.page(pipeline=pipeline, limit=limit, after=after))


@router.get("/runs/{run_id}", dependencies=[may_read], responses=_REFUSED)
async def show_run(run: KnownRun) -> views.Run:
    """A run with its timeline."""
    return views.Run.model_validate(run)
