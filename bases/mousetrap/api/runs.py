"""Starts runs and shows them."""

import asyncio
import logging
import os
import time
from collections.abc import Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response

from mousetrap.api import views
from mousetrap.api.access import Starter, may_read
from mousetrap.api.pipelines import NAME, KnownPipeline
from mousetrap.api.problems import ABSENT, NO_ACCESS, Problem, refusals
from mousetrap.api.services import Services, WithServices, WithStore
from mousetrap.jobs import PublishUnconfirmed
from mousetrap.pipeline import Pipeline
from mousetrap.run_store import Run
from mousetrap.submit_run import Accepted, new_run_id, run_id_of_key, submit_run

RUN_ID = r"^[A-Za-z0-9_-]{1,64}$"
PRINTABLE = r"^[ -~]{1,255}$"
_PLACE = r"^[0-9]{13}:[A-Za-z0-9_-]{1,64}$"
#: Seconds that broker and store have together: the caller must hear within two.
_PATIENCE = 1.8
#: Seconds that a run may be given: a year, and longer than any store remembers it.
_MOST_TIME = 31_536_000.0

_log = logging.getLogger(__name__)
router = APIRouter(tags=["runs"])


async def _known(run_id: Annotated[str, Path(pattern=RUN_ID)], store: WithStore) -> Run:
    run = await store.get(run_id)
    if run is None:
        raise Problem("unknown-run", "check the id; a run is forgotten some days after its last change")
    return run


_REFUSED = refusals(*NO_ACCESS, "unknown-run", "invalid-request", "store-away")
#: For the signatures of routes.
KnownRun = Annotated[Run, Depends(_known)]


@router.post(
    "/pipelines/{pipeline}/runs",
    status_code=202,
    responses=refusals(
        *NO_ACCESS,
        *("two-ids", "unknown-pipeline", "body-too-slow", "run-conflict", "body-too-large"),
        *("invalid-request", "contract-broken"),
        *ABSENT,
    ),
)
async def start_run(
    caller: Starter,
    pipeline: KnownPipeline,
    services: WithServices,
    request: Request,
    response: Response,
    key: Annotated[str | None, Header(alias="Idempotency-Key", pattern=PRINTABLE)] = None,
    run_id: Annotated[str | None, Query(pattern=RUN_ID, description="An id of your own choice.")] = None,
    expires_in: Annotated[
        float | None,
        Query(gt=0, le=_MOST_TIME, description="Seconds after which no job of it is begun any more."),
    ] = None,
) -> views.Accepted:
    """Starts a run; the body is the pipeline's input, and an empty one means its defaults.

    Accepted means kept. A repeat with the same Idempotency-Key or run_id, and the same body, returns the first run, with
    the header `Idempotent-Replayed`: after an error 503, and when no answer came, that is how to try again.
    """
    if key is not None and run_id is not None:
        raise Problem("two-ids", "send the header Idempotency-Key or the query run_id, not both")
    if key is not None:
        run_id = run_id_of_key(caller.id, pipeline.name, key)
    return told(await submit(services, pipeline, await request.body(), run_id, expires_in), response)


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


async def submit(
    services: Services,
    pipeline: Pipeline,
    body: bytes,
    run_id: str | None = None,
    expires_in: float | None = None,
) -> Accepted:
    """Starts a run, under a new id unless one is given."""
    submission = submit_run(
        services.store,
        services.queue,
        services.keyring,
        pipeline,
        body,
        run_id=run_id or fresh_id(),
        expires_in=expires_in,
    )
    return await accepted_in_time(submission, pipeline)


def fresh_id() -> str:
    """An id that no run has."""
    return new_run_id(int(time.time() * 1000), os.urandom(10))


async def accepted_in_time(submission: Coroutine[Any, Any, Accepted], pipeline: Pipeline) -> Accepted:
    """What the submission of a run comes to; PublishUnconfirmed once its caller has waited long enough."""
    submitting = asyncio.ensure_future(submission)
    try:
        # Not cancelled: whatever becomes of it is recorded, so that a repeat finds it.
        accepted = await asyncio.wait_for(asyncio.shield(submitting), _PATIENCE)
    except TimeoutError:
        submitting.add_done_callback(_note)
        raise PublishUnconfirmed(
            "broker and store are too slow: the run may be accepted or not; repeat with the same id or key"
        ) from None
    facts = {"pipeline": pipeline.name, "run": accepted.run_id, "new": accepted.new}
    _log.info("accepted a run", extra=facts)
    return accepted


def told(accepted: Accepted, response: Response) -> views.Accepted:
    """What the caller hears of an accepted run: where it is, and whether it was there before."""
    if not accepted.new:
        response.headers["Idempotent-Replayed"] = "true"
    response.headers["Location"] = f"/runs/{accepted.run_id}"
    return views.Accepted(run_id=accepted.run_id, url=f"/runs/{accepted.run_id}")


def _note(submission: "asyncio.Future[Accepted]") -> None:
    if not submission.cancelled():
        _log.warning("a run was submitted too slowly for its caller", extra={"error": submission.exception()})
