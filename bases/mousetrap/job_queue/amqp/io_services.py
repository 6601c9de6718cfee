"""pika's use of the event loop, with the one error told that pika lets fall past whoever waits for a connection."""

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from pika.adapters.asyncio_connection import _AsyncioIOServicesAdapter


class IOServices(_AsyncioIOServicesAdapter):  # type: ignore[misc] # pika's wheel carries no types
    """As pika's own."""

    def create_streaming_connection(
        self,
        protocol_factory: Callable[[], Any],
        sock: socket.socket,
        on_done: Callable[[Any], None],
        **more: Any,
    ) -> Any:
        """Tells `on_done` as well of a peer that has left by the time it is looked at.

        pika raises that into the loop, so that a traceback is logged and the attempt to connect hangs until its last limit.
        """
        try:
            return super().create_streaming_connection(protocol_factory, sock, on_done, **more)
        except ValueError as error:
            refused = ConnectionResetError(f"it closed the connection at once ({error})")
            return asyncio.get_running_loop().call_soon(partial(on_done, refused))
