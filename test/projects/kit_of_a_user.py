"""A user's tests: run where nothing but the wheel is installed."""

import pytest

from mousetrap.handlers import chain, task
from mousetrap.retry import RetryPolicy
from mousetrap.testing import Flaky, World, perform, perform_async, run


@task(queue="pages", retry=RetryPolicy(attempts=5, base=60))
async def fetch(url: str) -> list[str]:
    return url.split("/")


@task
def count(words: list[str]) -> dict[str, int]:
    return {word: words.count(word) for word in words}


wordcount = chain("wordcount", fetch, count)


def test_pure() -> None:
    assert perform(fetch, "a/b") == ["a", "b"]
    assert run(wordcount, "a/b") == {"a": 1, "b": 1}


async def test_pure_in_an_event_loop() -> None:
    assert await perform_async(fetch, "a/b") == ["a", "b"]


async def test_in_a_world(world: World) -> None:
    world.serve(wordcount, handlers={"fetch": Flaky(fails=2, then=["a"])})
    run = await world.submit(wordcount, "a/b")
    await world.settle()
    assert run.result == {"a": 1} and run.attempts("fetch") == 3
    assert world.time > 30


@pytest.mark.parametrize("days", [1, 7])
class TestOfAClass:
    async def test_in_a_world(self, world: World, days: int) -> None:
        world.serve(wordcount)
        run = await world.submit("wordcount", "a/b")
        await world.advance(days=days)
        assert run.state == "completed"
