"""Starts runs."""

import asyncio
import logging
import os
import time
from collections.abc import Coroutine
from typing import Annotated, Any

import msgspec
from fastapi import Header, Query, Request, Response

from mousetrap.api.access import Starter
from mousetrap.api.known import RUN_ID, KnownPipeline
from mousetrap.api.problems import CLOSED, NO_ACCESS, Kind, Problem, refusals
from mousetrap.api.services import Services, WithServices
from mousetrap.jobs import PublishUnconfirmed
from mousetrap.pipeline import Pipeline
from mousetrap.submit_run import Accepted, new_run_id, run_id_of_key

#: What an idempotency key may be.
PRINTABLE = r"^[ -~]{1,255}$"
#: For broker and store together: the caller must have an answer within two seconds.
_TIMEOUT_S = 1.8
#: The longest time that a run may be given: a year, and longer than any store remembers it.
_MAX_EXPIRY_S = 31_536_000.0
#: Bodies that mean the pipeline's defaults.
_EMPTY = (b"", b"{}")
#: The documentation of the errors of `start_run`.
REFUSALS = refusals(
    *NO_ACCESS,
    Kind.TWO_IDS,
    Kind.UNKNOWN_PIPELINE,
    Kind.BODY_TOO_SLOW,
    Kind.RUN_CONFLICT,
    Kind.BODY_TOO_LARGE,
    Kind.INVALID_REQUEST,
    Kind.CONTRACT_BROKEN,
    *CLOSED,
)

_log = logging.getLogger(__name__)


async def start_run(
    caller: Starter,
    pipeline: KnownPipeline,
    services: WithServices,
    request: Request,
    key: Annotated[str | None, Header(alias="Idempotency-Key", pattern=PRINTABLE)] = None,
    run_id: Annotated[str | None, Query(pattern=RUN_ID, description="An id of your own choice.")] = None,
    expires_in: Annotated[
        float | None,
        Query(gt=0, le=_MAX_EXPIRY_S, description="Seconds after which no job of it is begun any more."),
    ] = None,
) -> Response:
    """Starts a run; the body is the pipeline's input, and an empty one means its defaults.

    Accepted means kept. A repeat with the same Idempotency-Key or run_id, and the same body, returns the first run, with
    the header `Idempotent-Replayed`: after an error 503, and when no answer came, that is how to try again.
    """
    if key is not None and run_id is not None:
        raise Problem(Kind.TWO_IDS, "send the header Idempotency-Key or the query run_id, not both")
    if key is not None:
        run_id = run_id_of_key(caller.id, pipeline.name, key)
    return accepted_response(await submit(services, pipeline, await request.body(), run_id, expires_in))


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
    submission = services.submitter.submit(pipeline, body, run_id=run_id or new_id(), expires_in=expires_in)
    return await accepted_in_time(submission, pipeline)


def new_id() -> str:
    """An id that no run has."""
    return new_run_id(int(time.time() * 1000), os.urandom(10))


async def accepted_in_time(submission: Coroutine[Any, Any, Accepted], pipeline: Pipeline) -> Accepted:
    """The accepted run; raises PublishUnconfirmed when broker and store take too long."""
    submitting = asyncio.ensure_future(submission)
    # Not cancelled on a timeout: the result is recorded, and a retry with the same id will find it.
    await asyncio.wait([submitting], timeout=_TIMEOUT_S)
    if not submitting.done():
        submitting.add_done_callback(_log_late)
        raise PublishUnconfirmed(
            "broker and store are too slow: the run may be accepted or not; repeat with the same id or key"
        )
    accepted = submitting.result()
    facts = {"pipeline": pipeline.name, "run": accepted.run_id, "new": accepted.new}
    _log.info("accepted a run", extra=facts)
    return accepted


def accepted_response(accepted: Accepted) -> Response:
    """Where the run is, and whether it was there before."""
    url = f"/runs/{accepted.run_id}"
    headers = {"Location": url} if accepted.new else {"Location": url, "Idempotent-Replayed": "true"}
    body = msgspec.json.encode({"run_id": accepted.run_id, "url": url})
    return Response(body, 202, headers, "application/json")


def _log_late(submission: "asyncio.Future[Accepted]") -> None:
    if not submission.cancelled():
        _log.warning("a run was submitted too slowly for its caller", extra={"error": submission.exception()})
