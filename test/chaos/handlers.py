"""The handlers of the workload: each writes down that it began, has its effect, behaves as its kind does, and writes down its end."""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from chaos.effects import Effects
from chaos.ledger import Ledger
from chaos.points import Point, Trap
from chaos.workload import KINDS, Work
from mousetrap.worker import Binding, Context

#: Of a hundred attempts at a flaky stage so many fail.
_FLAKY = 10


@dataclass(frozen=True, slots=True)
class Tools:
    """What the handlers of one worker share."""

    ledger: Ledger
    effects: Effects
    trap: Trap
    worker: str
    #: When this process asked for the claim on a job, by job and fence.
    asked: dict[tuple[str, int], float]


class Failed(Exception):
    """What flaky and poisonous handlers raise."""


class ComeBack(Failed):
    """Says when to try again, as a busy server does."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"come back in {seconds:g} s")
        self.retry_after = seconds


@contextmanager
def _attempt(work: Work, context: Context[Tools]) -> Iterator[None]:
    """An attempt that stands in the ledger from its begin to its end, and has its effect."""
    tools = context.deps
    asked = tools.asked.pop((context.job_id, context.fence), 0.0)

    def note(what: str, after: float | None = None) -> None:
        tools.ledger.note(
            what,
            run=context.run_id,
            kind=work.kind,
            stage=context.stage,
            job=context.job_id,
            attempt=context.attempt,
            fence=context.fence,
            worker=tools.worker,
            asked=asked,
            after=after,
        )

    note("begun")
    tools.trap.passing(Point.HANDLER_BEGUN)
    try:
        tools.effects.write(context.idempotency_key, context.run_id, context.stage)
        tools.trap.passing(Point.HANDLER_MID)
        yield
    except Exception as error:
        note("failed", getattr(error, "retry_after", None))
        raise
    except asyncio.CancelledError:
        note("stopped")
        raise
    note("done")
    tools.trap.passing(Point.HANDLER_DONE)


async def plain(work: Work, context: Context[Tools]) -> Work:
    with _attempt(work, context):
        return work.next()


def chained(work: Work, context: Context[Tools]) -> Work:
    with _attempt(work, context):
        return work.next()


def flaky(work: Work, context: Context[Tools]) -> Work:
    with _attempt(work, context):
        if random.Random(f"{context.job_id} {context.attempt}").random() * 100 < _FLAKY:
            raise Failed("flaky")
        return work.next()


async def slow(work: Work, context: Context[Tools]) -> Work:
    with _attempt(work, context):
        await asyncio.sleep(work.seconds)
        return work.next()


async def doomed(work: Work, context: Context[Tools]) -> Work:
    with _attempt(work, context):
        await asyncio.sleep(work.seconds)
        return work.next()


async def delayed(work: Work, context: Context[Tools]) -> Work:
    with _attempt(work, context):
        if context.attempt == 1:
            raise ComeBack(work.seconds)
        return work.next()


def poison(work: Work, context: Context[Tools]) -> Work:
    with _attempt(work, context):
        raise Failed("poison")


def killer(work: Work, context: Context[Tools]) -> Work:
    with _attempt(work, context):
        os.kill(os.getpid(), signal.SIGKILL)
        return work.next()


async def blocker(work: Work, context: Context[Tools]) -> Work:
    """Keeps the event loop from turning, as a careless handler does."""
    with _attempt(work, context):
        time.sleep(work.seconds)  # noqa: ASYNC251  that is its nature
        return work.next()


_HANDLERS: dict[str, Callable[..., Any]] = {
    handler.__name__: handler
    for handler in (plain, chained, flaky, slow, delayed, poison, killer, doomed, blocker)
}


def bindings(tools: Tools) -> list[Binding]:
    """Every stage of every kind, bound."""
    return [
        Binding(pipeline=kind.pipeline, stage=stage.name, handler=_HANDLERS[name], lifespan=_giving(tools))
        for name, kind in KINDS.items()
        for stage in kind.pipeline.stages
    ]


def _giving(tools: Tools) -> Callable[[], AbstractAsyncContextManager[Tools]]:
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[Tools]:
        yield tools

    return lifespan
