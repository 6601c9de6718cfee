"""Closes a test's server with the connections it has just accepted."""

import asyncio

#: Turns of the loop from a connection's acceptance until its task has begun.
_TURNS = 4


async def close_server(server: asyncio.Server) -> None:
    """Accepts nothing more, waits until what was accepted has its task, and closes.

    A connection that gets its transport after `close` is never closed: pytest fails the test that runs when it is collected.
    """
    loop = asyncio.get_running_loop()
    for listening in server.sockets:
        loop.remove_reader(listening.fileno())
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    server.close()
