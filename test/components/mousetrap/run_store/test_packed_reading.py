"""Tests reading packed runs: watched, damaged, large, and beside older ones."""

import asyncio
from typing import Any

import msgspec
import pytest
from redis import Redis

from mousetrap.jobs import Done, Job, RetryLater, first_job
from mousetrap.run_store import DecisionRequest, RunFilter, RunStore, Terms, open_store
from mousetrap.run_store.keys import (
    packed_events_key,
    packed_job_key,
    packed_progress_key,
    packed_run_key,
)
from mousetrap.shapes import Event, Failure, Progress, RunState
from support.valkey import administrator

BROKEN = Failure(kind="ValueError", text="no")


@pytest.fixture(autouse=True)
def new_runs_are_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", 5)


async def opened(store: RunStore, run_id: str = "r1", **terms: Any) -> Job:
    at = await store.open_run(run_id, "sums", "add", b"[1,2]", terms=Terms(**terms))
    return first_job(
        run_id=run_id, pipeline="sums", stage="add", payload=b"[1,2]", accepted_ms=at.accepted_ms
    )


async def did(
    store: RunStore, job: Job, following: str | None = None, *, outcome: Any = None, worker: str = "w1"
) -> Job:
    """The job that follows from this one, which was done; or this one."""
    claim: Any = await store.claim(job, worker=worker, redelivered=False, lease=60.0)
    done = outcome or Done(msgspec.Raw(b"6"))
    request = DecisionRequest(job, done, claim, following is None, following)
    assert (await store.exchange([request], (), worker=worker)).decisions == ["recorded"]
    return job.following(following, b"6", fence=claim.fence) if following else job


def change(url: str, key: str, value: bytes | None) -> None:
    """Overwrites a key; with a list where there is no value."""
    with Redis.from_url(administrator(url)) as client:
        client.delete(key)
        if value is None:
            client.rpush(key, "x")
        else:
            client.set(key, value)


async def watched(store: RunStore, after: str = "0") -> list[Event]:
    return [each async for each in store.watch("r1", after) if isinstance(each, Event)]


# Watching


