"""Handlers of the workload: each records its begin, effect and end."""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from chaos.tools import Tools, attempt, in_a_child, these
from chaos.workload import KINDS, OUTPUT_SIZE, POISON, Work
from mousetrap.handlers import Binding, Context
from mousetrap.pipeline import Gathered
from mousetrap.retry import TryAgain

#: Of a hundred attempts at a flaky stage so many fail.
_FLAKY = 10
#: Bytes that the eater takes at once, and how often.
_BITE, _MOST_BITES = 40_000_000, 50


class Failed(Exception):
    """What flaky and poisonous handlers raise."""


class ComeBack(Failed):
    """Names the time of the next attempt, as a busy server does."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"come back in {seconds:g} s")
        self.retry_after = seconds


async def plain(work: Work, context: Context[Tools]) -> Work:
    with attempt(work, context):
        return work.next()


async def ticked(work: Work, context: Context[Tools]) -> Work:
    with attempt(work, context):
        return work.next()


def chained(work: Work, context: Context[Tools]) -> Work:
    with attempt(work, context):
        return work.next()


def flaky(work: Work, context: Context[Tools]) -> Work:
    with attempt(work, context):
        if random.Random(f"{context.job_id} {context.attempt}").random() * 100 < _FLAKY:
            raise Failed("flaky")
        return work.next()


async def slow(work: Work, context: Context[Tools]) -> Work:
    with attempt(work, context):
        await asyncio.sleep(work.seconds)
        return work.next()


async def doomed(work: Work, context: Context[Tools]) -> Work:
    with attempt(work, context):
        await asyncio.sleep(work.seconds)
        return work.next()


async def delayed(work: Work, context: Context[Tools]) -> Work:
    with attempt(work, context):
        if context.attempt == 1:
            raise _later(work)
        return work.next()


def poison(work: Work, context: Context[Tools]) -> Work:
    with attempt(work, context):
        raise Failed("poison")


def killer(work: Work, context: Context[Tools]) -> Work:
    with attempt(work, context):
        os.kill(os.getpid(), signal.SIGKILL)
        return work.next()


def _later(work: Work) -> Exception:
    """The three ways to say when to come back."""
    match work.order % 3:
        case 0:
            return ComeBack(work.seconds)
        case 1:
            return TryAgain(after=work.seconds)
        case _:
            return TryAgain(at=datetime.fromtimestamp(time.time(), UTC) + timedelta(seconds=work.seconds))


async def queued_off(work: Work, context: Context[Tools]) -> Work:
    with attempt(work, context):
        return work.next()


async def running_off(work: Work, context: Context[Tools]) -> Work:
    with attempt(work, context):
        await asyncio.sleep(work.seconds)
        return work.next()


async def delayed_off(work: Work, context: Context[Tools]) -> Work:
    with attempt(work, context):
        if context.attempt == 1:
            raise TryAgain(after=work.seconds)
        return work.next()


async def expiring(work: Work, context: Context[Tools]) -> Work:
    with attempt(work, context):
        await asyncio.sleep(work.seconds)
        return work.next()


async def later(work: Work, context: Context[Tools]) -> Work:
    with attempt(work, context):
        return work.next()


async def large(work: Work, context: Context[Tools]) -> Work:
    with attempt(work, context):
        return work.next()


async def locked(work: Work, context: Context[Tools]) -> Work:
    with attempt(work, context):
        await asyncio.sleep(work.seconds)
        return work.next()


async def limited(work: Work, context: Context[Tools]) -> Work:
    with attempt(work, context):
        await asyncio.sleep(work.seconds)
        return work.next()


def isolated(work: Work, context: Context[Tools]) -> Work:
    with attempt(work, context):
        time.sleep(work.seconds)
        return work.next()


def isolated_killer(work: Work, context: Context[Tools]) -> Work:
    with attempt(work, context):
        os.kill(os.getpid(), signal.SIGKILL)
        return work.next()


def eater(work: Work, context: Context[Tools]) -> Work:
    """Takes more and more memory, until somebody ends its process."""
    with attempt(work, context):
        taken: list[bytes] = []
        while len(taken) < _MOST_BITES:
            taken.append(b"x" * _BITE)
            time.sleep(0.02)
        return work.next()


async def blocker(work: Work, context: Context[Tools]) -> Work:
    """Keeps the event loop from turning, as a careless handler does."""
    with attempt(work, context):
        time.sleep(work.seconds)  # noqa: ASYNC251  that is its nature
        return work.next()


async def find(work: Work, context: Context[Tools]) -> AsyncIterator[Work]:
    with attempt(work, context):
        for index in range(work.children):
            yield msgspec.structs.replace(work.next(), index=index)


async def read(work: Work, context: Context[Tools]) -> Work:
    with attempt(work, context):
        if work.index % POISON == 0:
            raise Failed("poison")
        return msgspec.structs.replace(work.next(), text="x" * OUTPUT_SIZE)


async def add_up(given: Gathered[Work], context: Context[Tools]) -> Work:
    """The counts, and how many outputs came in the order of their children."""
    with attempt(Work(order=0, kind=context.pipeline), context):
        seen, last, done = 0, -1, 0
        async for index, work in given:
            seen += work.index == index > last and len(work.text) == OUTPUT_SIZE
            last, done = index, work.done
        counts = (given.total, given.done, given.lost, seen)
        return Work(order=0, kind=context.pipeline, done=done + 1, counts=counts)


#: Those of fan-outs, by the name of their stage.
_OF_FANS: dict[str, Callable[..., Any]] = {"find": find, "read": read, "sum": add_up}
_HANDLERS: dict[str, Callable[..., Any]] = {
    handler.__name__: handler
    for handler in (
        *(plain, chained, flaky, slow, delayed, poison, queued_off, running_off, delayed_off, expiring),
        *(later, large, locked, limited, isolated, killer, eater, isolated_killer, doomed, blocker, ticked),
    )
}


def bindings(tools: Tools, folder: Path, *, limits: bool = True) -> list[Binding]:
    """Every stage of every kind, bound. A store that is a cluster keeps no limits: no worker of a stage with one starts there."""
    return [
        Binding(
            pipeline=kind.pipeline,
            stage=stage.name,
            handler=_OF_FANS.get(stage.name) or _HANDLERS[name],
            lifespan=partial(in_a_child, folder) if kind.isolated else partial(these, tools),
            isolated=kind.isolated,
        )
        for name, kind in KINDS.items()
        for stage in kind.pipeline.stages
        if limits or not stage.limit
    ]
