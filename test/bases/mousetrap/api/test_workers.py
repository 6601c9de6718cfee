"""The API lists the workers, and reports an outage of the store."""

import asyncio
from collections.abc import Callable

import httpx

from mousetrap.shapes import Doing
from mousetrap.worker_registry import open_registry
from support.heartbeats import a_heartbeat
from support.ports import closed_port


def beat(url: str) -> None:
    """A worker with a job sends a beat."""

    async def beat() -> None:
        async with open_registry(url) as registry:
            job = Doing(run_id="r1", stage="fetch", attempt=2, seconds=1.5)
            await registry.beat(a_heartbeat(doing=(job,)))

    asyncio.run(beat())


def test_workers_are_listed_with_what_they_serve_and_run(api: httpx.Client, store_url: str) -> None:
    assert api.get("/workers").json() == []
    beat(store_url)

    (worker,) = api.get("/workers").raise_for_status().json()

    times = {name: worker.pop(name) for name in ("started_ms", "seen_ms", "silent")}
    assert times["started_ms"] == times["seen_ms"] > 1_700_000_000_000
    assert 0 <= times["silent"] < 15
    assert worker == {
        "name": "w1",
        "host": "here",
        "pid": 7,
        "version": "1",
        "stages": ["earthquakes.fetch"],
        "queues": ["start_fetch"],
        "concurrency": 10,
        "state": "serving",
        "done": 3,
        "failed": 1,
        "running": 1,
        "doing": [{"run_id": "r1", "stage": "fetch", "attempt": 2, "seconds": 1.5}],
        "running_by_stage": {},
        "paused": [],
        "asked": None,
    }


def test_without_the_store_no_worker_can_be_listed(serve: Callable[..., httpx.Client]) -> None:
    port = closed_port()

    answer = serve(store_url=f"valkey://127.0.0.1:{port}/0").get("/workers")

    assert (answer.status_code, answer.json()["away"]) == (503, ["store"])
