"""The words that a worker and an isolated handler's process say to each other over their socket."""

import msgspec

from mousetrap.shapes import Progress

#: Bytes in front of each word that say how many follow.
HEAD = 4


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a Context holds that can cross to another process; the names are the Context's."""

    run_id: str
    job_id: str
    pipeline: str
    stage: str
    attempt: int
    fence: int
    lock_fence: int = 0
    #: On time.monotonic()'s clock, which all processes of a machine share.
    deadline: float | None


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """The first word: what to be. Both are pickles of our own parent's; nothing in them came from a message."""

    binding: bytes
    #: The level of the parent's log, and its formatter if it has one.
    log: bytes


class Work(msgspec.Struct, frozen=True, tag="work"):
    """Do this job."""

    #: Counts the jobs of this process, so that a late word about one is not taken for the next.
    number: int
    about: Facts
    #: JSON, under the stage's input contract.
    payload: bytes
    #: See judge().
    chance: float


class SoftLimitOver(msgspec.Struct, frozen=True, tag="soft"):
    """Tell the handler that it should leave."""

    number: int


class Leave(msgspec.Struct, frozen=True, tag="leave"):
    """Drop what you do, leave the lifespan, and end."""


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """The handler is being called: its module is imported, its lifespan entered, its input read."""


class Said(msgspec.Struct, frozen=True, tag="said"):
    """What the handler says of its progress."""

    progress: Progress


class Answer(msgspec.Struct, frozen=True, tag="answer"):
    """What came of the job."""

    #: An Outcome as JSON.
    outcome: bytes
    #: Whether the process is good for no other job.
    last: bool = False


Told = Hello | Work | SoftLimitOver | Leave
Heard = Begun | Said | Answer

told = msgspec.msgpack.Decoder(Told)
heard = msgspec.msgpack.Decoder(Heard)


def framed(word: Told | Heard) -> bytes:
    """The word as it crosses."""
    body = _encoder.encode(word)
    return len(body).to_bytes(HEAD, "big") + body


_encoder = msgspec.msgpack.Encoder()
