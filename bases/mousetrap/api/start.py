"""Starts runs, usual requests without the framework's gathering of arguments."""

import asyncio
import logging
import os
import re
import time
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from mousetrap import shapes
from mousetrap.api.access import Starter, caller_of, check_scopes
from mousetrap.api.known import RUN_ID, KnownPipeline
from mousetrap.api.options import MAX_EXPIRY_S, read_options, utc_now
from mousetrap.api.problems import CLOSED, NO_ACCESS, Kind, NotAccepted, Problem, refusals
from mousetrap.api.routes import Route
from mousetrap.api.services import Services, WithServices
from mousetrap.api.wait import Wait, ended_run, room_to_wait
from mousetrap.api_keys import Scope
from mousetrap.jobs import (
    DEFAULT_PRIORITY,
    HIGHEST_PRIORITY,
    LOWEST_PRIORITY,
    PublishUnconfirmed,
    QueueUnreachable,
    StoreUnreachable,
)
from mousetrap.pipeline import Pipeline
from mousetrap.submit_run import KEY_FORM, Accepted, SubmitOptions, new_run_id, run_id_of_key

T = TypeVar("T")

#: What an idempotency key may be.
PRINTABLE = f"^{KEY_FORM}$"
#: For broker and store together: the caller must have an answer within two seconds.
_TIMEOUT_S = 1.8
_LATE = "broker and store are too slow: the run may be accepted or not; repeat with the same id or key"
#: No options.
NOW = SubmitOptions()
#: Bodies that mean the pipeline's defaults.
_EMPTY = (b"", b"{}")
#: The documentation of the errors of `start_run`.
REFUSALS = refusals(
    *NO_ACCESS,
    Kind.TWO_IDS,
    Kind.UNKNOWN_PIPELINE,
    Kind.PIPELINE_CONTRADICTED,
    Kind.BODY_TOO_SLOW,
    Kind.RUN_CONFLICT,
    Kind.BODY_TOO_LARGE,
    Kind.INVALID_REQUEST,
    Kind.CONTRACT_BROKEN,
    Kind.TOO_MANY_WATCHERS,
    *CLOSED,
)

_log = logging.getLogger(__name__)
_printable = re.compile(PRINTABLE)
_run = TypeAdapter(shapes.Run)


class FastPath(Route):
    """The route of `start_run`. Gathering its arguments took the framework longer than starting a run takes.

    It serves a request without a query, for a known pipeline, with a printable key or none. The framework serves all others,
    and refuses them where needed; it also describes the route. A test compares the responses of both.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The short way where it is enough, else the framework's."""
        by_framework = super().get_route_handler()

        async def handle(request: Request) -> Response:
            services: Services = request.app.state.services
            pipeline = services.pipelines.get(request.path_params["pipeline"])
            key = request.headers.get("idempotency-key")
            unusual = request.scope["query_string"] or not (key is None or _printable.fullmatch(key))
            if unusual or pipeline is None:
                return await by_framework(request)
            caller = caller_of(request, Scope.RUN)
            return await start_run(caller, pipeline, services, request, key=key)

        return handle


router = APIRouter(tags=["runs"], route_class=FastPath)


class TermsQuery(BaseModel):
    """When a run is started, and what is kept with it."""

    model_config = ConfigDict(frozen=True)

    delay: Annotated[float | None, Field(ge=0, description="Seconds before which no job of it is begun.")] = (
        None
    )
    at: Annotated[
        str | None,
        Field(
            max_length=100,
            description="The time, in ISO 8601 with an offset, before which no job of it is begun. Not together with `delay`.",
            examples=["2026-12-01T08:00:00Z"],
        ),
    ] = None
    expires_in: Annotated[
        float | None,
        Field(gt=0, le=MAX_EXPIRY_S, description="Seconds after which no job of it is begun any more."),
    ] = None
    tags: Annotated[
        tuple[str, ...],
        Field(description="Words of your own, at most 16 of at most 64 characters, each as `tags=…`."),
    ] = ()
    priority: Annotated[
        int,
        Field(
            ge=LOWEST_PRIORITY, le=HIGHEST_PRIORITY, description="Of all its jobs: the highest goes first."
        ),
    ] = DEFAULT_PRIORITY


class StartQuery(TermsQuery):
    """The options of a run to start."""

    run_id: Annotated[str | None, Field(pattern=RUN_ID, description="An id of your own choice.")] = None
    wait: Wait = None


_NO_QUERY = StartQuery()


