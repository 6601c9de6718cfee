"""Takes letters off a dead queue, and puts back those not settled."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from mousetrap.jobs import Delivery, Message, MousetrapError, Queue, dead_queue

#: Bytes of bodies held at once.
_MAX_BYTES = 64 * 1024 * 1024
#: Letters taken before anything is known of their size.
_FIRST = 50
#: The longest wait for the next letter, though more are there: another process may hold them. And for the first one of
#: each wave, which needs a subscription.
_NEXT_TIMEOUT_S, _FIRST_TIMEOUT_S = 2.0, 5.0
#: The longest wait for letters that were put back to be ready again, and the pause between two checks.
_RETURN_TIMEOUT_S, _POLL_S = 2.0, 0.01


@dataclass(frozen=True, slots=True)
class Held:
    """The deliveries of one look at a queue, oldest first."""

    deliveries: tuple[Delivery, ...]
    #: How many wait beyond those.
    beyond: int


@asynccontextmanager
async def hold(queue: Queue, name: str, most: int) -> AsyncIterator[Held]:
    """The dead letters of `name`, at most `most`; those not acknowledged in the block are ready again after it.

    Raises QueueUnreachable or Unroutable.
    """
    dead = dead_queue(name)
    waiting = await queue.count_ready(dead)
    deliveries: list[Delivery] = []
    try:
        await _take(queue, dead, min(waiting, most), deliveries)
        yield Held(tuple(deliveries), max(0, waiting - len(deliveries)))
    finally:
        # Only deliveries that are still open count: not those acknowledged, nor those of a lost connection.
        back = sum([delivery.hand_back() for delivery in deliveries])
        deliveries.clear()  # the queue remembers its subscriptions, and with them what receives
        with suppress(MousetrapError, TimeoutError):
            await asyncio.wait_for(_until_ready(queue, dead, back), _RETURN_TIMEOUT_S)


async def read_dead(queue: Queue, name: str, most: int) -> tuple[Sequence[Message], int]:
    """At most `most` messages of the dead queue of `name`, and how many more there are. All of them stay.

    Raises QueueUnreachable or Unroutable.
    """
    browsed = await queue.browse(dead_queue(name), most, _MAX_BYTES)
    if browsed is not None:
        return browsed.messages, browsed.beyond
    async with hold(queue, name, most) as held:
        return [delivery.message for delivery in held.deliveries], held.beyond


async def _take(queue: Queue, dead: str, most: int, deliveries: list[Delivery]) -> None:
    """Each wave is a subscription of its own, as large as the sizes seen so far allow: none can be widened."""
    while (room := _room(deliveries, most)) > 0:
        if not await _wave(queue, dead, room, deliveries):
            return


def _room(deliveries: list[Delivery], most: int) -> int:
    """How many more letters may be taken at once."""
    if not deliveries:
        return min(_FIRST, most)
    size = sum(len(delivery.message.body) for delivery in deliveries)
    return min(most - len(deliveries), (_MAX_BYTES - size) * len(deliveries) // max(1, size))


async def _wave(queue: Queue, dead: str, room: int, deliveries: list[Delivery]) -> bool:
    """Adds so many letters to `deliveries`; False when fewer came."""
    wanted, news = len(deliveries) + room, asyncio.Event()

    def receive(delivery: Delivery) -> None:
        deliveries.append(delivery)
        news.set()

    timeout_s = _FIRST_TIMEOUT_S
    subscription = await queue.consume(dead, room, receive)
    try:
        while len(deliveries) < wanted:
            await asyncio.wait_for(news.wait(), timeout_s)
            news.clear()
            timeout_s = _NEXT_TIMEOUT_S
    except TimeoutError:
        return False
    finally:
        await subscription.stop()
    return True


async def _until_ready(queue: Queue, dead: str, count: int) -> None:
    """Returns once so many are ready again."""
    while await queue.count_ready(dead) < count:  # noqa: ASYNC110  a queue has no event for it
        await asyncio.sleep(_POLL_S)
