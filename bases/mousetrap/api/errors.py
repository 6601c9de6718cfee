"""Turns every error of components and framework into a problem."""

import logging
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.utils import is_body_allowed_for_status_code
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from mousetrap.api.audit import note_refusal
from mousetrap.api.middleware import OF_DATA
from mousetrap.api.problems import ABSENT, Kind, NotAccepted, Problem, absence, respond, write
from mousetrap.api.records import RecordAway
from mousetrap.jobs import (
    MousetrapError,
    PublishUnconfirmed,
    QueueFull,
    QueueUnreachable,
    StoreFull,
    StoreUnreachable,
    Unroutable,
)
from mousetrap.known_pipelines import NoTaker, TakerContradicted
from mousetrap.operations import TooManyOperations
from mousetrap.payloads import PayloadTooLarge
from mousetrap.pipeline import ContractBroken, TopicInvalid
from mousetrap.run_store import RunConflict
from mousetrap.scheduler import ScheduleTaken, TooManySchedules
from mousetrap.submit_run import DeadLettersFull, NotTried

_ROUTING = {404: Kind.NO_SUCH_PATH, 405: Kind.METHOD_NOT_ALLOWED}

_log = logging.getLogger("mousetrap.api")

Handler = Callable[[Request, Any], Coroutine[Any, Any, Response]]


async def _problem(request: Request, problem: Problem) -> Response:
    if problem.kind.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        note_refusal(request, problem.kind)
    return respond(problem)


def problem_of(error: Exception, *, local: bool) -> Problem | None:
    """The problem that a caller is answered for an error of a component; None for an error that is a defect of ours.

    A `local` caller is on this machine, and can most often start the server that is away: it gets the whole text.
    """
    if isinstance(error, Problem):
        return error
    for kind, problem in _OF_COMPONENTS.items():
        if isinstance(error, kind):
            return problem(error, local)
    return None


def _not_accepted(error: NotAccepted, local: bool) -> Problem:
    why = problem_of(error.why, local=local)
    assert why is not None
    return Problem(why.kind, why.detail, headers=why.headers, run_id=error.run_id, **why.more)


def _broken_contract(error: ContractBroken, _: bool) -> Problem:
    return Problem(
        Kind.CONTRACT_BROKEN,
        f"{error.what[:300]}; GET /pipelines shows the contract as JSON Schema",
        where=error.where[:300],
    )


def _conflict(error: RunConflict, _: bool) -> Problem:
    return Problem(Kind.RUN_CONFLICT, str(error))


def _too_large(error: PayloadTooLarge, _: bool) -> Problem:
    return Problem(Kind.BODY_TOO_LARGE, str(error))


def _absent(kind: Kind, part: str, error: MousetrapError, local: bool) -> Problem:
    return absence(kind, str(error) if local else error.outside(), part)


def _closed(error: DeadLettersFull, _: bool) -> Problem:
    return absence(Kind.DEAD_LETTERS_FULL, str(error))


def _too_many(error: TooManyOperations, _: bool) -> Problem:
    return absence(Kind.TOO_MANY_OPERATIONS, str(error))


def _too_many_schedules(error: TooManySchedules, _: bool) -> Problem:
    return absence(Kind.TOO_MANY_SCHEDULES, str(error))


def _no_taker(error: NoTaker, _: bool) -> Problem:
    return Problem(Kind.NO_TAKER, str(error), taken=list(error.taken), nearest=error.nearest)


def _contradicted(error: TakerContradicted, _: bool) -> Problem:
    return Problem(Kind.PIPELINE_CONTRADICTED, str(error))


def _no_topic(error: TopicInvalid, _: bool) -> Problem:
    return Problem(Kind.INVALID_REQUEST, str(error), where="path.topic")


def _taken(error: ScheduleTaken, _: bool) -> Problem:
    return Problem(Kind.SCHEDULE_TAKEN, str(error))


def _not_tried(error: NotTried, local: bool) -> Problem:
    part = "store" if isinstance(error.__cause__, StoreUnreachable) else "broker"
    return _absent(Kind.NOT_TRIED, part, error, local)


