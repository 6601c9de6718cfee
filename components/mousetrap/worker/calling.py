"""Calls a handler so that what it raises is a value: nothing that it does reaches the task, thread or loop around it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Returned:
    """The handler's value."""

    value: Any


@dataclass(frozen=True, slots=True)
class Raised:
    """What the handler raised: any BaseException."""

    error: BaseException


def call(function: Callable[..., Any], *arguments: Any) -> Returned | Raised:
    """Calls a sync handler.

    As a value its error is safe in a future: StopIteration would leave one pending for good (Python < 3.11.8 and < 3.12.2),
    and concurrent.futures.CancelledError would look like a cancellation of ours.
    """
    try:
        return Returned(function(*arguments))
    except BaseException as error:  # noqa: BLE001  all of it is judged
        return Raised(error)


async def call_in_task(
    context: Context, function: Callable[..., Awaitable[Any]], *arguments: Any
) -> Returned | Raised:
    """Calls an async handler in a task of its own, which runs in `context`: it can cancel that task, and not ours.

    Cancelled, this cancels the handler and returns when it has ended.
    """
    task = asyncio.get_running_loop().create_task(awaited(function, *arguments), context=context)
    try:
        return await task
    except (
        asyncio.CancelledError
    ) as error:  # the handler cancelled its own task; or it is ours, which the caller knows
        return Raised(error)


async def awaited(function: Callable[..., Awaitable[Any]], *arguments: Any) -> Returned | Raised:
    """Calls an async handler in the running task.

    As a value its error is safe in a task: from there SystemExit and KeyboardInterrupt stop the event loop, and so does an
    error whose `__class__` raises.
    """
    try:
        return Returned(await function(*arguments))
    except BaseException as error:  # noqa: BLE001  all of it is judged
        return Raised(error)
