"""`mousetrap publish` shows the runs that it started."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from mousetrap.job_queue import connect
from support.published import a_pipeline, beat

Command = Callable[..., Any]


@pytest.fixture
def publish(mousetrap: Command, api: httpx.Client, store_url: str) -> Command:
    """Runs the command against that API, beside a worker whose pipeline takes `orders.*`."""
    mails = a_pipeline("mails", contract=int, topics=("orders.*",))

    async def up() -> None:
        async with connect(store_url, [stage.queue for stage in mails.stages], name="w1") as queue:
            await queue.count_ready(mails.first.queue)
        await beat(store_url, "w1", mails)

    asyncio.run(up())
    settings = {"COLUMNS": "80", "MOUSETRAP_API_URL": str(api.base_url).rstrip("/")}
    return lambda *arguments: mousetrap("publish", *arguments, settings=settings)


def test_its_runs_are_shown_and_a_repeat_gives_them_again(publish: Command, api: httpx.Client) -> None:
    first = publish("orders.created", "--input", "7", "--key", "order 7", "--tag", "shop", "--delay", "1h")
    again = publish("orders.created", "--input", "7", "--key", "order 7", "--json")

    (run,) = json.loads(again.out)["runs"]
    assert (first.code, again.code, run["new"]) == (0, 0, False)
    assert run["run_id"] in first.out and "mails" in first.out
    shown = api.get(run["url"]).json()
    assert (shown["input"], shown["tags"]) == (7, ["topic:orders.created", "shop"])
    assert shown["due_ms"] - shown["accepted_ms"] == 3_600_000


def test_a_topic_without_taker_is_an_error_with_those_that_are_taken(publish: Command) -> None:
    refused = publish("order.created", "--input", "7")
    misspelt = publish("orders.created", "--input", "7", "--at", "noon")

    assert refused.code == 2
    assert "no pipeline takes the topic 'order.created': is it one of 'orders.*'?" in refused.err
    assert (misspelt.code, "--at" in misspelt.err) == (2, True)
