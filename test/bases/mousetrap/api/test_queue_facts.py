"""Looks at queues are shared by those who ask at once."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mousetrap.api.queue_facts import Look, QueueFacts
from mousetrap.jobs import QueueUnreachable
from mousetrap.stage_minutes import Recent


class Registry:
    """What a registry shares of its store."""

    client, place = None, ""


class Facts(QueueFacts):
    """Counts its looks; the first ones fail."""

    def __init__(self, failing: int = 0) -> None:
        nothing: Any = {}
        super().__init__(nothing, cast(Any, None), cast(Any, None), cast(Any, Registry()), cast(Any, None))
        self.looks: list[Sequence[str]] = []
        self.pause: Callable[[], Coroutine[Any, Any, Any]] = partial(asyncio.sleep, 0)
        self._failing = failing

    async def look_at(self, queues: Sequence[str]) -> Look:
        self.looks.append(queues)
        await self.pause()
        if len(self.looks) <= self._failing:
            raise QueueUnreachable("away")
        return Look((), (), Recent(0.0, {}, {}))


async def test_two_hundred_watchers_cost_one_look_and_another_queue_one_more() -> None:
    facts = Facts()

    found = await asyncio.gather(
        *(facts.look() for _ in range(200)), *(facts.look(["q"]) for _ in range(200))
    )

    assert facts.looks == [(), ("q",)]
    assert len(set(map(id, found))) == 2
    await facts.look(stale=0.0)  # who wants it as it is now gets a look of its own
    assert len(facts.looks) == 3


async def test_looks_at_different_queues_share_what_is_read_of_workers() -> None:
    facts = Facts()
    asked: list[str] = []

    async def workers() -> tuple[()]:
        asked.append("workers")
        return ()

    facts._registry = cast(Any, SimpleNamespace(workers=workers))

    await asyncio.gather(*(facts._workers() for _ in range(50)))
    await facts._workers()

    assert asked == ["workers"]
    facts.forget()
    await facts._workers()
    assert len(asked) == 2


async def test_a_look_that_takes_longer_than_it_is_shared_is_not_begun_beside_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr("mousetrap.api.queue_facts.time.monotonic", lambda: now[0])
    facts, slow = Facts(), asyncio.Event()
    facts.pause = slow.wait
    first = asyncio.create_task(facts.look())
    await asyncio.sleep(0)

    now[0] += 5.0
    second = asyncio.create_task(facts.look())
    await asyncio.sleep(0)
    slow.set()
    same = [await first, await second, await facts.look()]
    now[0] += 5.1
    await facts.look()

    assert len(set(map(id, same))) == 1
    assert len(facts.looks) == 2


async def test_a_look_that_fails_fails_for_all_who_share_it_and_is_not_kept() -> None:
    facts = Facts(failing=1)

    found = await asyncio.gather(*(facts.look() for _ in range(200)), return_exceptions=True)

    assert {type(each) for each in found} == {QueueUnreachable}
    assert (await facts.look()).queues == ()
    assert len(facts.looks) == 2


async def test_a_watcher_that_leaves_takes_the_look_from_no_other() -> None:
    facts = Facts()
    leaving, staying = asyncio.create_task(facts.look()), asyncio.create_task(facts.look())
    await asyncio.sleep(0)

    leaving.cancel()

    assert (await staying).queues == ()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert len(facts.looks) == 1


async def test_what_was_asked_is_not_kept_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("mousetrap.api.queue_facts.time.monotonic", lambda: now[0])
    facts = Facts()
    for number in range(1_000):
        now[0] += 1.0
        await facts.look([f"q{number}"])

    assert len(facts._asking) <= 11


@pytest.mark.parametrize(("took", "shared"), [(0.05, 1.0), (0.2, 1.8), (5.0, 5.0)])
async def test_a_look_is_shared_for_nine_times_as_long_as_it_took(
    monkeypatch: pytest.MonkeyPatch, took: float, shared: float
) -> None:
    now = [0.0]
    monkeypatch.setattr("mousetrap.api.queue_facts.time.monotonic", lambda: now[0])

    async def pause() -> None:
        now[0] += took

    facts = Facts()
    facts.pause = pause
    await facts.look()
    await asyncio.sleep(0)

    now[0] += shared - 0.01
    await facts.look()
    looks = len(facts.looks)
    now[0] += 0.02
    await facts.look()

    assert (looks, len(facts.looks)) == (1, 2)
