"""Declares how a sync handler is called from the event loop."""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol


class SyncCalls(Protocol):
    """Calls one sync handler, wherever such handlers run."""

    async def run(self, function: Callable[[], Any]) -> Any:
        """The value of `function`. Raises what it raises."""
        ...

    def wait(self, work: Coroutine[Any, Any, None]) -> None:
        """Called by the function: returns when `work` is done on the event loop."""
        ...
