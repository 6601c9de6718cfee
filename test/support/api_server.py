"""Serves the API in a thread of the test's process."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from mousetrap.api.protocol import BoundedConfig
from mousetrap.settings import Settings
from support.catalogue_app import catalogue_app
from support.clients import http_client, is_ready
from support.waiting import until


@contextmanager
def serving(settings: Settings, app: FastAPI | None = None) -> Iterator[str]:
    """The address of the catalogue's API, or of `app`, until the block ends."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = BoundedConfig(
            app or catalogue_app(settings),
            settings,
            ws="none",
            log_config=None,
            timeout_graceful_shutdown=5,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            until(lambda: server.started or not thread.is_alive(), "the API serves")
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            if settings.broker_url.startswith("amqp"):
                _until_connected(url)
            yield url
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def ready(settings: Settings) -> Iterator[str]:
    """The address of the catalogue's API once it reaches broker and store, which takes seconds on a busy machine."""
    with serving(settings) as url, http_client(url) as api:
        until(lambda: is_ready(api), "the API is ready")
        yield url


def _until_connected(url: str) -> None:
    """Returns once the API's connection to RabbitMQ is there: it declares some thirty queues first.

    On a busy machine that takes longer than the two seconds in which a request must be answered.
    """
    with http_client(url) as api:
        until(lambda: "broker" not in api.get("/health/ready").json().get("away", ()), "it has its broker")
