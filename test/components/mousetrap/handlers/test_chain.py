"""Tests that a chain is a pipeline of tasks, or is refused."""

import asyncio

import msgspec
import pytest

from mousetrap.handlers import Context, chain, task
from mousetrap.pipeline import Pipeline
from mousetrap.retry import RetryPolicy


class Page(msgspec.Struct):
    """A contract between tasks."""

    text: str


@task(queue="pages", retry=RetryPolicy(attempts=7))
async def fetch(url: str, depth: int = 1) -> Page:
    """Fetches a page."""
    return Page(url * depth)


@task
def count(page: Page, least: int = 3, *, context: Context[None] | None = None) -> dict[str, int]:
    """Counts words."""
    return {page.text: least}


@task
def both(page: Page, other: Page) -> Page:
    return page


@task
def tick() -> Page:
    return Page("")


@task(queue="pages")
def same_queue(page: Page) -> Page:
    return page


def plain(page: Page) -> Page:
    return page


def test_a_chain_is_the_pipeline_that_its_stages_would_make() -> None:
    made = chain("wordcount", fetch, count, expires_after=60).pipeline

    first, second = made.stages
    assert made == Pipeline(
        name="wordcount",
        description="Fetches a page. Counts words.",
        stages=(fetch.stage, second),
        expires_after=60,
    )
    assert first is fetch.stage
    assert (second.name, second.queue, second.input) == ("count", "count", Page)
    assert chain("a", fetch, description="Gets.").pipeline.description == "Gets."
    assert chain("a", same_queue, count).pipeline.description == "Counts words."
    assert chain("a", same_queue).pipeline.description == "Runs same_queue."


def test_a_later_task_gets_the_value_as_its_first_parameter_and_keeps_its_defaults() -> None:
    first, second = chain("wordcount", fetch, count).bindings

    page = asyncio.run(first.handler(msgspec.convert({"url": "a", "depth": 2}, fetch.input)))

    assert page == Page("aa")
    assert second.handler(Page("a"), None) == {"a": 3}
    assert second.pipeline.name == "wordcount"
    assert count.binding.pipeline.name == "count"


@pytest.mark.parametrize(
    ("tasks", "what"),
    [
        ((), "has no stages"),
        ((fetch, 3), "3 is no task: give it functions with @task"),
        ((fetch, plain), "is no task: write @task above plain"),
        (
            (fetch, fetch),
            r"'fetch' \(.*test_chain.py:\d+\) gives Page, but 'fetch'.* takes str: make",
        ),
        ((count, fetch), r"'count' \(.*\) gives dict\[str, int\], but 'fetch'"),
        ((fetch, both), "'both' .* gets one value from the task before it, and needs other as well"),
        ((fetch, tick), "takes nothing"),
        (
            (fetch, same_queue),
            r"'same_queue' \(.*test_chain.py:\d+\) has the queue 'pages', as 'fetch' \(.*\) has: write another one, as @task\(queue=",
        ),
        (
            (same_queue, same_queue),
            r"'same_queue' \(.*test_chain.py:\d+\) is in it twice: make a second task of its function, as same_queue_again = ",
        ),
    ],
)
def test_a_chain_that_cannot_work_is_refused(tasks: tuple[object, ...], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        chain("a", *tasks)  # type: ignore[call-overload]


def test_a_chain_without_its_name_is_refused_with_what_to_write() -> None:
    with pytest.raises(
        ValueError, match=r"chain: its name is .*: write it first, as chain\('wordcount', split"
    ):
        chain(fetch, count)  # type: ignore[call-overload]
