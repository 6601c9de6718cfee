"""Reports one connection error that pika drops."""

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from pika.adapters.asyncio_connection import _AsyncioIOServicesAdapter


class IOServices(_AsyncioIOServicesAdapter):  # type: ignore[misc] # pika's wheel carries no types
    """pika's use of the event loop, except for one error."""

    def create_streaming_connection(
        self,
        protocol_factory: Callable[[], Any],
        sock: socket.socket,
        on_done: Callable[[Any], None],
        **more: Any,
    ) -> Any:
        """Passes to `on_done` the error of a peer that has left before pika looks at it.

        pika raises it into the loop: a traceback is logged, and the attempt to connect hangs until its timeout.
        """
        try:
            return super().create_streaming_connection(protocol_factory, sock, on_done, **more)
        except ValueError as error:
            refused = ConnectionResetError(f"it closed the connection at once ({error})")
            return asyncio.get_running_loop().call_soon(partial(on_done, refused))
