"""Surrounded and yielding handlers that another process imports."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mousetrap.handlers import Context, Next, Result, SoftTimeout


@asynccontextmanager
async def around(context: Context[Any]) -> AsyncIterator[None]:
    """Lets the attempt through."""
    yield


async def tenfold(context: Context[Any], payload: Any, call_next: Next) -> Any:
    return [await call_next(payload * 10), context.attempt]


async def fails_before(context: Context[Any], payload: Any, call_next: Next) -> Any:
    raise KeyError("before the handler")


def plus(number: int) -> int:
    return number + 1


def plus_by_run(number: int) -> int:
    """With an event loop of its own."""

    async def add() -> int:
        await asyncio.sleep(0)
        return number + 1

    return asyncio.run(add())


async def plus_later(number: int) -> int:
    await asyncio.sleep(0)
    return number + 1


def pages(number: int) -> Generator[Any, None, Any]:
    yield {"page": number}
    yield None
    return ["all", os.getpid()]


async def pages_later(number: int) -> AsyncIterator[Any]:
    yield {"page": number}
    yield None
    yield Result(["all", os.getpid()])


def fails_half_way(number: int) -> Generator[Any, None, Any]:
    yield "first"
    raise ZeroDivisionError(number)


def bad_value(number: int) -> Generator[Any, None, Any]:
    yield 1
    yield object()


def counts(path: str) -> Generator[Any, None, str]:
    """Notes its end; it ends at its soft timeout."""
    try:
        for number in range(10_000):
            yield number
            time.sleep(0.005)
    except SoftTimeout:
        return "soft"
    finally:
        _note(path, "closed")
    return "late"


def _note(path: str, text: str) -> None:
    Path(path).write_text(text)


async def counts_later(path: str) -> AsyncIterator[Any]:
    try:
        for number in range(10_000):
            yield number
            await asyncio.sleep(0.005)
    except SoftTimeout:
        yield Result("soft")
    finally:
        _note(path, "closed")


def returns_at_soft_timeout(path: str) -> Generator[Any, None, str]:
    """Notes its soft timeout, which comes while its value is being kept."""
    try:
        yield 1
    except SoftTimeout:
        _note(path, "soft")
    return "soft"


async def yields_at_soft_timeout(path: str) -> AsyncIterator[Any]:
    """Notes its soft timeout, which comes while its first value is being kept, and that it went on."""
    try:
        yield 1
    except SoftTimeout:
        _note(path, "soft")
        yield 2
        _note(path, "went on")


def fails(path: str) -> None:
    raise ZeroDivisionError(path)


def note(context: Context[Any], error: BaseException, outcome: Any) -> None:
    Path(error.args[0]).write_text(
        f"{type(error).__name__} {type(outcome).__name__} {context.stage} {os.getpid()}"
    )


async def note_later(context: Context[Any], error: BaseException, outcome: Any) -> None:
    note(context, error, outcome)
    raise RuntimeError("a hook that fails changes nothing")
