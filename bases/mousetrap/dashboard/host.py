"""Names what the dashboard needs of the API that serves it."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request
from starlette.types import ASGIApp

from mousetrap.api_keys import Caller


class Visitors(Protocol):
    """The people in front of the dashboard, as the API knows them."""

    @property
    def without_keys(self) -> bool:
        """Whether no keys are configured: who is at this machine sees and does all."""

    def check_machine(self, request: Request) -> None:
        """Raises Refused for a request that may come from another machine."""

    async def start(self, request: Request, key: str) -> str:
        """The token of a new session of this key's holder. Raises Refused for a wrong key."""

    async def find(self, token: str) -> Caller | None:
        """Whose session it is; None once it or its key has ended. Raises Refused while that cannot be known."""

    async def end(self, token: str) -> None:
        """Ends the session. Raises Refused while the store is away: then it ends by itself."""

    def note_refusal(self, request: Request, kind: str) -> None:
        """Puts on record that a request was refused."""


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
    visitors: Visitors
