"""Fan-outs and joins that another process imports."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from mousetrap.handlers import Context, SoftTimeout
from mousetrap.pipeline import Gathered, Keyed


def items(number: int) -> Iterator[Any]:
    yield from range(number)


async def items_later(number: int) -> AsyncIterator[Any]:
    for item in range(number):
        yield item


def item_list(number: int) -> list[Any]:
    return list(range(number))


async def item_list_later(number: int) -> list[Any]:
    return list(range(number))


async def items_given_later(number: int) -> AsyncIterator[Any]:
    return items_later(number)


def keyed(number: int) -> Iterator[Any]:
    yield from (Keyed(f"key {item}", item) for item in range(number))


def from_another_process(number: int) -> Iterator[int]:
    yield os.getpid()


def fails_half_way(number: int, context: Context[Any]) -> Iterator[int]:
    yield 1
    raise ZeroDivisionError(context.stage)


def wrong_item(number: int) -> Iterator[Any]:
    yield 1
    yield "two"


def no_items(number: int) -> Any:
    return 3


def letters(number: int) -> Any:
    return "letters"


def returns_beside(number: int) -> Any:
    yield 1
    return 2


def bad_key(number: int) -> Iterator[Any]:
    yield Keyed("", 1)


def large(number: int) -> Iterator[Any]:
    yield 10**40


def note_soft_timeout(context: Context[Any]) -> None:
    """Reports progress, and writes the file of the environment: a worker reads no report while it takes an item."""
    context.progress(1)
    if path := os.environ.get("SOFT_TIMEOUT_NOTE"):
        Path(path).touch()


def goes_on_at_soft_timeout(number: int, context: Context[Any]) -> Iterator[int]:
    """Reports its soft timeout, which comes while its fourth item waits for that, and gives one more."""
    try:
        yield from range(1_000)
    except SoftTimeout:
        note_soft_timeout(context)
        yield 5_000


async def goes_on_at_soft_timeout_later(number: int, context: Context[Any]) -> AsyncIterator[int]:
    try:
        for item in range(1_000):
            yield item
    except SoftTimeout:
        note_soft_timeout(context)
        yield 5_000


def total(gathered: Gathered[int]) -> list[int]:
    return [index * 1_000 + value for index, value in gathered]


async def total_later(gathered: Gathered[int]) -> list[int]:
    return [index * 1_000 + value async for index, value in gathered]
