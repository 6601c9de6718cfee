"""Concurrent readers share one look, which writes nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, aclosing
from functools import partial
from typing import Any

import pytest
from redis import Redis

from mousetrap.dead_letters import DeadLetters, Selection, shared_look
from mousetrap.jobs import Backlog, Browsed, Message, dead_queue, encode, first_job
from support.valkey import administrator
from support.workbench import KEYRING, Workbench, on_streams

pytestmark = pytest.mark.own_queues

ALL = Selection()


class Counting:
    """A queue that counts how often its messages are browsed or consumed."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.looks = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def browse(self, queue: str, most: int, most_bytes: int) -> Browsed | None:
        browsed: Browsed | None = await self._inner.browse(queue, most, most_bytes)
        self.looks += browsed is not None
        return browsed

    async def consume(self, *arguments: Any) -> Any:
        self.looks += 1
        return await self._inner.consume(*arguments)


def looking(bench: Workbench) -> tuple[Counting, DeadLetters]:
    counting = Counting(bench.queue)
    queue: Any = counting
    return counting, DeadLetters(queue, bench.store, KEYRING, {bench.pipeline.name: bench.pipeline})


async def bury(bench: Workbench, *run_ids: str, stage: str = "add") -> None:
    for run_id in run_ids:
        job = first_job(run_id=run_id, pipeline=bench.pipeline.name, stage=stage, payload=b"1", accepted_ms=1)
        body = encode(job)
        headers = {**KEYRING.headers(body), "mousetrap-reason": "max-retries", "mousetrap-at": "1"}
        await bench.queue.publish(dead_queue(bench.queue_of(stage)), Message(job.id, body, headers))


async def test_those_who_ask_at_once_share_a_look_and_so_do_those_who_ask_while_nothing_changes(
    bench: Workbench,
) -> None:
    await bury(bench, "r1", "r2")
    counting, letters = looking(bench)
    of_one_queue = Selection(queue=bench.queue_of("add"))

    at_once = await asyncio.gather(*(letters.look(of_one_queue) for _ in range(50)))
    one = await letters.find(bench.queue_of("add"), at_once[0].letters[0].id)

    assert [len(looked.letters) for looked in at_once] == [2] * 50 and one is not None
    assert counting.looks == 1
    await bury(bench, "r3")
    assert len((await letters.look(of_one_queue)).letters) == 3
    assert counting.looks == 2


async def test_a_look_at_many_letters_is_not_repeated_before_ten_times_what_it_took(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_look, "_FEW", 0)
    await bury(bench, "r1")
    _, letters = looking(bench)
    clock = iter((0.0, 3.0, 32.9, 33.1, 33.1, 33.1, 33.1))
    letters._looks[bench.queue_of("add")]._now = lambda: next(clock)

    await letters.look(Selection(queue=bench.queue_of("add")))
    await bury(bench, "r2")
    early = await letters.look(Selection(queue=bench.queue_of("add")))
    late = await letters.look(Selection(queue=bench.queue_of("add")))

    assert (len(early.letters), len(late.letters)) == (1, 2)


async def test_what_was_redriven_or_discarded_is_gone_from_the_next_look(bench: Workbench) -> None:
    await bury(bench, "r1", "r2")
    _, letters = looking(bench)
    first = (await letters.look(ALL)).letters[0]

    await letters.discard(Selection(ids=frozenset({first.id})), limit=1)

    assert first.id not in {letter.id for letter in (await letters.look(ALL)).letters}
    assert await letters.find(bench.queue_of("add"), first.id) is None