@router.post(
    "/pipelines/{pipeline}/runs",
    status_code=202,
    response_model=shapes.Accepted,
    responses={
        200: {"model": shapes.Run, "description": "With `wait`: the run, which has ended in time."},
        **REFUSALS,
    },
)
async def start_run(
    caller: Starter,
    pipeline: KnownPipeline,
    services: WithServices,
    request: Request,
    query: Annotated[StartQuery, Query()] = _NO_QUERY,
    key: Annotated[str | None, Header(alias="Idempotency-Key", pattern=PRINTABLE)] = None,
) -> Response:
    """Starts a run; the body is the pipeline's input, and an empty one means its defaults.

    Accepted means kept. A repeat with the same Idempotency-Key or run_id, and the same body, returns the first run, with
    the header `Idempotent-Replayed`: after an error 503, and when no answer came, that is how to try again. An error after which
    the run may be done all the same has its `run_id`. A repeat changes neither the first run's begin, nor its priority, nor its tags.

    With `wait` the answer comes when the run has ended: 200 with the whole run, whatever its end; 202 as ever when the
    time is over, and the run goes on. It needs a key with the scope `read` as well.
    """
    run_id = query.run_id
    if key is not None and run_id is not None:
        raise Problem(Kind.TWO_IDS, "send the header Idempotency-Key or the query run_id, not both")
    if key is not None:
        run_id = run_id_of_key(caller.id, pipeline.name, key)
    options = NOW if query is _NO_QUERY else read_options(query, "query", utc_now())
    if query.wait is None:
        return accepted_response(await submit(services, pipeline, await request.body(), run_id, options))
    check_scopes(caller, Scope.READ)
    with room_to_wait(request):
        accepted = await submit(services, pipeline, await request.body(), run_id, options)
        run = await ended_run(request, accepted.run_id, query.wait)
    return _ended_response(accepted, run) if run else accepted_response(accepted)


async def submit(
    services: Services,
    pipeline: Pipeline,
    body: bytes,
    run_id: str | None = None,
    options: SubmitOptions = NOW,
) -> Accepted:
    """Starts a run, under a new id unless one is given. Raises DeadLettersFull or StoreFull where none is accepted now."""
    body = checked_input(services, pipeline, body)
    is_new, run_id = run_id is None, run_id or new_id()
    submission = services.submitter.submit(pipeline, body, run_id=run_id, options=options, is_new=is_new)
    return await accepted_in_time(submission, pipeline, run_id)


def checked_input(services: Services, pipeline: Pipeline, body: bytes) -> bytes:
    """The input that `body` means. Raises DeadLettersFull or StoreFull where no run is accepted now."""
    if body in _EMPTY:
        body = services.defaults.get(pipeline.name, b"")
    services.intake.check(pipeline, len(body))
    return body


def new_id() -> str:
    """An id that no run has."""
    return new_run_id(int(time.time() * 1000), os.urandom(10))


async def accepted_in_time(
    submission: Coroutine[Any, Any, Accepted], pipeline: Pipeline, run_id: str, late: str = _LATE
) -> Accepted:
    """The accepted run. Raises NotAccepted where it may run all the same: with the text `late` when broker and store take too long."""
    submitting = await in_time(submission)
    if not submitting.done():
        raise NotAccepted(run_id, PublishUnconfirmed(late))
    try:
        accepted = submitting.result()
    except (QueueUnreachable, StoreUnreachable, PublishUnconfirmed) as error:
        raise NotAccepted(run_id, error) from error
    facts = {"pipeline": pipeline.name, "run": accepted.run_id, "new": accepted.new}
    _log.info("accepted a run", extra=facts)
    return accepted


async def in_time(submission: Coroutine[Any, Any, T]) -> "asyncio.Future[T]":
    """The submission, when it is done or a caller can wait no longer; it goes on then."""
    submitting = asyncio.ensure_future(submission)
    # Not cancelled on a timeout: the result is recorded, and a retry with the same id will find it.
    await asyncio.wait([submitting], timeout=_TIMEOUT_S)
    if not submitting.done():
        submitting.add_done_callback(_log_late)
    return submitting


def accepted_response(accepted: Accepted) -> Response:
    """Where the run is, and whether it was there before."""
    body = msgspec.json.encode({"run_id": accepted.run_id, "url": _url(accepted)})
    return Response(body, 202, _headers(accepted), "application/json")


def _ended_response(accepted: Accepted, run: shapes.Run) -> Response:
    return Response(_run.dump_json(run), 200, _headers(accepted), "application/json")


def _headers(accepted: Accepted) -> dict[str, str]:
    location = {"Location": _url(accepted)}
    return location if accepted.new else {**location, "Idempotent-Replayed": "true"}


def _url(accepted: Accepted) -> str:
    return f"/runs/{accepted.run_id}"


def _log_late(submission: "asyncio.Future[Any]") -> None:
    if not submission.cancelled():
        _log.warning("a run was submitted too slowly for its caller", extra={"error": submission.exception()})
