"""Removes the payloads of runs that are not remembered."""

import logging

from mousetrap.housekeeping.duty import Duty
from mousetrap.run_store import RunStore

EVERY_S = 60.0
#: Seconds since the last put of a run, in which its payloads stay although the run is not known: a submitter puts its input
#: before it opens the run; and a day is for noticing that this process asks another store than it should.
_SHORTEST_S, _LONGEST_S = 3_600.0, 86_400.0

_log = logging.getLogger("mousetrap.housekeeping")


def sweep_duty(store: RunStore, retention: float) -> Duty:
    """The duty to remove the payloads of forgotten runs, and of runs that were never opened; runs stay for `retention` seconds."""
    grace = min(max(retention, _SHORTEST_S), _LONGEST_S)

    async def act() -> None:
        if swept := await store.payloads.sweep(store.known, grace):
            _log.info("removed the payloads of %d forgotten runs", swept)

    return Duty(EVERY_S, act)