async def test_a_watcher_sees_a_run_from_its_first_event_to_its_last(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        job = await opened(store)
        watching = asyncio.create_task(watched(store))
        child = await did(store, job, "double")
        await store.report("r1", Progress(stage="double", done=0.5))
        await did(store, child)

        events = await watching

        kinds = ["accepted", "started", "finished", "started", "finished", "completed"]
        assert [event.kind for event in events] == kinds
        assert events == list((await store.get("r1")).timeline)  # type: ignore[union-attr]


async def test_a_watcher_goes_on_after_any_event(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        child = await did(store, await opened(store), "double")
        again = await did(store, child, "halve", outcome=RetryLater(0.0, BROKEN))
        last = await did(store, child.again(), "halve")
        await did(store, last)
        assert again.stage == "halve"
        every = await watched(store)

        for place, event in enumerate(every[:-1]):
            assert await watched(store, event.id) == every[place + 1 :]


async def test_a_watcher_of_a_run_to_come_sees_it(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        watching = asyncio.create_task(watched(store))
        await did(store, await opened(store))

        assert (await watching)[-1].kind == "completed"


# Lists


async def test_runs_of_both_families_are_on_one_page_newest_first(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store(store_url, retention=3600) as store:
        for number, form in enumerate((2, 5, 2, 5)):
            monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", form)
            job = await opened(store, f"r{number}")
            if number in (1, 2):
                await did(store, job)

        page = await store.page()
        found = {run.id: run.accepted_ms for run in page.runs}
        assert set(found) == {"r0", "r1", "r2", "r3"}
        assert list(found.values()) == sorted(found.values(), reverse=True)
        assert {run.id for run in (await store.page(RunFilter(state=RunState.COMPLETED))).runs} == {
            "r1",
            "r2",
        }
        first = await store.page(limit=3)
        rest = await store.page(limit=3, after=first.next)
        assert [run.id for run in (*first.runs, *rest.runs)] == list(found)
        assert (await store.latest("sums")).id == "r2"  # type: ignore[union-attr]


async def test_the_newest_run_is_one_that_completed(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        await did(store, await opened(store))
        with Redis.from_url(administrator(store_url)) as client:
            client.zadd("mousetrap:newest:sums", {"r8": 10**14, "r9": 10**15})
        await opened(store, "r8")

        assert (await store.latest("sums")).id == "r1"  # type: ignore[union-attr]
        assert await store.latest("others") is None


async def test_facts_of_any_length_are_read(store_url: str) -> None:
    tags = tuple(f"tag number {number} of many" for number in range(400))
    async with open_store(store_url, retention=3600) as store:
        await did(store, await opened(store, tags=tags), worker="w" * 5_000)
        run = await store.get("r1")
        (line,) = (await store.page()).runs

    assert run is not None
    assert run.tags == line.tags == tags
    assert (run.result, line.state, line.finished_ms) == (6, RunState.COMPLETED, run.finished_ms)


async def test_a_tombstone_is_no_run(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        await store.reject_run("r1", BROKEN)

        assert await store.get("r1") is None
        assert await store.cancel("r1") is None
        assert await store.opening("r1") is None
        assert (await store.page()).runs == ()


# Damage


@pytest.mark.parametrize("value", [None, b"", b"?", b"Q{}", b'Q{"accepted_ms":"soon"}\n1', b"Q[]\n1"])
async def test_a_damaged_run_is_shown_as_such(store_url: str, value: bytes | None) -> None:
    async with open_store(store_url, retention=3600) as store:
        await opened(store)
        good = await opened(store, "r2")
        change(store_url, packed_run_key("r1"), value)

        run = await store.get("r1")
        page = {line.id: line for line in (await store.page()).runs}

        if value == b"":  # as no record
            assert run is None
            return
        assert run is not None
        assert run.state == page["r1"].state == RunState.UNREADABLE
        assert run.unreadable[0].startswith("the run: ")
        assert page["r1"].unreadable[0].startswith("the run: ")
        assert page[good.run_id].unreadable == ()


@pytest.mark.parametrize("value", [None, b"?", b"D0000000", b"Dxxxxxxxx{}", b'D00000001{"next":1}\n1'])
async def test_a_damaged_job_is_shown_with_its_run(store_url: str, value: bytes | None) -> None:
    async with open_store(store_url, retention=3600) as store:
        job = await opened(store)
        await did(store, job)
        change(store_url, packed_job_key("r1", job.id), value)

        run = await store.get("r1")
        (line,) = (await store.page()).runs

        assert run is not None
        assert (run.state, line.state) == (RunState.COMPLETED, RunState.COMPLETED)
        assert run.unreadable[0].startswith(f"the job {job.id}: ")
        assert run.unreadable[1].startswith("result: ")
        assert line.unreadable[0].startswith(f"the job {job.id}: ")


@pytest.mark.parametrize(
    "verdict", [b"", b"{", b'{"type":"done"}', b'{"type":"done","output":6,"reference":1}']
)
async def test_a_damaged_verdict_is_a_result_that_cannot_be_read(store_url: str, verdict: bytes) -> None:
    async with open_store(store_url, retention=3600) as store:
        job = await opened(store)
        await did(store, job)
        change(
            store_url, packed_job_key("r1", job.id), b'D00000001{"stage":"add","decided_ms":1}\n' + verdict
        )

        run = await store.get("r1")

        assert run is not None
        assert (run.result, run.unreadable[0][:8]) == (None, "result: ")


@pytest.mark.parametrize("key", [packed_events_key, packed_progress_key])
async def test_a_damaged_part_of_a_run_is_listed(store_url: str, key: Any) -> None:
    async with open_store(store_url, retention=3600) as store:
        await did(store, await opened(store))
        change(store_url, key("r1"), b"x")

        run = await store.get("r1")

        assert run is not None
        assert (run.state, run.result, len(run.unreadable)) == (RunState.COMPLETED, 6, 1)
        assert (await store.page()).runs[0].state == RunState.COMPLETED
        assert [event.kind for event in await watched(store)][-1] == "completed"
