"""Notes which messages come later, by queue, for people who ask."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from mousetrap.jobs import LONGEST_DELAY_S, MousetrapError
from mousetrap.run_store.connection import StoreConnection
from mousetrap.run_store.keys import later_key
from mousetrap.run_store.packed.sender import is_away
from mousetrap.store_client import Command

#: Messages of a queue that are counted, those that are due first; at about a hundred bytes each.
_MOST = 100_000
#: The year 9999.
_LAST_MS = 253_402_300_799_999
_KEEP_MS = int(LONGEST_DELAY_S * 1000)


class Delays(StoreConnection):
    """What a queue has that is not due: RabbitMQ counts that of all queues together, so we note it beside.

    It is written after the message is with the broker and never waited for: a number for people, and nothing follows from it.
    """

    async def note_later(self, later: Mapping[str, Mapping[str, int]]) -> None:
        """Notes messages: by queue and job, when they are due in milliseconds since 1970. Raises StoreUnreachable."""
        if not later:
            return
        await self._sender.server_known()
        now_ms = self._sender.now_ms()
        commands = [each for queue, due in later.items() for each in _noted(queue, due, now_ms)]
        await self._sender.do(commands)

    def note_first_later(self, queue: str, job: str, seconds: float) -> None:
        """Notes the first message of a run with a delay, soon; a store that is away does not get it."""
        noting = asyncio.create_task(self._note_safely(queue, job, seconds))
        self._noting.add(noting)
        noting.add_done_callback(self._noting.discard)

    async def _note_safely(self, queue: str, job: str, seconds: float) -> None:
        with suppress(MousetrapError):
            await self._sender.server_known()
            await self.note_later({queue: {job: self._sender.now_ms() + int(seconds * 1000)}})

    def _reply(self, reply: Any) -> Any:
        """The reply; None for a key of another type. Raises the error of a server that is away."""
        return self._sender.value(reply) if is_away(reply) or not isinstance(reply, Exception) else None

    async def due_later(self, queue: str, job: str) -> int | None:
        """When the job's message is due, in milliseconds since 1970; None where that is not noted. Raises StoreUnreachable."""
        (reply,) = await self._sender.send([("ZSCORE", later_key(queue), job)])
        return _number(self._reply(reply))

    async def count_later(self, queues: Sequence[str]) -> Sequence[int]:
        """How many messages of each queue come later, 100,000 at most. Raises StoreUnreachable."""
        await self._sender.server_known()
        now_ms = self._sender.now_ms()
        replies = await self._sender.send([("ZCOUNT", later_key(queue), now_ms, "+inf") for queue in queues])
        return [_number(self._reply(reply)) or 0 for reply in replies]


def _number(reply: Any) -> int | None:
    return None if reply is None else min(int(float(reply)), _LAST_MS)


def _noted(queue: str, due: Mapping[str, int], now_ms: int) -> list[Command]:
    key = later_key(queue)
    words = [word for job, due_ms in due.items() for word in (due_ms, job)]
    return [
        ("ZADD", key, *words),
        ("ZREMRANGEBYSCORE", key, "-inf", now_ms),
        ("ZREMRANGEBYRANK", key, _MOST, -1),
        ("PEXPIRE", key, _KEEP_MS),
    ]
