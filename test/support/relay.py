"""Relays TCP connections that a test can cut, refuse or change."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

from support.accepting import close_server

#: Takes what a server sent and gives what the client shall see of it.
Edit = Callable[[bytes], bytes]


class Relay:
    """A proxy to a server. Each connection's bytes from the server pass through an `edit` of its own; `sent` gets a client's."""

    def __init__(self, url: str, new_edit: Callable[[], Edit], sent: Callable[[bytes], object]) -> None:
        parts = urlsplit(url)
        assert parts.hostname and parts.port
        self._target = (parts.hostname, parts.port)
        self._login = parts.netloc.rpartition("@")[0]
        self._parts = parts
        self._new_edit = new_edit
        self._sent = sent
        self._port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        #: How many connections have come so far.
        self.connections = 0

    @property
    def url(self) -> str:
        """The server's address, by way of this proxy."""
        netloc = f"{self._login}@127.0.0.1:{self._port}" if self._login else f"127.0.0.1:{self._port}"
        return urlunsplit(self._parts._replace(netloc=netloc))

    async def open(self) -> None:
        """Lets connections in, always by the same port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Ends all connections at once, without a goodbye; new ones may come."""
        for writer in self._writers:
            writer.transport.abort()

    async def shut(self) -> None:
        """Cuts, and accepts no new connection."""
        assert self._server
        await close_server(self._server)
        self.cut()
        while self._serving:
            await asyncio.wait(self._serving)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)  # at once: it may be cut before the server has answered
        task = asyncio.current_task()
        assert task
        self._serving.add(task)
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._target)
            self._writers.add(server_writer)
            to_server = _pump(reader, server_writer, self._noted)
            await asyncio.gather(to_server, _pump(server_reader, writer, self._new_edit()))
        except OSError:
            pass  # no server: the client sees its connection end
        finally:
            writer.transport.abort()
            self._serving.discard(task)

    def _noted(self, data: bytes) -> bytes:
        self._sent(data)
        return data


@asynccontextmanager
async def relay(
    url: str, new_edit: Callable[[], Edit] = lambda: bytes, sent: Callable[[bytes], object] = len
) -> AsyncIterator[Relay]:
    """An open proxy to the server at `url`."""
    proxy = Relay(url, new_edit, sent)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.shut()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, edit: Edit) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            if seen := edit(data):
                writer.write(seen)
                await writer.drain()
    writer.transport.abort()
