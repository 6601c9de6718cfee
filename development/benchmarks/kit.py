"""Measures the testing kit: a plain call, a run, a world."""

import logging
import time
from collections.abc import Callable
from statistics import median

from mousetrap.handlers import chain, task
from mousetrap.retry import RetryPolicy
from mousetrap.testing import Flaky, World, perform, run

#: Repeats of a plain call, and of a world.
_CALLS, _WORLDS = 500, 50


@task(queue="pages", retry=RetryPolicy(attempts=5, base=60))
async def fetch(url: str) -> list[str]:
    """An async handler."""
    return url.split("/")


@task(queue="words")
def count(words: list[str]) -> dict[str, int]:
    """A sync handler."""
    return {word: words.count(word) for word in words}


WORDCOUNT = chain("wordcount", fetch, count)


def in_a_world(days: float) -> None:
    """A test as the page on testing shows it, from the world's making to its end: two retries, then so many days."""
    world = World()

    async def test() -> None:
        world.serve(WORDCOUNT, handlers={"fetch": Flaky(fails=2, then=["a"])})
        submitted = await world.submit(WORDCOUNT, "a/b")
        await world.settle()
        await world.advance(days=days)
        assert submitted.result == {"a": 1}

    try:
        world.drive(test())
    finally:
        world.close()


def median_ms(work: Callable[[], object], repeats: int) -> float:
    """The median of so many calls, in milliseconds; the first is left out."""
    work()
    took = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return median(took) * 1000


def main() -> None:
    """Prints a table, as it stands in docs/testing.md."""
    logging.disable()  # of the retries
    rows = [
        ("`perform`, async handler", median_ms(lambda: perform(fetch, "a/b"), _CALLS)),
        ("`perform`, sync handler, in a thread", median_ms(lambda: perform(count, ["a"]), _CALLS)),
        ("`run`, two stages", median_ms(lambda: run(WORDCOUNT, "a/b"), _CALLS)),
        ("`world`, two retries", median_ms(lambda: in_a_world(0), _WORLDS)),
        ("`world`, two retries and a week", median_ms(lambda: in_a_world(7), _WORLDS)),
    ]
    print("| what | ms |\n|---|---|")
    for name, ms in rows:
        print(f"| {name} | {ms:.2g} |" if ms < 1 else f"| {name} | {ms:.0f} |")


if __name__ == "__main__":
    main()
