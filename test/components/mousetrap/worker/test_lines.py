"""Tests when a worker takes from its lines."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mousetrap.jobs import StoreUnreachable
from mousetrap.run_store.limits import Taken
from mousetrap.worker import Pauses
from mousetrap.worker.lines import Lines
from support.workbench import TIMEOUT_S

NOTHING = Taken([], None)


class Store:
    """A store that notes how many are taken of which stage."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        self.errors: list[Exception] = []

    async def take(self, place: str, most: int, lease: float) -> Taken:
        self.asked.put_nowait((place, most))
        if self.errors:
            raise self.errors.pop()
        return NOTHING


class Worker:
    """A worker's places, and its lines of two stages."""

    def __init__(self, room: int, held: int) -> None:
        self.store = Store()
        self.attempts: Any = SimpleNamespace(room=room, held=held, on_end=None, on_free=None)
        self.lines = Lines(
            cast(Any, self.store),
            cast(Any, self.attempts),
            cast(Any, None),
            cast(Any, None),
            cast(Any, SimpleNamespace(lease=30.0)),
        )
        pipeline, of = SimpleNamespace(name="p"), SimpleNamespace
        handlers = [of(pipeline=pipeline, stage=of(name=it, queue=it, limit=1)) for it in "ab"]
        self.lines.serve(cast(Any, handlers), self.begin, tuple)

    def begin(self, _: Sequence[Any]) -> None:
        """Messages of the queues have all places at once."""
        self.attempts.held = self.attempts.room

    def free(self) -> None:
        self.attempts.held -= 1
        self.attempts.on_free()


async def following(worker: Worker, story: Callable[[], Awaitable[None]]) -> None:
    task = asyncio.create_task(worker.lines.follow(Pauses()))
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await story()
    finally:
        task.cancel()


async def test_a_busy_worker_takes_nothing_and_keeps_its_next_free_place_for_each_of_its_lines_in_turn() -> (
    None
):
    worker = Worker(room=1, held=1)

    async def story() -> None:
        for _ in range(10):  # it looks, and has no place
            await asyncio.sleep(0)
        assert worker.store.asked.empty()
        found = []
        for _ in range(2):
            worker.free()
            assert worker.attempts.held == 1  # no other job begins before a line was asked
            found.append(await worker.store.asked.get())
        assert sorted(found) == [("p.a", 1), ("p.b", 1)]

    await following(worker, story)


@pytest.mark.parametrize("error", [StoreUnreachable("away"), ValueError("a defect"), RuntimeError("one")])
async def test_no_error_ends_the_looks(
    error: Exception, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.worker.lines._LOOK_S", 0.0)
    worker = Worker(room=3, held=0)
    worker.store.errors = [error]

    async def story() -> None:
        for _ in range(5):
            await worker.store.asked.get()

    await following(worker, story)
    assert ("could not take from the lines of p." in caplog.text) == (not isinstance(error, StoreUnreachable))
