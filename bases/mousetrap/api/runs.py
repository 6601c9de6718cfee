"""Shows runs."""

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from mousetrap.api.access import may_read
from mousetrap.api.pipelines import NAME
from mousetrap.api.problems import NO_ACCESS, Problem, refusals
from mousetrap.api.routes import Route
from mousetrap.api.services import Services, WithServices, WithStore
from mousetrap.dead_letters import Selection
from mousetrap.jobs import MousetrapError
from mousetrap.run_store import StoredRun
from mousetrap.shapes import PutAside, Run, RunPage, RunState

RUN_ID = r"^[A-Za-z0-9_-]{1,64}$"
_PLACE = r"^[0-9]{13}:[A-Za-z0-9_-]{1,64}$"

#: Seconds that a run waits before its message is looked for among the dead letters, and that the look may take.
_LONG, _PATIENCE = 5.0, 1.0
_WAITING = (RunState.QUEUED, RunState.RETRYING)

router = APIRouter(tags=["runs"], route_class=Route)


async def _known(run_id: Annotated[str, Path(pattern=RUN_ID)], store: WithStore) -> StoredRun:
    run = await store.get(run_id)
    if run is None:
        raise Problem("unknown-run", "check the id; a run is forgotten some days after its last change")
    return run


_REFUSED = refusals(*NO_ACCESS, "unknown-run", "invalid-request", "store-away")
#: For the signatures of routes.
KnownRun = Annotated[StoredRun, Depends(_known)]


@router.get("/runs", dependencies=[may_read], responses=refusals(*NO_ACCESS, "invalid-request", "store-away"))
async def list_runs(
    store: WithStore,
    pipeline: Annotated[str | None, Query(pattern=NAME)] = None,
    state: Annotated[RunState | None, Query(description="Only the runs that are in this state now.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[str | None, Query(pattern=_PLACE, description="`next` of the page before.")] = None,
) -> RunPage:
    """Runs, newest first, by page.

    With `state` one request looks at 2,000 runs at most: a page can hold fewer than `limit`, or none, and there are no more
    only when `next` is null.
    """
    return await store.page(pipeline=pipeline, state=state, limit=limit, after=after)


@router.get("/runs/{run_id}", dependencies=[may_read], responses=_REFUSED)
async def show_run(run: KnownRun, services: WithServices) -> Run:
    """A run with its timeline, and with the dead letter that keeps it waiting, if one does."""
    return replace(run, letter=await _put_aside(run, services))


async def _put_aside(run: Run, services: Services) -> PutAside | None:
    """The dead letter of a run that waits as if it were in its queue: the broker, or a worker that could not believe it,
    put its message aside, and nobody could note that in the store.

    Looked for only when the run has waited for long, by a look that all such runs share; a broker that is away or slow
    costs the page this line and no more.
    """
    if run.state not in _WAITING or abs(time.time() * 1000 - run.updated_ms) < _LONG * 1000:
        return None
    with suppress(MousetrapError, TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            looked = await services.dead_letters.look(Selection(run=run.id), stale=_LONG)
            # A letter that a worker gave up names its run, which has failed then: one that lies there still is stale.
            aside = [it for it in looked.letters if "mousetrap-run" not in it.message.headers]
            if not aside:
                return None
            found = aside[-1]
            return PutAside(id=found.id, queue=found.queue, reason=found.reason, believed=found.believed)
    return None
