"""Keeps the lines of jobs that wait for a limit."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from mousetrap.jobs import DEFAULT_PRIORITY, Job, Message
from mousetrap.run_store.connection import StoreConnection
from mousetrap.run_store.packed.sender import LIBRARY, function_call
from mousetrap.run_store.packed.transitions import KeepPlace, LeaveLine, ReturnToLine
from mousetrap.store_client import Command, ReplyError


class InLine(msgspec.Struct, frozen=True, array_like=True):
    """A message as a line keeps it."""

    id: str
    body: bytes
    headers: dict[str, str]
    priority: int = DEFAULT_PRIORITY


class Taken(NamedTuple):
    """Jobs that left their line, each as its message; and when there may be more."""

    messages: Sequence[Message]
    #: Seconds from now; None while none waits.
    next_s: float | None
    #: Who each of them is in the lines.
    members: Sequence[str] = ()
    #: Who was taken with a message that cannot be read.
    damaged: Sequence[str] = ()


class Limits(StoreConnection):
    """What a worker does with jobs over a limit. `place` is the pipeline's name and the stage's, with a dot between."""

    @property
    def retention_s(self) -> float:
        """For how long runs are remembered."""
        return self._ttl / 1000

    async def keep_place(self, job: Job, place: str, message: Message) -> None:
        """Lets a job that waits be taken from its line; call it once the queue has a message of it that comes again by itself."""
        it = InLine(message.id, message.body, dict(message.headers), message.priority)
        kept = msgspec.msgpack.encode(it)
        call = KeepPlace(job.id, job.run_id, place, job.attempt, job.generation, self._ttl)
        await self._line_call(function_call(call, (), kept))

    async def take(self, place: str, most: int, lease: float) -> Taken:
        """Takes up to `most` jobs for which there is room, in their order. They go back to their places unless each is claimed within
        `lease` seconds, and settled with `leave_line`. Raises StoreUnreachable, and ReplyError where the call itself fails."""
        call = ("FCALL", f"{LIBRARY.name}_take", 0, place, most, int(lease * 1000), self._ttl)
        (reply,) = await self._sender.send([call])
        if isinstance(reply, ReplyError):
            raise self._sender.error(reply) if reply.passing or reply.full else reply
        next_ms, *given = reply
        members = [it.decode(errors="replace") for it in given[::2]]
        read = [(member, _message(body)) for member, body in zip(members, given[1::2], strict=True)]
        return Taken(
            [message for _, message in read if message is not None],
            None if int(next_ms) < 0 else int(next_ms) / 1000,
            [member for member, message in read if message is not None],
            [member for member, message in read if message is None],
        )

    async def forget_message(self, place: str, member: str) -> None:
        """The job keeps its place without this message, which cannot be used, until another one of it comes."""
        job, _, run = member.partition(" ")
        returned = function_call(ReturnToLine(job, run, place, self._ttl))
        await self._sender.do([("HDEL", f"mousetrap:limits:{place}:bodies", member), returned])

    async def leave_line(self, job: Job, place: str) -> None:
        """The job is settled: its place is given up."""
        await self._line_call(
            function_call(LeaveLine(job.id, job.run_id, place, job.attempt, job.generation))
        )

    async def return_to_line(self, job: Job, place: str) -> None:
        """The job was taken and will not be begun here: it waits where it did before."""
        await self._line_call(function_call(ReturnToLine(job.id, job.run_id, place, self._ttl)))

    async def _line_call(self, call: Command) -> None:
        (reply,) = await self._sender.send([call])
        self._sender.answer(reply)


def _message(body: bytes | None) -> Message | None:
    """None of bytes that no worker of ours has put there."""
    try:
        kept = msgspec.msgpack.decode(body or b"", type=InLine)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return Message(kept.id, kept.body, kept.headers, kept.priority)
