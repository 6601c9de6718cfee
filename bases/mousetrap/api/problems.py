"""What the API says no with: problem documents (RFC 9457) that tell what is wrong, where, and how to correct it."""

from collections.abc import Mapping
from typing import Any

from fastapi import Response
from fastapi.responses import JSONResponse

#: Each kind of problem: its type is urn:mousetrap:problem:<kind>.
KINDS: Mapping[str, tuple[int, str]] = {
    "malformed-request": (400, "The request is no HTTP"),
    "malformed-host": (400, "The Host header names no host"),
    "two-ids": (400, "The run is named twice"),
    "key-missing": (401, "A key is needed"),
    "key-unknown": (401, "The key is not known"),
    "key-ended": (401, "The key has ended"),
    "scope-missing": (403, "The key does not allow this"),
    "foreign-origin": (403, "Without keys, only this machine is answered"),
    "proxy-without-keys": (403, "Without keys, no proxy is served"),
    "no-such-path": (404, "There is no such path"),
    "unknown-pipeline": (404, "There is no such pipeline"),
    "unknown-run": (404, "There is no such run"),
    "unknown-queue": (404, "There is no such queue"),
    "unknown-letter": (404, "There is no such dead letter"),
    "no-result": (404, "No run has completed yet"),
    "method-not-allowed": (405, "The path does not take this method"),
    "head-too-slow": (408, "The request did not arrive in time"),
    "body-too-slow": (408, "The body did not arrive in time"),
    "run-conflict": (409, "Another run has this id"),
    "run-ended": (409, "The run has ended"),
    "rerun-impossible": (409, "The run cannot be repeated in this way"),
    "not-editable": (409, "The dead letter cannot be edited"),
    "body-too-large": (413, "The body is too large"),
    "unknown-parameter": (422, "The path has no such query parameter"),
    "invalid-request": (422, "The request is not valid"),
    "nothing-selected": (422, "It is not said which dead letters are meant"),
    "contract-broken": (422, "The body does not fit the pipeline's input contract"),
    "too-many-requests": (429, "The caller calls too often"),
    "head-too-large": (431, "The request's head is too large"),
    "internal-error": (500, "Something unexpected happened"),
    "broker-away": (503, "The broker is away"),
    "store-away": (503, "The store is away"),
    "store-full": (503, "The store is full"),
    "dead-letters-full": (503, "Too many dead letters"),
    "too-many-connections": (503, "There are too many connections"),
    "too-many-watchers": (503, "There are too many watchers"),
    "not-ready": (503, "Not ready"),
    "unconfirmed": (503, "The broker did not confirm the run"),
    "queue-full": (503, "The queue is full"),
    "unroutable": (503, "The broker has no such queue"),
}
#: What a caller without the right key meets, and what absences there are.
NO_ACCESS = (
    "malformed-host",
    "key-missing",
    "key-unknown",
    "key-ended",
    "scope-missing",
    "foreign-origin",
    "proxy-without-keys",
    "too-many-requests",
)
ABSENT = ("store-away", "store-full", "broker-away", "unconfirmed", "queue-full", "unroutable")
#: What a run that is refused for the sake of others meets, beside those.
CLOSED = (*ABSENT, "dead-letters-full")

_MEDIA = "application/problem+json"
#: Seconds after which it is worth while to ask an absent broker or store again.
_RETRY_AFTER = "2"
#: Characters of a text: error texts quote names that the caller chose, of any length.
_LONGEST = 500

Documented = dict[int | str, dict[str, Any]]


class Problem(Exception):
    """An answer that says no; `more` are members beside the usual ones."""

    def __init__(
        self, kind: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(kind, detail)
        self.kind = kind
        self.detail = detail
        self.headers = headers
        self.more = more


def absence(kind: str, detail: str, *parts: str) -> Problem:
    """A problem that passes by itself, with the parts (broker, store) that it comes from."""
    return Problem(kind, detail, headers={"Retry-After": _RETRY_AFTER}, away=list(parts))


def respond(problem: Problem) -> Response:
    """The problem as a response."""
    return write({**_members(problem.kind), "detail": _cut(problem.detail), **problem.more}, problem.headers)


def write(members: Mapping[str, Any], headers: Mapping[str, str] | None) -> Response:
    """A response with these members, of a problem that has no kind of ours."""
    return JSONResponse(members, members["status"], headers, media_type=_MEDIA)


def refusals(*kinds: str) -> Documented:
    """What a route's documentation says of these kinds, by status."""
    found: Documented = {}
    for kind in kinds:
        status, title = KINDS[kind]
        told = found.setdefault(status, _documented(title))
        examples = told["content"][_MEDIA].setdefault("examples", {})
        examples[kind] = {"summary": title, "value": _members(kind)}
    return found


def any_refusal() -> Documented:
    """What the documentation says of all other errors."""
    return {"default": _documented("Every error is a problem (RFC 9457)")}


def _documented(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {_MEDIA: {"schema": schema}}}


def _members(kind: str) -> dict[str, Any]:
    status, title = KINDS[kind]
    return {"type": f"urn:mousetrap:problem:{kind}", "title": title, "status": status}


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
