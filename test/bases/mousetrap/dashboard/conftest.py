"""Gives pages over chosen answers, and over a real API."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from mousetrap.dashboard import Host, create_dashboard
from mousetrap.settings import Settings
from support.api_server import serving
from support.clients import http_client
from support.dashboard import Answers, AtThisMachine, Pages
from support.processes import Process

Serve = Callable[..., httpx.Client]


@pytest.fixture
def answers() -> Answers:
    """What the API behind the pages of `pages` answers."""
    return Answers()


@pytest.fixture
def stopping() -> asyncio.Event:
    """Set where the server is asked to stop."""
    return asyncio.Event()


@pytest.fixture
def dashboard(answers: Answers, stopping: asyncio.Event) -> ASGIApp:
    """The application itself."""
    return create_dashboard(Host(answers, stopping, lambda: True, nullcontext, AtThisMachine()))


@pytest.fixture
def pages(dashboard: ASGIApp) -> Pages:
    """`pages.get("/workers")` is a page as a browser gets it."""
    return Pages(dashboard)


@pytest.fixture
def serve(store_url: str) -> Iterator[Serve]:
    """`serve(api_keys="…")` starts an API with these settings and gives a client of it; both end with the test."""
    with ExitStack() as stack:

        def start(**settings: Any) -> httpx.Client:
            given = Settings(**{"broker_url": store_url, "store_url": store_url, **settings})
            return stack.enter_context(http_client(stack.enter_context(serving(given))))

        yield start


@pytest.fixture
def start_api(
    start_base: Callable[..., Process], store_url: str
) -> Iterator[Callable[..., tuple[Process, httpx.Client]]]:
    """`start_api(MOUSETRAP_…="…")` starts the API as a program of its own, and gives a client of it as well."""
    with ExitStack() as stack:

        def start(**settings: str) -> tuple[Process, httpx.Client]:
            servers = {"MOUSETRAP_BROKER_URL": store_url, "MOUSETRAP_STORE_URL": store_url}
            process = start_base("api", **{**servers, "MOUSETRAP_API_PORT": "0", **settings})
            url = process.wait_for_line("Uvicorn running on").partition(" running on ")[2].split()[0]
            return process, stack.enter_context(http_client(url))

        yield start
