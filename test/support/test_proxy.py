"""Closes connections that a proxy holds when it ends."""

import gc
import socket

from support.proxy import open_door


def test_connections_that_are_held_when_a_proxy_ends_are_closed() -> None:
    """pytest fails a test in which a socket is collected that is still open."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for _ in range(5):
            with open_door(f"amqp://127.0.0.1:{silent.getsockname()[1]}") as door:
                door.hold()
                clients = [socket.create_connection(("127.0.0.1", door.port)) for _ in range(5)]
            for client in clients:
                client.close()
        gc.collect()
