"""Names what the dashboard needs of the API that serves it."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from starlette.types import ASGIApp


@dataclass(frozen=True, slots=True)
class Host:
    """The API that serves the dashboard, and answers all that its pages ask."""

    #: Asked in this process, as over HTTP.
    api: ASGIApp
    #: Set when the server is asked to stop: streams end then.
    stopping: asyncio.Event
    #: Whether one more stream would be served.
    has_room: Callable[[], bool]
    #: Counts a stream while it lasts.
    stream: Callable[[], AbstractContextManager[None]]
