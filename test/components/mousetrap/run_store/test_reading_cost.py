"""Tests how many round trips and commands reading costs in both families."""

from typing import Any

import msgspec
import pytest

from mousetrap.jobs import Done, first_job
from mousetrap.run_store import DecisionRequest, RunStore, open_store

STAGES = ("add", "double", "halve")
RUNS = 10


class Counted:
    """Counts what a store sends."""

    def __init__(self, store: RunStore) -> None:
        self.trips, self.commands = 0, 0
        self._send = store._client.pipeline
        store._client.pipeline = self._pipeline  # type: ignore[method-assign]

    async def _pipeline(self, commands: Any) -> Any:
        self.trips += 1
        self.commands += len(commands)
        return await self._send(commands)

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


async def test_a_run_of_the_older_family_is_read_in_one_round_trip(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", 2)

    assert await costs(store_url) == {
        "the first run": (1, 3),
        "another run": (1, 3),
        "a line more on a page": (3, 2),
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
        "a line more on a page": (4, 6),
        # And which of ten that are named as completed is the newest.
        "the latest run": (4, 24),
    }
