"""What a worker shows of itself to those who watch it from beside its event loop: what runs, what hangs, what is done."""

import asyncio
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from mousetrap.handlers import Context
from mousetrap.jobs import Job

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An attempt under way; `since` is on time.monotonic()'s clock."""

    run_id: str
    stage: str
    attempt: int
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hung:
    """A handler that was told to stop, at `told` on time.monotonic()'s clock, and goes on in its thread or its task."""

    run_id: str
    stage: str
    attempt: int
    told: float
    #: threading.get_ident() of a sync one's.
    thread: int = 0
    #: An async one's.
    task: "asyncio.Task[Any] | None" = None


class Watching:
    """Written by run_worker, read from any thread.

    `run_worker` sets `state` as it goes on, `running` to the table of its attempts and `missing` to a count of its runners,
    counts each outcome that it records, and runs sync handlers by `in_thread`.
    """

    def __init__(self) -> None:
        self.state: Literal["starting", "serving", "draining"] = "starting"
        #: To be called on the worker's event loop.
        self.running: Callable[[], Sequence[Running]] = tuple
        #: How many runners fewer than the concurrency are alive: a worker without any would take jobs and do none.
        self.missing: Callable[[], int] = int
        #: Whether the worker cancels its runners: any other cancellation of an attempt is not its own.
        self.forced = False
        #: Attempts that went well, and those that did not.
        self.done = self.failed = 0
        self._calls: set[_Call[Any]] = set()
        self._left: dict[asyncio.Task[Any], Hung] = {}

    async def in_thread(self, threads: Executor, context: Context[Any], handler: Callable[[], T]) -> T:
        """What `handler` gives, which raises nothing; when this is cancelled the handler goes on, and counts as hung until it ends."""
        # Not run_in_executor(): its futures, and the frames below the handler's, would hold what is given, and so all that a
        # failed handler held, until the collector comes by.
        loop, call = asyncio.get_running_loop(), _Call(context, handler)
        ended: asyncio.Future[T] = loop.create_future()

        submitted = threads.submit(self._run, call, loop, weakref.ref(ended))
        try:
            return await ended
        except asyncio.CancelledError:
            submitted.cancel()
            call.told = time.monotonic()
            raise

    def leave(self, job: Job, task: "asyncio.Task[Any]") -> None:
        """An async handler goes on in `task` although it was cancelled: it counts as hung until it ends."""
        self._left[task] = Hung(
            run_id=job.run_id, stage=job.stage, attempt=job.attempt, told=time.monotonic(), task=task
        )
        task.add_done_callback(self._left.pop)

    def hung(self) -> list[Hung]:
        """The handlers that were told to stop and have not ended, the longest first."""
        told = [(call.told, call) for call in tuple(self._calls) if call.told is not None]
        in_threads = [
            Hung(
                run_id=call.context.run_id,
                stage=call.context.stage,
                attempt=call.context.attempt,
                told=at,
                thread=call.thread,
            )
            for at, call in told
        ]
        return sorted([*in_threads, *tuple(self._left.values())], key=lambda each: each.told)

    def _run(
        self, call: "_Call[T]", loop: asyncio.AbstractEventLoop, ended: "weakref.ref[asyncio.Future[T]]"
    ) -> None:
        loop.call_soon_threadsafe(_give, ended, self._noted(call))

    def _noted(self, call: "_Call[T]") -> T:
        call.thread = threading.get_ident()
        self._calls.add(call)
        try:
            return call.handler()
        finally:
            self._calls.discard(call)


@dataclass(slots=True, eq=False)
class _Call(Generic[T]):
    context: Context[Any]
    handler: Callable[[], T]
    thread: int = 0
    told: float | None = None


def _give(ended: "weakref.ref[asyncio.Future[T]]", value: T) -> None:
    future = ended()
    if future is not None and not future.done():  # else nobody waits for it any more
        future.set_result(value)
