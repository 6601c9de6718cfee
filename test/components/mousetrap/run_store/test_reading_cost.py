"""Tests how many round trips and commands reading costs in both families."""

from typing import Any

import msgspec
import pytest

from mousetrap.jobs import Done, first_job
from mousetrap.run_store import DecisionRequest, RunFilter, RunStore, Terms, open_store
from mousetrap.shapes import RunState
from support.valkey import console

STAGES = ("add", "double", "halve")
RUNS = 10


class Counted:
    """Counts what a store sends."""

    def __init__(self, store: RunStore) -> None:
        self.trips, self.commands, self.names = 0, 0, 0
        self._send = store._client.pipeline
        store._client.pipeline = self._pipeline  # type: ignore[method-assign]

    async def _pipeline(self, commands: Any) -> Any:
        self.trips += 1
        self.commands += len(commands)
        replies = await self._send(commands)
        self.names += sum(
            len(reply) for command, reply in zip(commands, replies, strict=True) if command[0] == "ZRANGE"
        )
        return replies

    def since(self) -> tuple[int, int]:
        """Round trips and commands since the last time that this was asked."""
        counted, self.trips, self.commands = (self.trips, self.commands), 0, 0
        return counted


async def completed(store: RunStore, run_id: str) -> None:
    opened = await store.open_run(run_id, "sums", "add", b"1")
    job = first_job(run_id=run_id, pipeline="sums", stage="add", payload=b"1", accepted_ms=opened.accepted_ms)
    for following in (*STAGES[1:], None):
        claim: Any = await store.claim(job, worker="w1", redelivered=False, lease=60.0)
        outcome = Done(msgspec.Raw(b"2"))
        decision = DecisionRequest(job, outcome, claim, following is None, following)
        assert (await store.exchange([decision], (), worker="w1")).decisions == ["recorded"]
        if following:
            job = job.following(following, b"2", fence=claim.fence)


async def costs(url: str) -> dict[str, tuple[int, int]]:
    async with open_store(url, retention=3600) as store:
        for number in range(RUNS):
            await completed(store, f"r{number}")
    async with open_store(url, retention=3600) as store:
        counted = Counted(store)
        cost: dict[str, tuple[int, int]] = {}
        for name in ("the first run", "another run"):
            assert (await store.get("r1")).state == "completed"  # type: ignore[union-attr]
            cost[name] = counted.since()
        page = await store.page()
        assert [run.state for run in page.runs] == ["completed"] * RUNS
        trips, commands = counted.since()
        await store.page(limit=1)
        cost["a line more on a page"] = (trips, (commands - counted.since()[1]) // (RUNS - 1))
        assert await store.latest("sums") is not None
        cost["the latest run"] = counted.since()
        return cost


async def named_by_a_page(url: str, wanted: RunFilter) -> tuple[int, int]:
    """How many runs the lists name that a page reads, and how many commands it takes, a second time."""
    async with open_store(url, retention=7 * 86_400) as store:
        await store.page(wanted, limit=10)
        counted = Counted(store)
        assert len((await store.page(wanted, limit=10)).runs) == 10
        return counted.names, counted.commands


@pytest.mark.parametrize(
    "wanted", [RunFilter(), RunFilter(tag="nightly"), RunFilter(state=RunState.QUEUED)], ids=str
)
async def test_a_page_reads_no_more_where_more_days_are_kept(store_url: str, wanted: RunFilter) -> None:
    async with open_store(store_url, retention=7 * 86_400) as store:
        for number in range(12):
            opened = await store.open_run(f"r{number}", "sums", "add", b"1", terms=Terms(tags=("nightly",)))
    before = await named_by_a_page(store_url, wanted)
    today = opened.accepted_ms // 86_400_000
    with console(store_url) as client:
        lists = [key.decode().rpartition(":")[0] for key in client.keys(f"mousetrap:*:{today}")]
        for day in range(today - 6, today):
            names = {f"{day * 86_400_000 + number:013d}:old{number}": 0 for number in range(100)}
            for name in lists:
                client.zadd(f"{name}:{day}", names)

    assert await named_by_a_page(store_url, wanted) == before


async def test_a_page_reads_few_more_runs_than_it_shows(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        for number in range(100):
            if number % 3:
                await completed(store, f"r{number:03}")
            else:
                await store.open_run(f"r{number:03}", "sums", "add", b"1")
        counted = Counted(store)

        page = await store.page(RunFilter(state=RunState.COMPLETED), limit=20)

    assert len(page.runs) == 20
    # Two thirds match: 20 are read, then ten more for the seven that are lacking.
    assert counted.names < 45


async def test_a_run_of_the_older_family_is_read_in_one_round_trip(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", 2)

    assert await costs(store_url) == {
        "the first run": (1, 3),
        "another run": (1, 3),
        # Ten runs are no whole page, so the days before the first two are read.
        "a line more on a page": (5, 2),
        "the latest run": (2, 5),
    }


async def test_a_packed_run_is_read_in_two_round_trips(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", 5)

    assert await costs(store_url) == {
        # The stages are learned one by one.
        "the first run": (4, 27),
        "another run": (2, 12),
        "a line more on a page": (5, 5),
        # And which of ten that are named as completed is the newest.
        "the latest run": (4, 24),
    }
