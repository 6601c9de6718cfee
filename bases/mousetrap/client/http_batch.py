"""Writes submissions as batches of lines, and reads their answers: pure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import msgspec

from mousetrap.api_client import BatchReply
from mousetrap.client.backend import Submission
from mousetrap.client.http_errors import error_of
from mousetrap.jobs import DEFAULT_PRIORITY, PublishUnconfirmed
from mousetrap.submit_run import Accepted

#: Lines of one batch, and bytes: enough that a request costs nothing beside its runs, and little is lost with one.
_MOST_LINES, _MOST_BYTES = 2_000, 4_194_304


class _Line(msgspec.Struct, omit_defaults=True, kw_only=True):
    input: msgspec.Raw | None = None
    id: str | None = None
    unique: str | None = None
    delay: float | str | None = None
    at: str | None = None
    expires_in: float | str | None = None
    tags: tuple[str, ...] = ()
    priority: int = DEFAULT_PRIORITY


@dataclass(frozen=True, slots=True)
class Batch:
    """Runs of one pipeline, started by one request."""

    pipeline: str
    #: Which submissions they are: the first line is the one at the first place.
    places: Sequence[int]
    body: bytes


def batches_of(submissions: Sequence[Submission]) -> Iterator[Batch]:
    """The submissions in batches, each of one pipeline, in their order."""
    numbered = enumerate(submissions)
    for pipeline, group in groupby(numbered, key=lambda each: each[1].pipeline):
        places, lines, size = list[int](), list[bytes](), 0
        for place, submission in group:
            line = _written(submission)
            if lines and (len(lines) == _MOST_LINES or size + len(line) > _MOST_BYTES):
                yield Batch(pipeline, places, b"\n".join(lines))
                places, lines, size = [], [], 0
            places.append(place)
            lines.append(line)
            size += len(line)
        yield Batch(pipeline, places, b"\n".join(lines))


def answers_of(body: bytes) -> dict[int, Accepted | Exception]:
    """The results by line. A last line that was cut off is left out."""
    found: dict[int, Accepted | Exception] = {}
    for line in body.split(b"\n")[:-1]:
        reply = BatchReply.read(line)
        if reply.problem is not None:
            found[reply.line] = error_of(reply.problem, reply.run_id, "the API refused the line")
        else:
            found[reply.line] = Accepted(reply.run_id, reply.new)
    return found


def without_an_answer() -> PublishUnconfirmed:
    """The error of a run that no line answered."""
    return PublishUnconfirmed(
        "the API ended its answer before this run: it may be accepted or not; repeat it with the same id or key"
    )


def _written(submission: Submission) -> bytes:
    options = submission.options
    return msgspec.json.encode(
        _Line(
            input=msgspec.Raw(submission.input.replace(b"\n", b" ")) if submission.input else None,
            id=options.id,
            unique=options.unique,
            delay=_number(options.delay),
            at=options.at.isoformat() if options.at else None,
            expires_in=_number(options.expires_in),
            tags=options.tags,
            priority=options.priority,
        )
    )


def _number(value: float | None) -> float | str | None:
    """NaN and infinities as texts, which the API refuses: JSON has no form of them, and null would mean none given."""
    return value if value is None or math.isfinite(value) else str(value)
