"""Reads a batch's lines, and writes their answers: pure."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from mousetrap.api.known import RUN_ID
from mousetrap.api.options import MAX_EXPIRY_S
from mousetrap.api.problems import Kind, Problem, document
from mousetrap.api.start import PRINTABLE
from mousetrap.jobs import DEFAULT_PRIORITY, HIGHEST_PRIORITY, LOWEST_PRIORITY, Priority
from mousetrap.submit_run import Accepted

#: The ends are `\Z`: after a `$`, a line break could follow.
_RUN_ID = Annotated[str, Meta(pattern=RUN_ID.replace("$", r"\Z"))]
_PRINTABLE = Annotated[str, Meta(pattern=PRINTABLE.replace("$", r"\Z"))]


class BatchLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run to start, as a line describes it."""

    input: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    id: _RUN_ID | None = None
    unique: _PRINTABLE | None = None
    delay: float | None = None
    at: str | None = None
    expires_in: Annotated[float, Meta(gt=0, le=MAX_EXPIRY_S)] | None = None
    tags: tuple[str, ...] = ()
    priority: Priority = DEFAULT_PRIORITY

    @property
    def body(self) -> bytes:
        """The input as JSON; empty where none is given."""
        return b"" if isinstance(self.input, msgspec.UnsetType) else bytes(self.input)


#: For the documentation: the same as a schema.
LINE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "description": "One such object on each line. Options are those of a single run; `unique` is an idempotency key.",
    "properties": {
        "input": {},
        "id": {"type": "string", "pattern": RUN_ID},
        "unique": {"type": "string", "pattern": PRINTABLE},
        "delay": {"type": "number", "minimum": 0},
        "at": {"type": "string", "format": "date-time"},
        "expires_in": {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_EXPIRY_S},
        "tags": {"type": "array", "items": {"type": "string"}},
        "priority": {"type": "integer", "minimum": LOWEST_PRIORITY, "maximum": HIGHEST_PRIORITY},
    },
}
_decoder = msgspec.json.Decoder(BatchLine)


def read_line(text: bytes) -> BatchLine:
    """The run that a line describes. Raises Problem, with the place."""
    try:
        line = _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        what, _, where = str(error).partition(" - at `")
        raise Problem(
            Kind.INVALID_REQUEST,
            f'the line cannot be read: {what}; write it as {{"input": …}}, without a line break in it',
            where=where.rstrip("`") or "$",
        ) from None
    if line.id is not None and line.unique is not None:
        raise Problem(Kind.TWO_IDS, "give id or unique, not both")
    return line


def accepted_line(number: int, accepted: Accepted) -> bytes:
    """The answer to a line whose run is kept."""
    return _written(
        {
            "line": number,
            "run_id": accepted.run_id,
            "new": accepted.new,
            "url": f"/runs/{accepted.run_id}",
        }
    )


def refused_line(number: int, problem: Problem, run_id: str = "") -> bytes:
    """The answer to a line without a run; `run_id` is the id to repeat it with, where the line could be read."""
    return _written({"line": number, **({"run_id": run_id} if run_id else {}), "problem": document(problem)})


def _written(members: dict[str, Any]) -> bytes:
    return msgspec.json.encode(members) + b"\n"
