"""Tests that children are published through outages and full queues."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import pytest

from mousetrap.jobs import (
    Job,
    Message,
    MousetrapError,
    PublishUnconfirmed,
    Queue,
    QueueFull,
    Settled,
    first_job,
)
from mousetrap.retry import Outage
from mousetrap.telemetry import Observer
from mousetrap.worker import WorkerOptions
from mousetrap.worker.outages import Outages
from mousetrap.worker.send_children import ChildSender
from mousetrap.worker.suspects import SuspectGate
from support.workbench import KEYRING, TIMEOUT_S


class FakeQueue:
    """A queue that takes so many messages, or replies with an error to each post."""

    def __init__(self, room: int = 10**9) -> None:
        self.room = room
        self.error: MousetrapError | None = None
        self.taken: list[str] = []
        #: Set whenever a message was refused.
        self.refused = asyncio.Event()

    def post(self, queue: str, message: Message, settled: Settled) -> None:
        error = self.error or (QueueFull("no room") if len(self.taken) >= self.room else None)
        if error is None:
            self.taken.append(message.id)
        else:
            self.refused.set()
        asyncio.get_running_loop().call_soon(settled, error)


def a_sender(queue: FakeQueue, concurrency: int = 10, gate: SuspectGate | None = None) -> ChildSender:
    options = WorkerOptions(name="w", keyring=KEYRING, concurrency=concurrency)
    outages = Outages(lambda: 0.0)
    return ChildSender(cast(Queue, queue), options, outages, Observer(), gate or SuspectGate())


def children(count: int, run_id: str = "r") -> dict[int, Job]:
    about: Any = {"pipeline": "p", "stage": "s", "payload": b"1", "accepted_ms": 0}
    return {index: first_job(run_id=f"{run_id}{index}", **about) for index in range(count)}


@asynccontextmanager
async def in_background(work: Any) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("count", [0, 1, 100, 101, 500])
async def test_each_child_is_sent_once_and_leaves(count: int) -> None:
    queue, left = FakeQueue(), children(count)
    ids = [child.id for child in left.values()]

    await a_sender(queue).send(left, "q")

    assert (queue.taken, left) == (ids, {})


async def test_what_an_outage_refused_is_sent_again_and_nothing_else() -> None:
    queue, left = FakeQueue(room=3), children(5)
    queue.error = PublishUnconfirmed("no confirm")
    async with in_background(a_sender(queue).send(left, "q")) as sending:
        await asyncio.wait_for(queue.refused.wait(), TIMEOUT_S)
        queue.error, queue.room = None, 10
        await asyncio.wait_for(sending, TIMEOUT_S)

    assert (len(queue.taken), left) == (5, {})


async def test_a_full_queue_is_waited_for() -> None:
    queue, left = FakeQueue(room=2), children(4)
    async with in_background(a_sender(queue).send(left, "q")) as sending:
        await asyncio.wait_for(queue.refused.wait(), TIMEOUT_S)
        assert not sending.done()
        queue.room = 10
        await asyncio.wait_for(sending, TIMEOUT_S)

    assert (len(set(queue.taken)), len(queue.taken)) == (4, 4)


async def test_a_full_queue_is_not_waited_for_once_a_suspect_waits_to_be_alone() -> None:
    queue, gate = FakeQueue(room=2), SuspectGate()
    await gate.enter(suspect=False)  # the job that sends
    sending = asyncio.ensure_future(a_sender(queue, gate=gate).send(children(4), "q"))
    await asyncio.wait_for(queue.refused.wait(), TIMEOUT_S)
    async with in_background(gate.enter(suspect=True)):
        with pytest.raises(Outage, match="goes on with its other children later"):
            await asyncio.wait_for(sending, TIMEOUT_S)


@pytest.mark.parametrize("concurrency", [1, 2, 3, 10])
async def test_of_the_jobs_that_may_run_at_most_half_wait_for_room(concurrency: int) -> None:
    """With more of them, none would be left to take from that queue."""
    queue = FakeQueue(room=0)
    sender = a_sender(queue, concurrency)
    waiting = [asyncio.ensure_future(sender.send(children(2, f"r{n}_"), "q")) for n in range(concurrency)]
    ended, still = await asyncio.wait(waiting, timeout=TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
    while len(still) > concurrency // 2:
        more, still = await asyncio.wait(still, timeout=TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        ended |= more

    assert len(still) == concurrency // 2
    assert all(isinstance(each.exception(), Outage) for each in ended)
    queue.room = 10**9
    if still:
        await asyncio.wait(still, timeout=TIMEOUT_S)
    # Those that waited have left: there is a place again.
    await sender.send(children(1, "later"), "q")


async def test_a_sender_that_is_cancelled_leaves_its_place() -> None:
    queue = FakeQueue(room=0)
    sender = a_sender(queue, concurrency=2)
    async with in_background(sender.send(children(1), "q")):
        await asyncio.wait_for(queue.refused.wait(), TIMEOUT_S)
        with pytest.raises(Outage):
            await sender.send(children(1, "other"), "q")
    queue.refused.clear()
    async with in_background(sender.send(children(1, "third"), "q")) as third:
        await asyncio.wait_for(queue.refused.wait(), TIMEOUT_S)
        queue.room = 1
        await asyncio.wait_for(third, TIMEOUT_S)
