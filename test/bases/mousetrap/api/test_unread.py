"""A client that reads nothing of its response is cut off."""

import asyncio
import socket
from typing import Any

import uvicorn

from mousetrap.api.protocol import READ_TIMEOUT_S, BoundedConfig, end_late_ones
from mousetrap.settings import Settings
from support.waiting import until


async def test_a_client_that_reads_nothing_is_cut_off() -> None:
    ended = asyncio.Event()

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        leaving = asyncio.create_task(_left(receive))
        while not leaving.done():
            await send({"type": "http.response.body", "body": b"x" * 1_000_000, "more_body": True})
            await asyncio.sleep(0)
        ended.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(BoundedConfig(endless, Settings(), ws="none", log_config=None))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        _, writer = await asyncio.open_connection(*listener.getsockname(), limit=1)
        writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        blocked = await asyncio.to_thread(until, lambda: _blocked(server), "more is sent than is read")

        now = asyncio.get_running_loop().time()
        end_late_ones(server.server_state.connections, now + READ_TIMEOUT_S - 5)
        assert not blocked.transport.is_closing()
        end_late_ones(server.server_state.connections, now + READ_TIMEOUT_S + 5)

        async with asyncio.timeout(60):
            await ended.wait()
        writer.close()
        server.should_exit = True
        await serving


async def _left(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _blocked(server: uvicorn.Server) -> Any:
    for connection in server.server_state.connections:
        if connection.unread_since is not None:  # type: ignore[union-attr]
            return connection
    return None
