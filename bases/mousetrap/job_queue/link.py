"""Keeps one connection to the broker: opens it, sets up what stands on it, and starts over whenever it is lost."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pika.exceptions import ChannelClosedByBroker

from mousetrap.job_queue.connection import Connection, open_connection
from mousetrap.job_queue.trouble import Trouble
from mousetrap.shutdown import end_tasks

#: Seconds: the longest pause before the first further try, which doubles with each failure up to the last.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
#: Seconds for a whole attempt, over all hosts. A broker that is still starting can take connections and say nothing; and
#: what a cut-off attempt has declared need not be declared again.
_ATTEMPT = 15.0


class Link:
    """One connection that comes back by itself; `set_up` prepares each new one."""

    def __init__(
        self,
        role: str,
        parameters: Callable[[], Sequence[Any]],
        trouble: Trouble,
        set_up: Callable[[Connection], Awaitable[None]],
    ) -> None:
        self._role = role
        self._parameters = parameters
        self._trouble = trouble
        self._set_up = set_up
        self._connection: Connection | None = None
        self._stands = False
        #: Set, and replaced, whenever the connection begins or ceases to stand.
        self._changed = asyncio.Event()
        self._tried = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def connection(self) -> Connection | None:
        """The connection that stands now, if one does."""
        return self._connection if self._stands else None

    def start(self) -> None:
        """Begins to connect, and never stops trying until closed."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name=f"mousetrap {self._role} link")

    async def wait(self, other_than: Connection | None = None) -> Connection:
        """The connection, when there is one; not the one that the caller knows to be lost."""
        while (connection := self.connection) is None or connection is other_than:
            await self._changed.wait()
        return connection

    async def now(self) -> Connection:
        """The connection, if it stands or the first attempt makes it. Raises QueueUnreachable."""
        await self._tried.wait()
        if self.connection is None:
            raise self._trouble.unreachable()
        return self.connection

    async def close(self) -> None:
        """Stops trying and leaves."""
        await end_tasks(self._keeper)
        if self._connection is not None:
            await self._connection.leave()
        self._change(None)

    async def _keep(self) -> None:
        failures = 0
        while True:
            try:
                async with asyncio.timeout(_ATTEMPT):
                    self._connection = await open_connection(self._parameters())
                    await self._set_up(self._connection)
            except Exception as error:  # noqa: BLE001  whatever pika or the system raises, this goes on
                why: Exception = error
                failures += 1
            else:
                self._trouble.over(self._role)
                self._change(self._connection)
                self._tried.set()
                why = await asyncio.shield(self._connection.lost)
                # A broker that refuses what it is sent, for want of a right, will refuse it on the next connection too.
                failures = failures + 1 if isinstance(why, ChannelClosedByBroker) else 0
            self._lose(why)
            await asyncio.sleep(pause(failures))

    def _lose(self, why: Exception) -> None:
        if self._connection is not None:
            self._connection.abort(why)
        self._change(None)
        self._trouble.struck(self._role, why)
        self._tried.set()

    def _change(self, connection: Connection | None) -> None:
        self._connection = connection
        self._stands = connection is not None
        self._changed.set()
        self._changed = asyncio.Event()


def pause(failures: int) -> float:
    """Evenly from zero to the backoff, so that the clients of a broker that comes back do not all come at once."""
    return random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(failures, 16)))
