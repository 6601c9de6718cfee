"""Yielded values are fenced, counted and bounded events of their run."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import pytest

from mousetrap.jobs import Done, Failure, Job, RetryLater, first_job
from mousetrap.run_store import Granted, RunStore, open_store
from mousetrap.shapes import RunState

pytestmark = pytest.mark.usefixtures("both_families")

BROKEN = Failure(kind="ValueError", text="no")


def a_store(url: str) -> AbstractAsyncContextManager[RunStore]:
    return open_store(url, retention=3600)


async def claimed(
    store: RunStore, job: Job | None = None, *, worker: str = "w1", again: bool = False
) -> tuple[Job, int]:
    """A job that was claimed, and its fence."""
    if job is None:
        accepted = await store.open_run("r1", "sums", "add", b"1")
        job = first_job(
            run_id="r1", pipeline="sums", stage="add", payload=b"1", accepted_ms=accepted.accepted_ms
        )
    claim = await store.claim(job, worker=worker, redelivered=again, lease=60)
    assert isinstance(claim, Granted)
    return job, claim.fence


async def kept(store: RunStore, job: Job, fence: int, number: int, value: Any, worker: str = "w1") -> str:
    raw = msgspec.json.encode(value)
    return await store.keep_value(job.id, job.run_id, job.stage, job.attempt, fence, worker, number, raw)


async def values(store: RunStore) -> list[Any]:
    run = await store.get("r1")
    assert run is not None
    return [event.value for event in run.timeline if event.kind == "yielded"]


async def test_a_yielded_value_is_an_event_and_changes_no_state(store_url: str) -> None:
    async with a_store(store_url) as store:
        job, fence = await claimed(store)
        before = await store.get("r1")

        for number, value in enumerate([{"page": 1}, None, "é\u2028", [1.5]], 1):
            assert await kept(store, job, fence, number, value) == "recorded"

        run = await store.get("r1")
        assert run is not None and before is not None
        assert (run.state, run.updated_ms) == (RunState.RUNNING, before.updated_ms)
        [*_, last] = run.timeline
        assert (last.kind, last.stage, last.job, last.attempt, last.worker) == (
            "yielded",
            "add",
            job.id,
            1,
            "w1",
        )
        assert await values(store) == [{"page": 1}, None, "é\u2028", [1.5]]


async def test_a_value_whose_reply_was_lost_is_kept_once(store_url: str) -> None:
    async with a_store(store_url) as store:
        job, fence = await claimed(store)

        replies = [await kept(store, job, fence, number, number) for number in (1, 1, 2, 1, 2, 3)]

        assert set(replies) == {"recorded"}
        assert await values(store) == [1, 2, 3]


async def test_a_late_worker_adds_no_value_and_neither_does_one_after_the_outcome(store_url: str) -> None:
    async with a_store(store_url) as store:
        job, late = await claimed(store)
        assert await kept(store, job, late, 1, "early") == "recorded"
        _, fence = await claimed(store, job, worker="w2", again=True)

        assert await kept(store, job, late, 2, "late") == "stale"
        assert await kept(store, job, fence, 1, "of the second", "w2") == "recorded"
        await store.decide(job, RetryLater(0.0, BROKEN), fence=fence, worker="w2", last=False)
        assert await kept(store, job, fence, 2, "after its outcome", "w2") == "stale"

        again, newest = await claimed(store, job.again(), worker="w2")
        assert await kept(store, again, newest, 1, "of attempt 2", "w2") == "recorded"
        assert await values(store) == ["early", "of the second", "of attempt 2"]
        run = await store.get("r1")
        assert run is not None
        assert [event.attempt for event in run.timeline if event.kind == "yielded"] == [1, 1, 2]


async def test_a_run_that_ended_gets_no_value(store_url: str) -> None:
    async with a_store(store_url) as store:
        job, fence = await claimed(store)
        await store.cancel("r1")

        assert await kept(store, job, fence, 1, "late") == "over"
        assert await values(store) == []


async def test_a_run_keeps_so_many_values_and_one_event_notes_that_more_are_missing(store_url: str) -> None:
    async with a_store(store_url) as store:
        job, fence = await claimed(store)

        replies = [await kept(store, job, fence, number, number) for number in range(1, 1_011)]

        assert replies == ["recorded"] * 1_000 + ["full"] * 10
        assert (
            await store.decide(job, Done(msgspec.Raw(b"1")), fence=fence, worker="w1", last=True)
            == "recorded"
        )
        run = await store.get("r1")
        assert run is not None
        kinds = [event.kind for event in run.timeline]
        assert (kinds[0], kinds[1], kinds.count("yielded"), kinds.count("truncated")) == (
            "accepted",
            "started",
            1_000,
            1,
        )
        assert kinds[-2:] == ["finished", "completed"]


async def test_a_run_keeps_a_mebibyte_of_values(store_url: str) -> None:
    async with a_store(store_url) as store:
        job, fence = await claimed(store)
        large = "x" * 65_534

        replies = [await kept(store, job, fence, number, large) for number in range(1, 18)]

        assert replies == ["recorded"] * 16 + ["full"]
        assert await kept(store, job, fence, 18, 1) == "full"


async def test_a_value_reaches_those_who_watch(store_url: str) -> None:
    async with a_store(store_url) as store:
        job, fence = await claimed(store)
        seen: list[Any] = []

        async def watch() -> None:
            async for event in store.watch("r1"):
                if getattr(event, "kind", "") == "yielded":
                    seen.append(getattr(event, "value", None))
                    return

        watching = asyncio.create_task(watch())
        await kept(store, job, fence, 1, {"page": 1})
        await asyncio.wait_for(watching, 60)

        assert seen == [{"page": 1}]