#: By the error's class; a class comes before those that it derives from.
_OF_COMPONENTS: Mapping[type[Exception], Callable[[Any, bool], Problem]] = {
    ContractBroken: _broken_contract,
    RunConflict: _conflict,
    PayloadTooLarge: _too_large,
    StoreFull: partial(_absent, Kind.STORE_FULL, "store"),
    StoreUnreachable: partial(_absent, Kind.STORE_AWAY, "store"),
    RecordAway: partial(_absent, Kind.RECORD_AWAY, "record"),
    QueueUnreachable: partial(_absent, Kind.BROKER_AWAY, "broker"),
    PublishUnconfirmed: partial(_absent, Kind.UNCONFIRMED, "broker"),
    QueueFull: partial(_absent, Kind.QUEUE_FULL, "broker"),
    Unroutable: partial(_absent, Kind.UNROUTABLE, "broker"),
    NotTried: _not_tried,
    NotAccepted: _not_accepted,
    DeadLettersFull: _closed,
    TooManyOperations: _too_many,
    TooManySchedules: _too_many_schedules,
    ScheduleTaken: _taken,
    NoTaker: _no_taker,
    TakerContradicted: _contradicted,
    TopicInvalid: _no_topic,
}


async def _of_component(request: Request, error: Exception) -> Response:
    problem = problem_of(error, local=request.app.state.access.local_only)
    assert problem is not None  # the framework calls this only for the classes above
    if problem.kind in (*ABSENT, Kind.RECORD_AWAY):
        _log.info("answered 503", extra={"kind": problem.kind, "error": error})
    return respond(problem)


async def _invalid(_: Request, error: RequestValidationError) -> Response:
    found = [(".".join(map(str, each["loc"])), _sentence(each)) for each in error.errors()]
    detail = "; ".join(f"{where}: {what}" for where, what in found)
    return respond(Problem(Kind.INVALID_REQUEST, detail, where=found[0][0]))


def _sentence(error: Mapping[str, Any]) -> str:
    """What is wrong with a value. A caller has no use for the pattern of what it was given by us."""
    if error["type"] == "string_pattern_mismatch" and error["loc"][-1] == "after":
        return "it is no place in this list: take `next` of the page before, or leave it out"
    return str(error["msg"])


#: For paths that a setting adds.
_FIXES = {"/metrics": "start the API with MOUSETRAP_METRICS=true"}


async def _of_framework(request: Request, error: HTTPException) -> Response:
    status = error.status_code
    if not is_body_allowed_for_status_code(status):
        return Response(status_code=status, headers=error.headers)
    if status in _ROUTING:
        # Not `request.url`, which cannot be made of every Host that is sent.
        path = request.scope["path"]
        what = f"{request.method} {path} is not served: {_FIXES.get(path, '/docs lists what is')}"
        return respond(Problem(_ROUTING[status], what, headers=_with_head(error.headers)))
    members = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    return write({**members, "detail": str(error.detail)}, error.headers)


async def _left(_: Request, error: ClientDisconnect) -> Response:
    """The caller left in the middle of its body: no one reads the response, and it is no defect."""
    return Response(status_code=400)


def _with_head(headers: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """A path that takes GET takes HEAD, too."""
    if headers and "GET" in headers.get("Allow", ""):
        return {**headers, "Allow": f"{headers['Allow']}, HEAD"}
    return headers


async def _defect(_: Request, error: Exception) -> Response:
    # The framework sends this one outside of the middleware that adds the headers to all others.
    detail = "this is a defect of ours: the server's log has its traceback"
    return respond(Problem(Kind.INTERNAL_ERROR, detail, headers=OF_DATA))


#: By the error's class.
HANDLERS: Mapping[Any, Handler] = {
    Problem: _problem,
    **dict.fromkeys(_OF_COMPONENTS, _of_component),
    RequestValidationError: _invalid,
    HTTPException: _of_framework,
    ClientDisconnect: _left,
    Exception: _defect,
}
