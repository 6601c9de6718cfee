"""Error responses as problem documents (RFC 9457)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, Self

from fastapi import Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from mousetrap.jobs import MousetrapError


class Kind(StrEnum):
    """The kinds of problems, each with its status and title. Its type is urn:mousetrap:problem:<kind>."""

    status: int
    headline: str

    def __new__(cls, name: str, status: int, headline: str) -> Self:
        kind = str.__new__(cls, name)
        kind._value_ = name
        kind.status = status
        kind.headline = headline
        return kind

    MALFORMED_REQUEST = "malformed-request", 400, "The request is no HTTP"
    MALFORMED_HOST = "malformed-host", 400, "The Host header names no host"
    TWO_IDS = "two-ids", 400, "The run is named twice"
    KEY_MISSING = "key-missing", 401, "A key is needed"
    KEY_UNKNOWN = "key-unknown", 401, "The key is not known"
    KEY_ENDED = "key-ended", 401, "The key has ended"
    SCOPE_MISSING = "scope-missing", 403, "The key does not allow this"
    FOREIGN_ORIGIN = "foreign-origin", 403, "Without keys, only this machine is answered"
    PROXY_WITHOUT_KEYS = "proxy-without-keys", 403, "Without keys, no proxy is served"
    NO_SUCH_PATH = "no-such-path", 404, "There is no such path"
    UNKNOWN_PIPELINE = "unknown-pipeline", 404, "There is no such pipeline"
    NO_TAKER = "no-taker", 404, "No pipeline takes the topic"
    UNKNOWN_RUN = "unknown-run", 404, "There is no such run"
    UNKNOWN_QUEUE = "unknown-queue", 404, "There is no such queue"
    UNKNOWN_WORKER = "unknown-worker", 404, "There is no such worker"
    UNKNOWN_LETTER = "unknown-letter", 404, "There is no such dead letter"
    UNKNOWN_OPERATION = "unknown-operation", 404, "There is no such operation"
    UNKNOWN_SCHEDULE = "unknown-schedule", 404, "There is no such schedule"
    NO_RESULT = "no-result", 404, "No run has completed yet"
    METHOD_NOT_ALLOWED = "method-not-allowed", 405, "The path does not take this method"
    HEAD_TOO_SLOW = "head-too-slow", 408, "The request did not arrive in time"
    BODY_TOO_SLOW = "body-too-slow", 408, "The body did not arrive in time"
    RUN_CONFLICT = "run-conflict", 409, "Another run has this id"
    OPERATION_CONFLICT = "operation-conflict", 409, "Another operation has this key"
    OPERATION_ENDED = "operation-ended", 409, "The operation has ended"
    SCHEDULE_TAKEN = "schedule-taken", 409, "Another schedule has this name"
    SCHEDULE_IN_CODE = "schedule-in-code", 409, "The schedule is declared in code"
    RUN_ENDED = "run-ended", 409, "The run has ended"
    RESULT_LEFT_OUT = "result-left-out", 409, "The result cannot be sent"
    RERUN_IMPOSSIBLE = "rerun-impossible", 409, "The run cannot be repeated in this way"
    NOT_EDITABLE = "not-editable", 409, "The dead letter cannot be edited"
    PIPELINE_CONTRADICTED = "pipeline-contradicted", 409, "Workers contradict each other about the pipeline"
    BODY_TOO_LARGE = "body-too-large", 413, "The body is too large"
    LINE_TOO_LONG = "line-too-long", 413, "The line is too long"
    TOO_MANY_LINES = "too-many-lines", 413, "The batch has too many lines"
    UNKNOWN_PARAMETER = "unknown-parameter", 422, "The path has no such query parameter"
    INVALID_REQUEST = "invalid-request", 422, "The request is not valid"
    NOTHING_SELECTED = "nothing-selected", 422, "Nothing is selected"
    CONTRACT_BROKEN = "contract-broken", 422, "The body does not fit the pipeline's input contract"
    TOO_MANY_REQUESTS = "too-many-requests", 429, "The caller calls too often"
    HEAD_TOO_LARGE = "head-too-large", 431, "The request's head is too large"
    INTERNAL_ERROR = "internal-error", 500, "Something unexpected happened"
    BROKER_AWAY = "broker-away", 503, "The broker is away"
    STORE_AWAY = "store-away", 503, "The store is away"
    RECORD_AWAY = "record-away", 503, "The record of results cannot be read"
    NOT_TRIED = "not-tried", 503, "The run was not tried"
    STORE_FULL = "store-full", 503, "The store is full"
    DEAD_LETTERS_FULL = "dead-letters-full", 503, "Too many dead letters"
    TOO_MANY_CONNECTIONS = "too-many-connections", 503, "There are too many connections"
    TOO_MANY_BATCHES = "too-many-batches", 503, "There are too many batches"
    TOO_MANY_OPERATIONS = "too-many-operations", 503, "There are too many operations"
    TOO_MANY_SCHEDULES = "too-many-schedules", 503, "There are too many schedules"
    TOO_MANY_WATCHERS = "too-many-watchers", 503, "There are too many watchers"
    STOPPING = "stopping", 503, "The server stops"
    NOT_READY = "not-ready", 503, "Not ready"
    UNCONFIRMED = "unconfirmed", 503, "The broker did not confirm the run"
    QUEUE_FULL = "queue-full", 503, "The queue is full"
    UNROUTABLE = "unroutable", 503, "The broker has no such queue"


#: For a caller without the right key.
NO_ACCESS = (
    Kind.MALFORMED_HOST,
    Kind.KEY_MISSING,
    Kind.KEY_UNKNOWN,
    Kind.KEY_ENDED,
    Kind.SCOPE_MISSING,
    Kind.FOREIGN_ORIGIN,
    Kind.PROXY_WITHOUT_KEYS,
    Kind.TOO_MANY_REQUESTS,
)
#: Where broker or store is away or full.
ABSENT = (
    Kind.STORE_AWAY,
    Kind.STORE_FULL,
    Kind.BROKER_AWAY,
    Kind.UNCONFIRMED,
    Kind.QUEUE_FULL,
    Kind.UNROUTABLE,
)
#: For a new run, where none is accepted now.
CLOSED = (*ABSENT, Kind.DEAD_LETTERS_FULL)

_MEDIA = "application/problem+json"
#: Seconds after which a client may ask an absent broker or store again.
_RETRY_AFTER = "2"
#: Characters of a text: error texts quote names that the caller chose, of any length.
_MAX_CHARACTERS = 500

Documented = dict[int | str, dict[str, Any]]


class ProblemDocument(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(examples=["urn:mousetrap:problem:contract-broken"])
    title: str
    status: int
    detail: str = Field(description="What is wrong, and how to correct it.")
    where: str | None = Field(None, description="The place: a JSON path, or the name of a parameter.")
    away: list[Literal["broker", "store", "record"]] | None = Field(
        None, description="What the server waits for."
    )
    run_id: str | None = Field(
        None,
        description="The id of a run that is not accepted, and may run all the same: look it up, or send the same again with it as `run_id`.",
    )
    key: str | None = Field(
        None, description="The Idempotency-Key under which what was published can be published again, safely."
    )
    run_ids: list[str] | None = Field(
        None, description="The runs of what was published that are there, or may be."
    )
    taken: list[str] | None = Field(None, description="The patterns of the topics that pipelines take.")
    nearest: str | None = Field(None, description="The one of them that is most like the topic.")


class Problem(Exception):
    """An error response; `more` are members beside the usual ones."""

    def __init__(
        self, kind: Kind, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(kind, detail)
        self.kind = kind
        self.detail = detail
        self.headers = headers
        self.more = more


class NotAccepted(Exception):
    """A run is not accepted, after an error with which it may run all the same: who gets its id can look it up, or repeat it."""

    def __init__(self, run_id: str, why: MousetrapError) -> None:
        super().__init__(str(why))
        self.run_id = run_id
        self.why = why


def absence(kind: Kind, detail: str, *parts: str) -> Problem:
    """A problem that passes by itself, with the parts (broker, store, record) that it comes from."""
    return Problem(kind, detail, headers={"Retry-After": _RETRY_AFTER}, away=list(parts))


def respond(problem: Problem) -> Response:
    """The problem as a response."""
    return write(document(problem), problem.headers)


def document(problem: Problem) -> dict[str, Any]:
    """The members of the problem's document."""
    return {**_members(problem.kind), "detail": _cut(problem.detail), **problem.more}


def write(members: Mapping[str, Any], headers: Mapping[str, str] | None) -> Response:
    """A response with these members, of a problem that has no kind of ours."""
    return JSONResponse(members, members["status"], headers, media_type=_MEDIA)


def refusals(*kinds: Kind) -> Documented:
    """The documentation of these kinds for a route, by status."""
    found: Documented = {}
    for kind in kinds:
        response = found.setdefault(kind.status, _documented(kind.headline))
        examples = response["content"][_MEDIA].setdefault("examples", {})
        examples[kind.value] = {"summary": kind.headline, "value": _members(kind)}
    return found


def any_refusal() -> Documented:
    """The documentation of all other errors."""
    return {"default": _documented("Every error is a problem (RFC 9457)")}


def _documented(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {_MEDIA: {"schema": schema}}}


def _members(kind: Kind) -> dict[str, Any]:
    return {"type": f"urn:mousetrap:problem:{kind}", "title": kind.headline, "status": kind.status}


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}…"
