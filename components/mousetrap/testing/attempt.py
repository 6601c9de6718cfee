"""Prepares a test's attempts: dependencies, first job, event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

from mousetrap.handlers import Binding
from mousetrap.jobs import Job, first_job
from mousetrap.repeat_attempt import FROM_LIFESPAN, loop_runs

T = TypeVar("T")

#: When these runs were accepted, in milliseconds since 1970: no result depends on it.
_ACCEPTED_MS = 1_800_014_400_000


@asynccontextmanager
async def open_deps(bindings: Sequence[Binding], deps: Any) -> AsyncIterator[list[Any]]:
    """The deps of each binding: `deps`, or what its lifespan gives. A lifespan that several share is entered once."""
    if deps is not FROM_LIFESPAN:
        yield [deps] * len(bindings)
        return
    opened: dict[Callable[[], AbstractAsyncContextManager[Any]], Any] = {}
    async with AsyncExitStack() as stack:
        for binding in bindings:
            if binding.lifespan not in opened:
                opened[binding.lifespan] = await stack.enter_async_context(binding.lifespan())
        yield [opened[binding.lifespan] for binding in bindings]


def start_of(binding: Binding, payload: bytes, run_id: str) -> Job:
    """The job that begins a run at this binding's stage."""
    return first_job(
        run_id=run_id,
        pipeline=binding.pipeline.name,
        stage=binding.stage_name,
        payload=payload,
        accepted_ms=_ACCEPTED_MS,
    )


def run_sync(work: Coroutine[Any, Any, T], instead: str) -> T:
    """The value of `work`, in an event loop of its own. Raises RuntimeError where one runs: `instead` is to be awaited there."""
    if not loop_runs():
        return asyncio.run(work)  # outside of `except`, which would be the context of the handler's error
    work.close()
    raise RuntimeError(f"an event loop runs here, in an async test or a notebook: `await {instead}(...)`")
