"""Keeps one connection to the broker, and reconnects when it is lost."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker

from mousetrap.job_queue.broker_status import BrokerStatus
from mousetrap.retry import Backoff
from mousetrap.shutdown import end_tasks

#: Full jitter: the clients of a broker that comes back return evenly spread.
BACKOFF = Backoff(first_s=0.2, longest_s=5.0, jitter=1.0)
#: For a whole attempt, over all hosts. A broker that is still starting can accept connections and not answer; and what an
#: interrupted attempt has declared need not be declared again.
_ATTEMPT_TIMEOUT_S = 15.0
#: The broker stops, or an operator has closed the connection.
_CONNECTION_FORCED = 320


class Linked(Protocol):
    """A connection, as far as its link needs it."""

    #: Has the error that ended it.
    lost: "asyncio.Future[Exception]"

    def abort(self, error: Exception) -> None:
        """Cuts it."""
        ...

    async def leave(self) -> None:
        """Closes it, and cuts it if the broker does not answer."""
        ...


C = TypeVar("C", bound=Linked)


class Link(Generic[C]):
    """A connection that reconnects.

    1. `start` begins to connect; `set_up` prepares each new connection.
    2. Connected: `connection` is the connection.
    3. Lost: the status records the cause, and the next attempt follows after a pause that grows with each failure.
    4. `close` ends the attempts and the connection.
    """

    def __init__(
        self,
        role: str,
        open_one: Callable[[], Awaitable[C]],
        status: BrokerStatus,
        set_up: Callable[[C], Awaitable[None]],
    ) -> None:
        self._role = role
        self._open_one = open_one
        self._status = status
        self._set_up = set_up
        #: Also set during an attempt, before it is set up.
        self._connection: C | None = None
        self._connected = False
        #: Set, and replaced, whenever `connection` changes.
        self._changed = asyncio.Event()
        self._tried = asyncio.Event()
        self._connecting: asyncio.Task[None] | None = None

    @property
    def connection(self) -> C | None:
        """The open connection, if there is one."""
        return self._connection if self._connected else None

    def start(self) -> None:
        """Begins to connect, and never stops trying until closed."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(
                self._keep_connecting(), name=f"mousetrap {self._role} link"
            )

    async def wait(self, other_than: C | None = None) -> C:
        """The open connection, as soon as there is one; not the one that the caller has lost."""
        while (connection := self.connection) is None or connection is other_than:
            await self._changed.wait()
        return connection

    async def now(self) -> C:
        """The connection, if it is open or the first attempt opens it. Raises QueueUnreachable."""
        await self._tried.wait()
        if self.connection is None:
            raise self._status.unreachable()
        return self.connection

    async def close(self) -> None:
        """Stops trying and closes the connection."""
        await end_tasks(self._connecting)
        if self._connection is not None:
            await self._connection.leave()
        self._change(None)

    async def _keep_connecting(self) -> None:
        failures = 0
        while True:
            try:
                connection = await self._connect()
            except Exception as error:  # noqa: BLE001  whatever pika or the system raises, the attempts go on
                failures += 1
                self._lost(error)
            else:
                loss = await asyncio.shield(connection.lost)
                failures = failures + 1 if _comes_again(loss) else 0
                self._lost(loss)
            await asyncio.sleep(BACKOFF.pause(failures + 1, random.random()))

    async def _connect(self) -> C:
        async with asyncio.timeout(_ATTEMPT_TIMEOUT_S):
            self._connection = connection = await self._open_one()
            await self._set_up(connection)
        self._status.connected(self._role)
        self._change(connection)
        self._tried.set()
        return connection

    def _lost(self, error: Exception) -> None:
        if self._connection is not None:
            self._connection.abort(error)
        self._change(None)
        self._status.lost(self._role, error)
        self._tried.set()

    def _change(self, connection: C | None) -> None:
        self._connection = connection
        self._connected = connection is not None
        self._changed.set()
        self._changed = asyncio.Event()


def _comes_again(loss: Exception) -> bool:
    """Whether the next connection will most likely end like this one, since it is sent the same.

    The broker has refused something, as for a missing right, or has failed at it: a node that cannot make a queue any more
    answers each declaration with INTERNAL_ERROR, and closes the connection.
    """
    if isinstance(loss, ConnectionClosedByBroker):
        return int(loss.reply_code) != _CONNECTION_FORCED
    return isinstance(loss, ChannelClosedByBroker)
