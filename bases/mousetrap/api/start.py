"""Starts runs, in little more time than the broker and the store need for it."""

import asyncio
import logging
import os
import re
import time
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Query, Request, Response

from mousetrap import shapes
from mousetrap.api.access import Starter, caller_of
from mousetrap.api.pipelines import KnownPipeline, pipeline_of
from mousetrap.api.problems import CLOSED, NO_ACCESS, Problem, refusals
from mousetrap.api.routes import Route
from mousetrap.api.runs import RUN_ID
from mousetrap.api.services import Services, WithServices, services_of
from mousetrap.api_keys import Scope
from mousetrap.jobs import PublishUnconfirmed
from mousetrap.pipeline import Pipeline
from mousetrap.submit_run import Accepted, new_run_id, run_id_of_key

PRINTABLE = r"^[ -~]{1,255}$"
_printable = re.compile(PRINTABLE)
#: Seconds that broker and store have together: the caller must hear within two.
_PATIENCE = 1.8
#: Seconds that a run may be given: a year, and longer than any store remembers it.
_MOST_TIME = 31_536_000.0
#: Bodies that say nothing.
_EMPTY = (b"", b"{}")

_log = logging.getLogger(__name__)


class _ByHand(Route):
    """Gathers what `start_run` is given without the framework, which takes longer for it than starting the run does.

    The framework describes the route as ever, and is left every request with a query or with a header that it may refuse.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        by_framework = super().get_route_handler()

        async def handle(request: Request) -> Response:
            key = request.headers.get("idempotency-key")
            if request.scope["query_string"] or not (key is None or _printable.fullmatch(key)):
                return await by_framework(request)
            caller = caller_of(request, Scope.RUN)
            services = services_of(request)
            pipeline = pipeline_of(request.path_params["pipeline"], services.pipelines)
            return await start_run(caller, pipeline, services, request, key)

        return handle


router = APIRouter(tags=["runs"], route_class=_ByHand)


@router.post(
    "/pipelines/{pipeline}/runs",
    status_code=202,
    response_model=shapes.Accepted,
    responses=refusals(
        *NO_ACCESS,
        *("two-ids", "unknown-pipeline", "body-too-slow", "run-conflict", "body-too-large"),
        *("invalid-request", "contract-broken"),
        *CLOSED,
    ),
)
async def start_run(
    caller: Starter,
    pipeline: KnownPipeline,
    services: WithServices,
    request: Request,
    key: Annotated[str | None, Header(alias="Idempotency-Key", pattern=PRINTABLE)] = None,
    run_id: Annotated[str | None, Query(pattern=RUN_ID, description="An id of your own choice.")] = None,
    expires_in: Annotated[
        float | None,
        Query(gt=0, le=_MOST_TIME, description="Seconds after which no job of it is begun any more."),
    ] = None,
) -> Response:
    """Starts a run; the body is the pipeline's input, and an empty one means its defaults.

    Accepted means kept. A repeat with the same Idempotency-Key or run_id, and the same body, returns the first run, with
    the header `Idempotent-Replayed`: after an error 503, and when no answer came, that is how to try again.
    """
    if key is not None and run_id is not None:
        raise Problem("two-ids", "send the header Idempotency-Key or the query run_id, not both")
    if key is not None:
        run_id = run_id_of_key(caller.id, pipeline.name, key)
    return told(await submit(services, pipeline, await request.body(), run_id, expires_in))


async def submit(
    services: Services,
    pipeline: Pipeline,
    body: bytes,
    run_id: str | None = None,
    expires_in: float | None = None,
) -> Accepted:
    """Starts a run, under a new id unless one is given. Raises DeadLettersFull or StoreFull where none is accepted now."""
    if body in _EMPTY:
        body = services.defaults.get(pipeline.name, b"")
    services.intake.check(pipeline, len(body))
    submission = services.submitter.submit(pipeline, body, run_id=run_id or fresh_id(), expires_in=expires_in)
    return await accepted_in_time(submission, pipeline)


def fresh_id() -> str:
    """An id that no run has."""
    return new_run_id(int(time.time() * 1000), os.urandom(10))


async def accepted_in_time(submission: Coroutine[Any, Any, Accepted], pipeline: Pipeline) -> Accepted:
    """What the submission of a run comes to; PublishUnconfirmed once its caller has waited long enough."""
    submitting = asyncio.ensure_future(submission)
    # Not cancelled: whatever becomes of it is recorded, so that a repeat finds it.
    await asyncio.wait([submitting], timeout=_PATIENCE)
    if not submitting.done():
        submitting.add_done_callback(_note)
        raise PublishUnconfirmed(
            "broker and store are too slow: the run may be accepted or not; repeat with the same id or key"
        )
    accepted = submitting.result()
    facts = {"pipeline": pipeline.name, "run": accepted.run_id, "new": accepted.new}
    _log.info("accepted a run", extra=facts)
    return accepted


def told(accepted: Accepted) -> Response:
    """What the caller hears of an accepted run: where it is, and whether it was there before."""
    url = f"/runs/{accepted.run_id}"
    headers = {"Location": url} if accepted.new else {"Location": url, "Idempotent-Replayed": "true"}
    body = msgspec.json.encode({"run_id": accepted.run_id, "url": url})
    return Response(body, 202, headers, "application/json")


def _note(submission: "asyncio.Future[Accepted]") -> None:
    if not submission.cancelled():
        _log.warning("a run was submitted too slowly for its caller", extra={"error": submission.exception()})
