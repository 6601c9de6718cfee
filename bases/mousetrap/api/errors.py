"""Turns every error into a problem: those of the components, those of the framework, and defects."""

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
from mousetrap.api.headers import OF_DATA
from mousetrap.api.problems import KINDS, Problem, absence, respond, write
from mousetrap.jobs import (
    MousetrapError,
    PublishUnconfirmed,
    QueueFull,
    QueueUnreachable,
    StoreFull,
    StoreUnreachable,
    Unroutable,
)
from mousetrap.pipeline import ContractBroken
from mousetrap.run_store import RunConflict
from mousetrap.submit_run import DeadLettersFull

_ROUTING = {404: "no-such-path", 405: "method-not-allowed"}

_log = logging.getLogger("mousetrap.api")

Handler = Callable[[Request, Any], Coroutine[Any, Any, Response]]


async def _problem(request: Request, problem: Problem) -> Response:
    if KINDS[problem.kind][0] in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        note_refusal(request, problem.kind)
    return respond(problem)


async def _broken_contract(_: Request, error: ContractBroken) -> Response:
    mend = "GET /pipelines shows the contract as JSON Schema"
    return respond(Problem("contract-broken", f"{error.what[:300]}; {mend}", where=error.where[:300]))


async def _conflict(_: Request, error: RunConflict) -> Response:
    return respond(Problem("run-conflict", str(error)))


async def _absent(kind: str, part: str, request: Request, error: MousetrapError) -> Response:
    _log.info("answered 503", extra={"kind": kind, "error": error})
    # Without keys the caller is on this machine, and most often the one who can start the server that is away.
    detail = error.outside() if request.app.state.access.keys else str(error)
    return respond(absence(kind, detail, part))


async def _closed(_: Request, error: DeadLettersFull) -> Response:
    return respond(absence("dead-letters-full", str(error)))


async def _invalid(_: Request, error: RequestValidationError) -> Response:
    found = [(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors()]
    detail = "; ".join(f"{where}: {what}" for where, what in found)
    return respond(Problem("invalid-request", detail, where=found[0][0]))


async def _of_framework(request: Request, error: HTTPException) -> Response:
    status = error.status_code
    if not is_body_allowed_for_status_code(status):
        return Response(status_code=status, headers=error.headers)
    if status in _ROUTING:
        # Not `request.url`, which cannot be made of every Host that is sent.
        what = f"{request.method} {request.scope['path']} is not served: /docs lists what is"
        return respond(Problem(_ROUTING[status], what, headers=_with_head(error.headers)))
    members = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    return write({**members, "detail": str(error.detail)}, error.headers)


async def _left(_: Request, error: ClientDisconnect) -> Response:
    """The caller left in the middle of its body: nobody reads the response, and it is no defect."""
    return Response(status_code=400)


def _with_head(headers: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """Whatever takes GET takes HEAD."""
    if headers and "GET" in headers.get("Allow", ""):
        return {**headers, "Allow": f"{headers['Allow']}, HEAD"}
    return headers


async def _defect(_: Request, error: Exception) -> Response:
    # The framework sends this one outside of the middleware that adds the headers to all others.
    detail = "this is a defect of ours: the server's log has its story"
    return respond(Problem("internal-error", detail, headers=OF_DATA))


#: By the error's class.
HANDLERS: Mapping[Any, Handler] = {
    Problem: _problem,
    ContractBroken: _broken_contract,
    RunConflict: _conflict,
    StoreFull: partial(_absent, "store-full", "store"),
    StoreUnreachable: partial(_absent, "store-away", "store"),
    QueueUnreachable: partial(_absent, "broker-away", "broker"),
    PublishUnconfirmed: partial(_absent, "unconfirmed", "broker"),
    QueueFull: partial(_absent, "queue-full", "broker"),
    Unroutable: partial(_absent, "unroutable", "broker"),
    DeadLettersFull: _closed,
    RequestValidationError: _invalid,
    HTTPException: _of_framework,
    ClientDisconnect: _left,
    Exception: _defect,
}