async def test_a_look_does_not_wait_for_a_repair_and_shows_what_it_has_left(bench: Workbench) -> None:
    queue = bench.queue_of("add")
    await bury(bench, "r1", "r2", "r3")
    _, letters = looking(bench)
    ids = [letter.id for letter in (await letters.look(ALL)).letters]

    async with aclosing(letters.redrive_each(queue, [(each, 0) for each in ids])) as fates:
        assert await anext(fates) == "done"  # the next one is asked for later, as at a slow rate
        held = await asyncio.wait_for(letters.look(ALL), 60)
        await bury(bench, "r4")
        later = await asyncio.wait_for(letters.look(Selection(queue=queue)), 60)

    assert ([letter.id for letter in held.letters], held.unseen) == (ids[1:], 0)
    assert ([letter.id for letter in later.letters], later.unseen) == (ids[1:], 1)
    assert len((await letters.look(ALL, fresh=True)).letters) == 3


class Meeting(Counting):
    """A queue in which a look goes on once another one is there, too."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self._both = asyncio.Barrier(2)

    async def mark(self, queue: str) -> Any:
        await asyncio.wait_for(self._both.wait(), 60)
        return await self._inner.mark(queue)


async def test_queues_are_looked_at_together(bench: Workbench) -> None:
    await bury(bench, "r1")
    await bury(bench, "r2", stage="double")
    queue: Any = Meeting(bench.queue)
    letters = DeadLetters(queue, bench.store, KEYRING, {bench.pipeline.name: bench.pipeline})
    assert len(letters.queues) == 2

    assert len((await letters.look(ALL)).letters) == 2


class Together(Counting):
    """A queue that counts what is asked of each queue alone, and does something while it counts many together."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.alone = 0
        self.meanwhile: Callable[[], Awaitable[object]] = partial(asyncio.sleep, 0)

    async def mark(self, queue: str) -> Any:
        self.alone += 1
        return await self._inner.mark(queue)

    async def count_ready(self, queue: str) -> int:
        self.alone += 1
        count: int = await self._inner.count_ready(queue)
        return count

    async def backlogs(self, queues: Iterable[str]) -> Mapping[str, Backlog]:
        await self.meanwhile()
        found: Mapping[str, Backlog] = await self._inner.backlogs(queues)
        return found


def together(bench: Workbench) -> tuple[Together, DeadLetters]:
    counting = Together(bench.queue)
    queue: Any = counting
    return counting, DeadLetters(queue, bench.store, KEYRING, {bench.pipeline.name: bench.pipeline})


async def test_queues_that_hold_no_letter_are_asked_for_together(bench: Workbench) -> None:
    counting, letters = together(bench)

    for _ in range(3):
        assert (await letters.look(ALL)).letters == ()
    assert (await letters.discard(ALL, limit=1)).matched == 0

    assert (counting.alone, counting.looks) == (0, 0)
    await bury(bench, "r1")
    assert len((await letters.look(ALL)).letters) == 1


async def test_a_queue_whose_letters_we_hold_ourselves_does_not_count_as_empty(bench: Workbench) -> None:
    await bury(bench, "r1")
    counting, letters = together(bench)
    async with AsyncExitStack() as stack:

        async def hold() -> None:
            fates = letters.redrive_each(bench.queue_of("add"), [("unknown", 0)])
            await anext(await stack.enter_async_context(aclosing(fates)))

        counting.meanwhile = hold

        assert len((await letters.look(ALL)).letters) == 1

        counting.meanwhile = stack.aclose  # the repair ends while it is counted
        assert len((await letters.look(ALL)).letters) == 1


@on_streams
async def test_a_look_at_the_embedded_queue_writes_nothing(bench: Workbench, store_url: str) -> None:
    await bury(bench, *(f"r{number}" for number in range(120)))
    _, letters = looking(bench)
    with Redis.from_url(administrator(store_url)) as client:

        def written() -> Any:
            facts: Any = client.info("persistence")
            return facts["rdb_changes_since_last_save"], facts["aof_current_size"]

        before = written()
        looked = await letters.look(ALL)
        assert len(looked.letters) == 120
        assert await letters.find(bench.queue_of("add"), looked.letters[-1].id) is not None

        assert written() == before
