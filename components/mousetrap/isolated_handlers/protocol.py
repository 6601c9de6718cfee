"""The messages between a worker and an isolated handler's process."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from mousetrap.handlers import AttemptInfo
from mousetrap.shapes import Progress

#: Bytes in front of each message; they hold the length of the rest.
HEADER_BYTES = 4


class Setup(msgspec.Struct, frozen=True, tag="setup"):
    """The first message. Both fields are pickles made by the parent; nothing in them came from a message of the broker."""

    binding: bytes
    #: The level of the parent's log, and its formatter if it has one.
    log: bytes


class RunJob(msgspec.Struct, frozen=True, tag="run"):
    """Run the handler on this job."""

    #: Counts the jobs of this process, so that a late message about one is not taken for the next.
    number: int
    info: AttemptInfo
    #: JSON, under the stage's input contract.
    payload: bytes
    #: See judge().
    chance: float


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


class Result(msgspec.Struct, frozen=True, tag="result"):
    """The job has an outcome."""

    #: An Outcome as JSON.
    outcome: bytes
    #: Whether the process can run no further job.
    last: bool = False


ToChild = Setup | RunJob | SoftTimeoutOver | Exit
FromChild = Started | ProgressReport | Result

to_child = msgspec.msgpack.Decoder(ToChild)
from_child = msgspec.msgpack.Decoder(FromChild)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One attempt as the worker hands it to a process."""

    info: AttemptInfo
    #: JSON, under the stage's input contract.
    payload: bytes
    #: Seconds.
    soft_timeout: float | None
    #: See judge().
    chance: float
    #: Gets the handler's progress reports.
    report: Callable[[Progress], None]


def framed(message: ToChild | FromChild) -> bytes:
    """The message with its length in front."""
    body = _encoder.encode(message)
    return len(body).to_bytes(HEADER_BYTES, "big") + body


_encoder = msgspec.msgpack.Encoder()
