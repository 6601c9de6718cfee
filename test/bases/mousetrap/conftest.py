"""Starts APIs, in a thread or as a program of their own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from mousetrap.settings import Settings
from support.api_server import serving
from support.clients import http_client, is_ready
from support.processes import Process
from support.waiting import until

Serve = Callable[..., httpx.Client]


@pytest.fixture
def serve(store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """`serve(api_keys="…")` starts an API with these settings and gives a client of it; both end with the test."""
    with ExitStack() as stack:

        def start(**settings: Any) -> httpx.Client:
            given = Settings(**{"broker_url": store_url, "store_url": store_url, **settings})
            if given.broker_url.startswith("amqp"):  # RabbitMQ on a busy machine takes more than two seconds
                monkeypatch.setattr("mousetrap.api.services._CONFIRM_TIMEOUT_S", 60.0)
                monkeypatch.setattr("mousetrap.api.start._TIMEOUT_S", 60.0)
            return stack.enter_context(http_client(stack.enter_context(serving(given))))

        yield start


@pytest.fixture
def start_api(
    start_base: Callable[..., Process], store_url: str
) -> Iterator[Callable[..., tuple[Process, httpx.Client]]]:
    """`start_api(MOUSETRAP_…="…")` starts the API as a program of its own, and gives a client of it as well.

    It reaches its servers then, but where `ready` is false: on a busy machine it would answer 503 for some seconds.
    """
    with ExitStack() as stack:

        def start(*, ready: bool = True, **settings: str) -> tuple[Process, httpx.Client]:
            servers = {"MOUSETRAP_BROKER_URL": store_url, "MOUSETRAP_STORE_URL": store_url}
            process = start_base("api", **{**servers, "MOUSETRAP_API_PORT": "0", **settings})
            url = process.wait_for_line("Uvicorn running on").partition(" running on ")[2].split()[0]
            api = stack.enter_context(http_client(url))
            if ready:
                until(lambda: is_ready(api), "it is ready")
            return process, api

        yield start
