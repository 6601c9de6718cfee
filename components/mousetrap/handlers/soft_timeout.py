"""The soft time limit: an error that reaches the handler where it stands, while there is time left to tidy up."""

import asyncio
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

from mousetrap.retry import TimeLimitExceeded

Value = TypeVar("Value")


class SoftTimeout(TimeLimitExceeded):
    """The stage's soft time limit is over: keep what you have and leave, for at the hard one nobody asks."""


class SoftLimit:
    """One call of an async handler, and the wish that it leave."""

    def __init__(self) -> None:
        self._over = False

    def say(self, task: "asyncio.Task[Any]") -> None:
        """SoftTimeout is raised at the await where the handler waits in `task`; to be called on the event loop, once."""
        self._over = True
        task.cancel()

    async def around(self, work: Coroutine[Any, Any, Value]) -> Value:
        """Awaits the handler. The cancellation that stands for the limit goes on as SoftTimeout, every other as it is."""
        return await self._relayed(work)

    @coroutine
    def _relayed(self, work: Coroutine[Any, Any, Value]) -> Generator[Any, Any, Value]:
        go_on, given = work.send, None
        while True:
            try:
                awaited = go_on(given)
            except StopIteration as end:
                value: Value = end.value
                return value
            try:
                go_on, given = work.send, (yield awaited)
            except BaseException as error:  # noqa: BLE001  what an await raises, it raises in the handler
                go_on, given = work.throw, self._meant_by(error)

    def _meant_by(self, error: BaseException) -> BaseException:
        if not self._over or not isinstance(error, asyncio.CancelledError):
            return error
        self._over = False
        task = asyncio.current_task()
        assert task is not None
        # More than one cancellation: somebody else wants an end as well, and that wish is the stronger one.
        return error if task.uncancel() else SoftTimeout("the soft time limit is over")
