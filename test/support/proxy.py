"""Proxies TCP connections that a test can cut, stall and delay."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from support.accepting import close_server

#: The class and method of Basic.Ack: a client's acknowledgement one way, a broker's confirm the other.
BASIC_ACK = (60, 80)

_HEADER = b"AMQP"
_METHOD_FRAME = 1


@dataclass
class Weather:
    """What happens to all that passes the proxy now."""

    #: Seconds that each piece is held up.
    delay: float = 0.0
    #: How many of a client's acknowledgements, and of the broker's confirms, are still to vanish.
    drop_acks: int = 0
    drop_confirms: int = 0


class Proxy:
    """Stands before a server; both ways are read as AMQP frames where `amqp` is true."""

    def __init__(self, url: str, *, amqp: bool) -> None:
        self._parts = urlsplit(url)
        self._amqp = amqp
        #: Where it listens.
        self.port = 0
        self.weather = Weather()
        #: Frames that vanished.
        self.dropped = 0
        self._open: set[_Passage] = set()
        self._loop = asyncio.new_event_loop()
        self._released = asyncio.Event()
        self._released.set()

    @property
    def url(self) -> str:
        """The server's address by way of this proxy."""
        login = self._parts.netloc.rpartition("@")[0]
        netloc = f"{login}@127.0.0.1:{self.port}" if login else f"127.0.0.1:{self.port}"
        return urlunsplit(self._parts._replace(netloc=netloc))

    @property
    def target(self) -> tuple[str, int]:
        return self._parts.hostname or "127.0.0.1", self._parts.port or 0

    def aim(self, url: str) -> None:
        """Leads new connections to another server."""
        self._parts = urlsplit(url)

    def cut(self) -> None:
        """Resets every connection; new ones may come."""
        self._each(_Passage.abort)

    def stall(self) -> None:
        """Lets nothing more pass by the connections of now, and does not end them: half open. New ones may come."""
        self._each(_Passage.stall)

    def hold(self) -> None:
        """Keeps back all that comes, by new connections too, until released: a network that drops and resends packets."""
        self._in_loop(self._released.clear)

    def release(self) -> None:
        """Lets pass what was kept back, and all that comes."""
        self._in_loop(self._released.set)

    def _each(self, act: "Callable[[_Passage], None]") -> None:
        def on_each() -> None:
            for passage in set(self._open):
                act(passage)

        self._in_loop(on_each)

    def _in_loop(self, act: Callable[[], object]) -> None:
        done = threading.Event()
        self._loop.call_soon_threadsafe(act)
        self._loop.call_soon_threadsafe(done.set)
        assert done.wait(60), "the proxy's loop stands still"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._released.wait()
            to_server = await asyncio.open_connection(*self.target)
        except (OSError, asyncio.CancelledError):  # there is no server, or the proxy ends
            writer.transport.abort()
            return
        passage = _Passage(self, (reader, writer), to_server)
        self._open.add(passage)
        try:
            await passage.pump()
        finally:
            self._open.discard(passage)
            passage.abort()

    def _run(self, up: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        up.set()
        self._loop.run_forever()
        self._loop.run_until_complete(close_server(server))
        for passage in set(self._open):
            passage.abort()
        while tasks := asyncio.all_tasks(self._loop):
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self._loop.run_until_complete(asyncio.sleep(0.05))  # lets the transports close
        self._loop.close()


@contextmanager
def open_door(url: str, *, amqp: bool = False) -> Iterator[Proxy]:
    """A proxy to the server at `url` that is open until the block ends."""
    proxy = Proxy(url, amqp=amqp)
    up = threading.Event()
    thread = threading.Thread(target=proxy._run, args=(up,), name="proxy")
    thread.start()
    assert up.wait(60), "the proxy did not open"
    try:
        yield proxy
    finally:
        proxy._loop.call_soon_threadsafe(proxy._loop.stop)
        thread.join()


class _Passage:
    """One client's connection and its continuation to the server."""

    def __init__(
        self,
        proxy: Proxy,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._door = proxy
        self._client = client
        self._server = server
        self._passing = asyncio.Event()
        self._passing.set()

    def abort(self) -> None:
        for _, writer in (self._client, self._server):
            writer.transport.abort()

    def stall(self) -> None:
        self._passing.clear()

    async def pump(self) -> None:
        """Passes on until either side ends."""
        ways = (
            self._one_way(self._client[0], self._server[1], self._is_dropped_ack),
            self._one_way(self._server[0], self._client[1], self._is_dropped_confirm),
        )
        await asyncio.gather(*ways)

    async def _one_way(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        vanishes: Callable[[], bool],
    ) -> None:
        frames = _Frames() if self._door._amqp else None
        with suppress(OSError):
            while data := await reader.read(65_536):
                if delay := self._door.weather.delay:
                    await asyncio.sleep(delay)
                await self._door._released.wait()
                if not self._passing.is_set():
                    continue  # swallowed, as by a cable that was pulled
                if frames is not None:
                    data = b"".join(f for f in frames.of(data) if not (_is_ack(f) and vanishes()))
                writer.write(data)
                await writer.drain()
        await self._door._released.wait()
        if self._passing.is_set():  # else neither side learns of the other's end
            self.abort()

    def _is_dropped_ack(self) -> bool:
        if self._door.weather.drop_acks <= 0:
            return False
        self._door.weather.drop_acks -= 1
        self._door.dropped += 1
        return True

    def _is_dropped_confirm(self) -> bool:
        if self._door.weather.drop_confirms <= 0:
            return False
        self._door.weather.drop_confirms -= 1
        self._door.dropped += 1
        return True


class _Frames:
    """Cuts a stream of bytes into AMQP frames; the client's opening eight bytes count as one."""

    def __init__(self) -> None:
        self._rest = b""

    def of(self, data: bytes) -> Iterator[bytes]:
        self._rest += data
        while (size := self._next()) and len(self._rest) >= size:
            frame, self._rest = self._rest[:size], self._rest[size:]
            yield frame

    def _next(self) -> int:
        if self._rest.startswith(_HEADER):
            return 8
        return 8 + int.from_bytes(self._rest[3:7]) if len(self._rest) >= 7 else 0


def _is_ack(frame: bytes) -> bool:
    if frame[0] != _METHOD_FRAME or len(frame) < 11:
        return False
    return (int.from_bytes(frame[7:9]), int.from_bytes(frame[9:11])) == BASIC_ACK
