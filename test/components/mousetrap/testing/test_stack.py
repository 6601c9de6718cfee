"""Tests on the stack: real workers on an embedded server."""

import asyncio

import pytest

from mousetrap.handlers import chain, task
from mousetrap.retry import RetryPolicy
from mousetrap.testing import Flaky, NotCompleted, Stack

pytestmark = pytest.mark.servers


@task(queue="pages", retry=RetryPolicy(attempts=2, base=0.01))
async def fetch(url: str) -> list[str]:
    return url.split("/")


@task
def count(words: list[str]) -> int:
    return len(words)


wordcount = chain("wordcount", fetch, count)


async def test_a_run_goes_through_real_queue_and_store(stack: Stack) -> None:
    async with stack.serving(wordcount) as served:
        run = await served.submit(wordcount, "a/b")
        assert await run.result() == 2


async def test_a_failed_run_raises_its_handlers_error_with_its_timeline(stack: Stack) -> None:
    error = OSError("no network")
    async with stack.serving(wordcount, handlers={"fetch": Flaky(fails=9, error=error)}) as served:
        run = await served.submit("wordcount", "a/b")
        with pytest.raises(OSError, match="no network") as raised:
            await run.result()
    assert raised.value is error
    assert "gave_up fetch #2" in raised.value.__notes__[0]


async def test_a_run_that_does_not_end_in_time_is_an_error(stack: Stack) -> None:
    released = asyncio.Event()

    async def slow(url: str) -> list[str]:
        await released.wait()
        return []

    async with stack.serving(wordcount, handlers={"fetch": slow}) as served:
        run = await served.submit(wordcount, "a/b")
        with pytest.raises(NotCompleted, match=r"has not ended within 0\.1 s"):
            await run.ended(within=0.1)
        with pytest.raises(ValueError, match="no pipeline 'other' is served; these are: wordcount"):
            await served.submit("other")
        released.set()
        assert await run.result() == 0
