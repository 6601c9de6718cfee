"""The error of a connection that ends at once."""

import asyncio
import socket
from typing import Any

from mousetrap.job_queue.amqp.io_services import IOServices


async def test_a_peer_that_left_at_once_is_logged_and_not_raised() -> None:
    reported: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    with socket.socket() as unconnected:
        IOServices(asyncio.get_running_loop()).create_streaming_connection(
            asyncio.Protocol, unconnected, reported.set_result
        )

        error = await reported

    assert isinstance(error, ConnectionResetError)
    assert "closed the connection at once" in str(error)
