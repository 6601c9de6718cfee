"""Discards dead letters that are too old."""

import logging
import time

from mousetrap.dead_letters import DeadLetters, Selection
from mousetrap.housekeeping.duty import Duty

EVERY_S = 30.0
#: Letters of each queue that one round discards.
_MAX_LETTERS = 1_000

_log = logging.getLogger("mousetrap.housekeeping")


def discard_duty(dead_letters: DeadLetters, age_s: float) -> Duty:
    """The duty to discard letters that died more than `age_s` seconds ago."""
    return Duty(EVERY_S, lambda: discard_older(dead_letters, age_s, time.time()))


async def discard_older(dead_letters: DeadLetters, age_s: float, now_s: float) -> int:
    """Discards letters that died more than `age_s` seconds before `now_s`, and logs how many of each queue.

    A letter without a time stays: its age is not known. Raises what DeadLetters raises; then repeat it.
    """
    before_ms = int((now_s - age_s) * 1000)
    total = 0
    for queue in await dead_letters.queues_of(Selection()):
        # From 1 on: a selection takes a letter without a time for older than any.
        old = Selection(queue=queue, after_ms=1, before_ms=before_ms)
        if not (await dead_letters.look(old)).letters:
            continue
        done = (await dead_letters.discard(old, limit=_MAX_LETTERS)).done
        total += done
        _log.warning(
            "discarded %d dead letters of %s that were older than MOUSETRAP_DEAD_MAX_AGE_SECONDS (%g)",
            done,
            queue,
            age_s,
        )
    return total
