"""Keeps the processes of one binding."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec

from mousetrap.handlers import Binding
from mousetrap.isolated_handlers.child_process import ChildProcess, HandlerDied
from mousetrap.isolated_handlers.pickling import pickle_by_name
from mousetrap.isolated_handlers.protocol import Call
from mousetrap.jobs import Outcome

#: Seconds that a handler has to end once it is interrupted; then its process is killed with all that it started.
_HANDLER_GRACE_S = 0.5
#: Seconds that an idle process has to leave its lifespan.
_LIFESPAN_GRACE_S = 5.0

_outcome = msgspec.json.Decoder(Outcome)


class ProcessPool:
    """The processes of one binding, at most `size`.

    1. Each starts when a job first needs it, and runs one job at a time.
    2. After a result it waits for the next job.
    3. It ends when its job is cancelled, when it can run no further job, and when the pool is closed.

    Raises ValueError for a binding that another process could not import.
    """

    def __init__(self, binding: Binding, size: int) -> None:
        self._binding = _importable(binding)
        self._room = asyncio.Semaphore(size)
        self._all: set[ChildProcess] = set()
        self._idle: list[ChildProcess] = []

    async def run(self, call: Call) -> Outcome:
        """Runs the handler once. Raises HandlerDied when its process ends without a result.

        Cancelled, it ends the handler's process, and returns when that is gone.
        """
        async with self._room:
            while self._idle:
                try:
                    return await self._run_on(self._idle.pop(), call)
                except HandlerDied as death:
                    if death.started:
                        raise
                    # It died while it was idle: that is no fault of this job, which another process can take.
            child = ChildProcess(self._binding)
            self._all.add(child)
            return await self._run_on(child, call)

    async def close(self) -> None:
        """Ends all processes: each leaves its lifespan, unless that takes longer than its grace."""
        await _uncancelled(
            asyncio.gather(*(self._end(child, _LIFESPAN_GRACE_S) for child in tuple(self._all)))
        )

    async def _run_on(self, child: ChildProcess, call: Call) -> Outcome:
        is_fit = False
        try:
            result = await child.run(call)
            is_fit = not result.last
            outcome: Outcome = _outcome.decode(result.outcome)
            return outcome
        finally:
            if is_fit:
                self._idle.append(child)
            else:
                await _uncancelled(self._end(child, _HANDLER_GRACE_S))

    async def _end(self, child: ChildProcess, grace_s: float) -> None:
        await child.end(grace_s)
        self._all.discard(child)


def _importable(binding: Binding) -> bytes:
    try:
        return pickle_by_name(binding)
    except ValueError as error:
        raise ValueError(
            f"stage {binding.stage_name!r} of pipeline {binding.pipeline.name!r} is isolated, and another process must import "
            f"its handler, what surrounds it, its lifespan and contracts: {error}. Define them at the top of a module; functools.partial hands "
            "arguments over where a lambda cannot"
        ) from error


async def _uncancelled(ending: "asyncio.Future[Any] | Coroutine[Any, Any, Any]") -> None:
    """Waits for the end even when it is cancelled; then it raises the cancellation afterwards."""
    end = asyncio.ensure_future(ending)
    cancelled = None
    while not end.done():
        try:
            await asyncio.shield(end)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled:
        raise cancelled
    end.result()
