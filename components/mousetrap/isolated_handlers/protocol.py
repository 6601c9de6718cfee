"""The messages between a worker and an isolated handler's process."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgspec

from mousetrap.blobs import Chunks
from mousetrap.handlers import AttemptInfo, Children, Emit
from mousetrap.jobs import TraceContext
from mousetrap.pipeline import Pages, Payload, SerializerName
from mousetrap.shapes import Progress
from mousetrap.telemetry import KeptLine

#: Bytes in front of each message; they hold the length of the rest.
HEADER_BYTES = 4


class Setup(msgspec.Struct, frozen=True, tag="setup"):
    """The first message. Both fields are pickles made by the parent; nothing in them came from a message of the broker."""

    binding: bytes
    #: The level of the parent's log, its formatter if it has one, and from which level up it keeps lines with their runs.
    log: bytes


class RunJob(msgspec.Struct, frozen=True, tag="run"):
    """Run the handler on this job."""

    #: Counts the jobs of this process, so that a late message about one is not taken for the next.
    number: int
    info: AttemptInfo
    #: The payload's bytes, as Payload has them.
    payload: bytes
    #: See judge().
    chance: float
    #: Bytes of an output.
    largest: int
    serializer: SerializerName = msgspec.UNSET
    is_text: bool = True
    #: Of the attempt's span.
    trace: TraceContext | msgspec.UnsetType = msgspec.UNSET


class Kept(msgspec.Struct, frozen=True, tag="kept"):
    """What became of a value or an item that the handler gave, or how many items there are."""

    #: The value's, as in Yielded: after a soft timeout the handler may wait for the next one already.
    number: int
    reply: Literal["recorded", "full", "stale", "over"]
    #: The reply to NoMoreItems.
    children: int = 0


class Chunk(msgspec.Struct, frozen=True, tag="chunk"):
    """The reply to PutChunk or GetChunk."""

    number: int
    data: bytes = b""
    #: Why there is none; empty where there is one.
    error: str = ""
    #: Of a dead letter, where the blob is broken.
    reason: Literal["payload-missing", "payload-altered", ""] = ""


class Outputs(msgspec.Struct, frozen=True, tag="outputs"):
    """The reply to GetOutputs, as Page has it."""

    number: int
    outputs: tuple[tuple[int, bytes], ...] = ()
    next: int | None = None
    #: Why there are none; empty where there are.
    error: str = ""
    #: Of a dead letter, where there will never be any.
    reason: str = ""


class SoftTimeoutOver(msgspec.Struct, frozen=True, tag="soft"):
    """The soft timeout of this job is over: interrupt its handler."""

    number: int


class Exit(msgspec.Struct, frozen=True, tag="exit"):
    """Interrupt the handler, leave the lifespan, and end."""


class Started(msgspec.Struct, frozen=True, tag="started"):
    """The handler is being called: its module is imported, its lifespan entered, its input read."""


class ProgressReport(msgspec.Struct, frozen=True, tag="progress"):
    """How far the handler has come."""

    progress: Progress


class Logged(msgspec.Struct, frozen=True, tag="logged"):
    """A line that the handler caused, where the worker keeps them."""

    line: KeptLine


class Yielded(msgspec.Struct, frozen=True, tag="yielded"):
    """A value that the handler yielded, as JSON; the handler waits for Kept."""

    number: int
    value: bytes


class Item(msgspec.Struct, frozen=True, tag="item"):
    """An item of a fan-out, as its taker reads it; the handler waits for Kept."""

    number: int
    raw: bytes
    serializer: SerializerName = msgspec.UNSET
    key: str | None = None


class NoMoreItems(msgspec.Struct, frozen=True, tag="no-more"):
    """The handler has given all its items; it waits for Kept, with how many there are."""

    number: int


class GetOutputs(msgspec.Struct, frozen=True, tag="get-outputs"):
    """Bring a page of the outputs of a fan-out of this run; Outputs is the reply."""

    #: As in PutChunk.
    number: int
    fan: str
    first: int


class PutChunk(msgspec.Struct, frozen=True, tag="put"):
    """Keep a chunk of a blob of this run; Chunk is the reply."""

    #: Counts the calls of this process, so that each finds its reply.
    number: int
    name: str
    index: int
    data: bytes


class GetChunk(msgspec.Struct, frozen=True, tag="get"):
    """Bring a chunk of a blob of this run; Chunk is the reply."""

    number: int
    name: str
    index: int
    #: Bytes.
    size: int


class Result(msgspec.Struct, frozen=True, tag="result"):
    """The job has an outcome."""

    #: An Outcome as JSON.
    outcome: bytes
    #: Whether the process can run no further job.
    last: bool = False


ToChild = Setup | RunJob | Kept | Chunk | Outputs | SoftTimeoutOver | Exit
FromChild = (
    Started
    | ProgressReport
    | Logged
    | Yielded
    | Item
    | NoMoreItems
    | PutChunk
    | GetChunk
    | GetOutputs
    | Result
)

to_child = msgspec.msgpack.Decoder(ToChild)
from_child = msgspec.msgpack.Decoder(FromChild)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One attempt as the worker hands it to a process."""

    info: AttemptInfo
    payload: Payload
    #: Seconds.
    soft_timeout: float | None
    #: See judge().
    chance: float
    #: Bytes of an output.
    largest: int
    #: Gets the handler's progress reports.
    report: Callable[[Progress], None]
    #: Keeps what the handler yields.
    emit: Emit
    #: Takes the items of a fan-out.
    children: Callable[[AttemptInfo], Children]
    #: The outputs that a join of this run reads, by the job that opened the fan-out.
    pages: Callable[[str], Pages | None]
    #: Those of the run's blobs.
    chunks: Chunks


def framed(message: ToChild | FromChild) -> bytes:
    """The message with its length in front."""
    body = _encoder.encode(message)
    return len(body).to_bytes(HEADER_BYTES, "big") + body


_encoder = msgspec.msgpack.Encoder()
