"""A pool grows while jobs wait, and shrinks when idle."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mousetrap.worker import WorkerStats
from mousetrap.worker.pool import Load, next_size
from support.inbox import eventually
from support.workbench import Workbench

BOUNDS = st.integers(1, 50).flatmap(lambda least: st.tuples(st.just(least), st.integers(least, 400)))


def load(size: int, busy: int, *, busiest: int | None = None, waiting: bool = False) -> Load:
    return Load(size=size, busy=busy, busiest=busy if busiest is None else busiest, waiting=waiting)


@pytest.mark.parametrize(
    ("now", "size"),
    [
        (load(2, 2, waiting=True), 4),
        (load(40, 40, waiting=True), 50),
        (load(50, 50, waiting=True), 50),
        (load(10, 3, busiest=10, waiting=True), 10),
        (load(10, 10), 10),
        (load(10, 0, busiest=6), 10),
        (load(10, 0, busiest=5), 5),
        (load(16, 0, busiest=0), 8),
        (load(3, 0, busiest=0), 2),
        (load(2, 0, busiest=0), 2),
    ],
)
def test_the_next_size_follows_what_waits_and_what_ran_lately(now: Load, size: int) -> None:
    assert next_size(2, 50, now) == size


@given(BOUNDS, st.integers(1, 500), st.integers(0, 500), st.booleans())
def test_it_stays_within_its_bounds(bounds: tuple[int, int], size: int, demand: int, waiting: bool) -> None:
    least, most = bounds
    size = min(max(size, least), most)

    assert least <= next_size(least, most, load(size, min(size, demand), waiting=waiting)) <= most


@given(BOUNDS, st.integers(0, 500))
def test_under_a_steady_load_it_stands_still_within_a_dozen_looks(
    bounds: tuple[int, int], demand: int
) -> None:
    least, most = bounds
    size, sizes = least, list[int]()
    for _ in range(24):
        size = next_size(least, most, load(size, min(size, demand), waiting=demand > size))
        sizes.append(size)

    assert len(set(sizes[12:])) == 1
    assert size >= min(demand, most)


async def test_a_worker_runs_more_jobs_while_they_wait_and_fewer_once_it_was_idle(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.worker.pool._LOOK_S", 0.02)
    release, at_once, most = asyncio.Event(), 0, 0

    async def wait(number: int) -> int:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await release.wait()
        at_once -= 1
        return number

    async def now() -> tuple[int, int]:
        return at_once, stats.concurrency

    async def ended() -> int:
        return stats.done

    stats = WorkerStats()
    options: dict[str, Any] = {"concurrency": 2, "concurrency_most": 7, "prefetch": 4}
    async with bench.working(bench.bind("add", wait), stats=stats, **options):
        for _ in range(40):
            await bench.submit(b"1")
        await eventually(now, (7, 7))
        release.set()
        await eventually(ended, 40)
        await eventually(now, (0, 2))
    assert (most, stats.done) == (7, 40)
