"""Discards dead letters that are older than they are to be kept."""

import logging
import time

from mousetrap.dead_letters.repair import DeadLetters
from mousetrap.dead_letters.selection import Selection

#: Letters that one call discards of each queue.
_MOST = 1_000

_log = logging.getLogger("mousetrap.dead_letters")


async def discard_old(dead_letters: DeadLetters, age: float, now: float | None = None) -> int:
    """Discards letters that died more than `age` seconds ago, and logs how many of which queue; those of no time stay.

    Raises what DeadLetters raises; then repeat it.
    """
    before = int(((time.time() if now is None else now) - age) * 1000)
    total = 0
    for queue in dead_letters.queues:
        # From 1 on: a letter without a time counts as older than any, and nobody knows that it is.
        old = Selection(queue=queue, after_ms=1, before_ms=before)
        if not (await dead_letters.look(old)).letters:
            continue
        done = (await dead_letters.discard(old, limit=_MOST)).done
        total += done
        _log.warning(
            "discarded %d dead letters of %s that were older than MOUSETRAP_DEAD_MAX_AGE_SECONDS (%g)",
            done,
            queue,
            age,
        )
    return total
