"""Gives pages over chosen answers, and over a real API."""

import asyncio
from contextlib import nullcontext

import pytest
from starlette.types import ASGIApp

from mousetrap.dashboard import Host, create_dashboard
from support.dashboard import Answers, AtThisMachine, Pages


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
