"""Takes letters off a dead queue to look at them, and puts back all that was not settled meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from mousetrap.jobs import Delivery, Message, MousetrapError, Queue, dead_queue

#: Bytes of bodies held at once.
_MOST_BYTES = 64 * 1024 * 1024
#: Letters taken before anything is known of their size.
_FIRST = 50
#: Seconds without a letter after which no more are awaited, though more were waiting: somebody else may look at them. And
#: for the first one of each wave, for which a subscription is to be made.
_QUIET, _SUBSCRIBING = 0.5, 5.0
#: Seconds that what is put back may take to be there for the next look, and between two looks whether it is.
_RETURNING, _LOOK = 2.0, 0.01


@dataclass(frozen=True, slots=True)
class Held:
    """What one look at a queue has in its hands, oldest first."""

    deliveries: tuple[Delivery, ...]
    #: How many wait beyond those.
    beyond: int


@asynccontextmanager
async def hold(queue: Queue, name: str, most: int) -> AsyncIterator[Held]:
    """The dead letters of `name`, at most `most`; those that nobody acknowledges in the block are there again after it.

    Raises QueueUnreachable or Unroutable.
    """
    dead = dead_queue(name)
    waiting = await queue.ready(dead)
    deliveries: list[Delivery] = []
    try:
        await _take(queue, dead, min(waiting, most), deliveries)
        yield Held(tuple(deliveries), max(0, waiting - len(deliveries)))
    finally:
        # Those that were acknowledged, and all of a lost connection, know that there is nothing to hand back.
        back = sum([delivery.hand_back() for delivery in deliveries])
        deliveries.clear()  # the queue remembers its subscriptions, and with them what receives
        with suppress(MousetrapError, TimeoutError):
            await asyncio.wait_for(_until_there(queue, dead, back), _RETURNING)


async def read_dead(queue: Queue, name: str, most: int) -> tuple[Sequence[Message], int]:
    """At most `most` messages of the dead queue of `name`, and how many lie there beyond. All are there still.

    Raises QueueUnreachable or Unroutable.
    """
    browsed = await queue.browse(dead_queue(name), most, _MOST_BYTES)
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
    return min(most - len(deliveries), (_MOST_BYTES - size) * len(deliveries) // max(1, size))


async def _wave(queue: Queue, dead: str, room: int, deliveries: list[Delivery]) -> bool:
    """Adds so many letters to `deliveries`; False when fewer came."""
    wished, news = len(deliveries) + room, asyncio.Event()

    def receive(delivery: Delivery) -> None:
        deliveries.append(delivery)
        news.set()

    patience = _SUBSCRIBING
    subscription = await queue.consume(dead, room, receive)
    try:
        while len(deliveries) < wished:
            await asyncio.wait_for(news.wait(), patience)
            news.clear()
            patience = _QUIET
    except TimeoutError:
        return False
    finally:
        await subscription.stop()
    return True


async def _until_there(queue: Queue, dead: str, count: int) -> None:
    """Returns once so many wait again."""
    while await queue.ready(dead) < count:  # noqa: ASYNC110  a queue does not announce this
        await asyncio.sleep(_LOOK)
