"""Fan-outs and joins in processes of their own."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mousetrap.handlers import Binding, FanRefused, HandlerHost
from mousetrap.isolated_handlers import IsolatedHandler
from mousetrap.jobs import Done, GiveUp, Job, Outcome, RetryLater
from mousetrap.pipeline import Pages
from mousetrap.retry import Outage
from support import fan_handlers as handlers
from support.fan_bench import JOB, OVER, TOO_WIDE, Kept, join_job, list_binding, sum_binding, with_fans
from support.handler_host import HandlerBench, until

# Each test starts processes.
pytestmark = pytest.mark.slow
#: Seconds, in which a handler begins on a busy machine too.
SOFT_S = 0.75


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def host(kept: Kept) -> Iterator[HandlerHost]:
    with ThreadPoolExecutor(1) as threads:
        yield with_fans(HandlerBench(threads).host, kept)


@asynccontextmanager
async def isolated(binding: Binding, host: HandlerHost) -> AsyncIterator[IsolatedHandler]:
    handler = IsolatedHandler(binding, host, processes=1)
    try:
        yield handler
    finally:
        await handler.close()


async def outcome_of(binding: Binding, host: HandlerHost, job: Job = JOB) -> Outcome:
    async with isolated(binding, host) as handler:
        return await handler.run(job, fence=7)


@pytest.mark.parametrize(
    "handler", [handlers.items, handlers.items_later, handlers.item_list, handlers.items_given_later]
)
async def test_each_item_comes_to_the_worker(handler: Any, kept: Kept, host: HandlerHost) -> None:
    assert await outcome_of(list_binding(handler), host) == Done(msgspec.Raw(b"null"), children=3)
    assert kept.values == [0, 1, 2]
    assert kept.closed == 1


async def test_items_of_another_process_have_their_keys(kept: Kept, host: HandlerHost) -> None:
    await outcome_of(list_binding(handlers.from_another_process), host)
    assert kept.values != [os.getpid()]

    await outcome_of(list_binding(handlers.keyed), host)
    assert [key for _, key in kept.items] == ["key 0", "key 1", "key 2"]


async def test_what_is_refused_ends_the_attempt(kept: Kept, host: HandlerHost) -> None:
    kept.refused, kept.after = TOO_WIDE, 2
    async with isolated(list_binding(handlers.items), host) as handler:
        refused = await handler.run(JOB, fence=7)
        kept.refused = OVER
        over = await handler.run(JOB, fence=7)
        kept.refused = Outage("the broker is away")
        away = await handler.run(JOB, fence=7)
        kept.refused = None
        done = await handler.run(JOB, fence=7)

    assert isinstance(refused, GiveUp)
    assert refused.reason == "fan-too-wide"
    assert isinstance(over, RetryLater)
    assert isinstance(away, RetryLater)
    assert not away.counted
    assert done == Done(msgspec.Raw(b"null"), children=3)


async def test_a_wrong_item_gives_the_job_up(host: HandlerHost) -> None:
    outcome = await outcome_of(list_binding(handlers.wrong_item), host)

    assert isinstance(outcome, GiveUp)
    assert "item 1 of stage 'list'" in outcome.failure.text


@pytest.mark.parametrize(
    "handler", [handlers.goes_on_at_soft_timeout, handlers.goes_on_at_soft_timeout_later]
)
async def test_no_item_is_lost_at_a_soft_timeout(
    handler: Any, kept: Kept, host: HandlerHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "note"
    monkeypatch.setenv("SOFT_TIMEOUT_NOTE", str(note))
    kept.gate = asyncio.Event()

    running = asyncio.create_task(outcome_of(list_binding(handler, soft_timeout=SOFT_S), host))
    await until(note.exists)
    kept.gate.set()
    outcome = await running

    given = len(kept.values) - 1
    assert kept.values == [*range(given), 5_000]
    assert given >= 4
    assert outcome == Done(msgspec.Raw(b"null"), children=given + 1)


@pytest.mark.parametrize("handler", [handlers.total, handlers.total_later])
async def test_a_join_reads_the_outputs_through_its_worker(handler: Any, host: HandlerHost) -> None:
    outcome = await outcome_of(sum_binding(handler), host, join_job())

    assert isinstance(outcome, Done)
    assert msgspec.json.decode(outcome.output) == [1_001 * index for index in range(300)]


async def test_outputs_that_are_nowhere_fail_the_attempt(host: HandlerHost) -> None:
    outcome = await outcome_of(sum_binding(handlers.total), host, join_job("other"))

    assert isinstance(outcome, RetryLater)
    assert "there are no outputs of a fan-out here" in outcome.failure.text


async def test_outputs_that_are_lost_for_good_give_the_join_up(host: HandlerHost) -> None:
    def forgotten(run_id: str, job_id: str) -> Pages:
        raise FanRefused("fan-forgotten", "the store has lost output 3")

    outcome = await outcome_of(sum_binding(handlers.total), replace(host, gathered=forgotten), join_job())

    assert isinstance(outcome, GiveUp)
    assert (outcome.reason, outcome.failure.text) == ("fan-forgotten", "the store has lost output 3")
