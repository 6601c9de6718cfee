"""Runs a handler in child processes, which can be killed: by a time limit, by a cancel, or by what the handler does."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from mousetrap.handlers import Binding, judged
from mousetrap.isolated_handlers.child_process import ChildProcess, HandlerDied
from mousetrap.isolated_handlers.pickling import by_name
from mousetrap.isolated_handlers.protocol import Facts
from mousetrap.jobs import Outcome
from mousetrap.shapes import Progress

#: Seconds that a handler has to leave once it is told to; then its process is killed with all that it started.
_GRACE = 0.5
#: Seconds that an idle process has to leave its lifespan.
_LEAVING = 5.0

_outcome = msgspec.json.Decoder(Outcome)


class Children:
    """The processes of one binding: each is started when first needed, and does one job at a time, again and again.

    Raises ValueError for a binding that another process could not import.
    """

    def __init__(self, binding: Binding, most: int) -> None:
        self._stage = binding.step
        self._binding = _importable(binding)
        self._room = asyncio.Semaphore(most)
        self._all: set[ChildProcess] = set()
        self._idle: list[ChildProcess] = []

    async def perform(
        self,
        payload: bytes,
        about: Facts,
        *,
        soft: float | None,
        chance: float,
        tell: Callable[[Progress], None],
    ) -> Outcome:
        """One attempt at the job whose input is `payload` (JSON); after `soft` seconds the handler meets SoftTimeout.

        Cancelled, it ends the handler's process, and returns when that is gone.
        """
        async with self._room:
            try:
                return await self._answer(payload, about, soft=soft, chance=chance, tell=tell)
            except HandlerDied as death:
                return judged(death, about.attempt, self._stage, chance, time.time())

    async def close(self) -> None:
        """Ends all processes: each leaves its lifespan, unless that takes longer than a moment."""
        await _surely(asyncio.gather(*(self._end(child, _LEAVING) for child in tuple(self._all))))

    async def _answer(self, payload: bytes, about: Facts, **more: Any) -> Outcome:
        while self._idle:
            try:
                return await self._on(self._idle.pop(), payload, about, **more)
            except HandlerDied as death:
                if death.begun:
                    raise
                # It died while it had nothing to do: that is no fault of this job, which another child can take.
        child = ChildProcess(self._binding)
        self._all.add(child)
        return await self._on(child, payload, about, **more)

    async def _on(self, child: ChildProcess, payload: bytes, about: Facts, **more: Any) -> Outcome:
        fit = False
        try:
            answer = await child.perform(payload, about, **more)
            fit = not answer.last
            outcome: Outcome = _outcome.decode(answer.outcome)
            return outcome
        finally:
            if fit:
                self._idle.append(child)
            else:
                await _surely(self._end(child, _GRACE))

    async def _end(self, child: ChildProcess, grace: float) -> None:
        await child.end(grace)
        self._all.discard(child)


def _importable(binding: Binding) -> bytes:
    try:
        return by_name(binding)
    except ValueError as error:
        raise ValueError(
            f"stage {binding.stage!r} of pipeline {binding.pipeline.name!r} is isolated, and another process must import "
            f"its handler, lifespan and contracts: {error}. Define them at the top of a module; functools.partial hands "
            "arguments over where a lambda cannot"
        ) from error


async def _surely(ending: "asyncio.Future[Any] | Coroutine[Any, Any, Any]") -> None:
    """Waits for the end even when cancelled meanwhile: then the cancellation comes late, and is not lost."""
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
