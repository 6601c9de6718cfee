"""Steps an async handler's call in the running task."""

import asyncio
import threading
from collections.abc import Coroutine, Generator
from contextvars import Context as ContextVars
from functools import partial
from types import coroutine
from typing import Any, final

import msgspec

from mousetrap.handlers.calling import Raised, Returned
from mousetrap.jobs import Job


@final
class Suspended(msgspec.Struct, frozen=True):
    """A handler waits for something."""

    awaited: Any


class AsyncCall(msgspec.Struct, frozen=True):
    """One call of an async handler: its coroutine, and what that runs in."""

    job: Job
    work: Coroutine[Any, Any, Returned | Raised]
    #: What the handler sets is set here alone.
    variables: ContextVars
    #: Set when the handler is to stop; None where it is given nothing to see that by.
    stopped: threading.Event | None

    def end(self) -> None:
        """Lets what the handler has left running see that its attempt is over."""
        if self.stopped is not None:
            self.stopped.set()

    def step(self, task: "asyncio.Task[Any]") -> Returned | Raised | Suspended:
        """Runs the handler in `task`, the running one, until it ends, or waits for something for the first time.

        A handler that cancels that task and ends has failed, as in a task of its own.
        """
        try:
            awaited = self.variables.run(self.work.send, None)
        except StopIteration as end:
            if task.cancelling():
                return Raised(asyncio.CancelledError())
            ended: Returned | Raised = end.value
            return ended
        return Suspended(awaited)

    @coroutine
    def go_on(self, suspended: Suspended) -> Generator[Any, Any, Returned | Raised]:
        """Runs the rest of the handler in the running task, which made its first step."""
        work, awaited = self.work, suspended.awaited  # `work` is where a stack of the task is read from
        while True:
            try:
                given = yield awaited
            except BaseException as error:  # noqa: BLE001  what an await raises, it raises in the handler
                resume = partial(work.throw, error)
            else:
                resume = partial(work.send, given)
            try:
                awaited = self.variables.run(resume)
            except StopIteration as end:
                ended: Returned | Raised = end.value
                return ended
            finally:
                del resume  # it would keep the error's frames
