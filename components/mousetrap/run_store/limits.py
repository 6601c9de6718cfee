"""Keeps the lines of jobs that wait for a limit."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from mousetrap.jobs import Job, Message
from mousetrap.run_store.connection import StoreConnection
from mousetrap.run_store.packed.sender import LIBRARY, function_call
from mousetrap.run_store.packed.transitions import KeepPlace, LeaveLine, ReturnToLine
from mousetrap.store_client import Command, ReplyError


class InLine(msgspec.Struct, frozen=True, array_like=True):
    """A message as a line keeps it."""

    id: str
    body: bytes
    headers: dict[str, str]


class Taken(NamedTuple):
    """Jobs that left their line, each as its message; and when there may be more."""

    messages: Sequence[Message]
    #: Seconds from now; None while none waits.
    next_s: float | None


class Limits(StoreConnection):
    """What a worker does with jobs over a limit. `place` is the pipeline's name and the stage's, with a dot between."""

    @property
    def retention_s(self) -> float:
        """For how long runs are remembered."""
        return self._ttl / 1000

    async def keep_place(self, job: Job, place: str, message: Message) -> None:
        """Lets a job that waits be taken from its line; call it once the queue has a message of it that comes again by itself."""
        kept = msgspec.msgpack.encode(InLine(message.id, message.body, dict(message.headers)))
        await self._line_call(function_call(KeepPlace(job.id, job.run_id, place, self._ttl), (), kept))

    async def take(self, place: str, most: int, lease: float) -> Taken:
        """Takes up to `most` jobs for which there is room, in their order. They go back to their places unless each is claimed within
        `lease` seconds, and settled with `leave_line`."""
        call = ("FCALL", f"{LIBRARY.name}_take", 0, place, most, int(lease * 1000), self._ttl)
        (reply,) = await self._sender.send([call])
        if isinstance(reply, ReplyError):
            raise self._sender.error(reply)
        next_ms, *given = reply
        kept = [msgspec.msgpack.decode(body, type=InLine) for body in given[1::2] if body]
        return Taken(
            [Message(it.id, it.body, it.headers) for it in kept],
            None if int(next_ms) < 0 else int(next_ms) / 1000,
        )

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
