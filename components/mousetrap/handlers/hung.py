"""Handlers that were asked to stop and still run."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from mousetrap.handlers.context import AttemptInfo
from mousetrap.jobs import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Hung:
    """A handler that was asked to stop at `asked_at`, on time.monotonic()'s clock, and still runs."""

    run_id: str
    stage: str
    attempt: int
    asked_at: float
    #: threading.get_ident() of a sync handler's thread.
    thread: int = 0
    #: The task of an async handler.
    task: "asyncio.Task[Any] | None" = None


@dataclass(slots=True, eq=False)
class ThreadCall:
    """A sync handler's call, known to its thread and to the event loop."""

    job: Job | AttemptInfo
    thread: int = 0
    #: When the handler was asked to stop; None while its result is awaited.
    asked_at: float | None = None


class HungHandlers:
    """All handlers of a worker that were asked to stop and still run; readable from any thread."""

    def __init__(self) -> None:
        self._calls: set[ThreadCall] = set()
        self._tasks: dict[asyncio.Task[Any], Hung] = {}

    def thread_began(self, call: ThreadCall) -> None:
        """A thread runs the call."""
        self._calls.add(call)

    def thread_ended(self, call: ThreadCall) -> None:
        """The thread has ended the call."""
        self._calls.discard(call)

    def task_left(self, job: Job, task: "asyncio.Task[Any]") -> None:
        """An async handler goes on in `task` although it was cancelled; it counts as hung until it ends."""
        self._tasks[task] = _hung(job, time.monotonic(), task=task)
        task.add_done_callback(self._tasks.pop)

    def list(self) -> list[Hung]:
        """The hung handlers, the longest first."""
        in_threads = [
            _hung(call.job, call.asked_at, thread=call.thread)
            for call in tuple(self._calls)
            if call.asked_at is not None
        ]
        return sorted([*in_threads, *tuple(self._tasks.values())], key=lambda each: each.asked_at)


def _hung(
    job: Job | AttemptInfo, asked_at: float, *, thread: int = 0, task: "asyncio.Task[Any] | None" = None
) -> Hung:
    return Hung(
        run_id=job.run_id, stage=job.stage, attempt=job.attempt, asked_at=asked_at, thread=thread, task=task
    )
