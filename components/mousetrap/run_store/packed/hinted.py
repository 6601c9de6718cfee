"""Notes from which day on runs are named by all their hints."""

from collections.abc import Sequence
from typing import Any

from mousetrap.jobs import LONGEST_DELAY_S
from mousetrap.run_store.keys import HINTS, hint_key
from mousetrap.run_store.packed.call import Call
from mousetrap.run_store.packed.hints import DAY_MS
from mousetrap.run_store.packed.sender import Sender
from mousetrap.run_store.run_filter import open_list
from mousetrap.store_client import Command

#: How often what is noted is noted once more, for a store may forget it.
_AGAIN_MS = 60_000
#: Days after the first run of this version until which processes of the version before may open runs.
_BESIDE_DAYS = 2
#: The field with that day.
FROM = "from"


class Hinted:
    """Notes that the submitter names its runs by all hints, and which pipelines these are of."""

    def __init__(self, sender: Sender, ttl: int) -> None:
        self._sender = sender
        self._ttl = ttl
        #: The day that is noted where none is; None until it is known, and until then nothing is noted.
        self._from_day: int | None = None
        self._was_noted = False
        #: The pipelines of runs that were named, and those that have been noted since then.
        self._named: set[str] = set()
        self._noted: set[str] = set()
        self._since_ms = 0

    def probe(self) -> list[Command]:
        """Commands for `probed`, to be sent before any run is named; none once that is known."""
        if self._from_day is not None:
            return []
        today = self._sender.now_ms() // DAY_MS
        oldest = today - (self._ttl + int(LONGEST_DELAY_S * 1000)) // DAY_MS - 1
        return [("EXISTS", hint_key("runs", day)) for day in range(oldest, today + 2)]

    def probed(self, replies: Sequence[Any]) -> None:
        """Whether the store had runs before: then processes of the version before may open some beside us."""
        if self._from_day is None and not any(isinstance(reply, Exception) for reply in replies):
            self._from_day = self._sender.now_ms() // DAY_MS + _BESIDE_DAYS if any(replies) else 0

    def note(self, call: Call, pipelines: set[str]) -> set[str]:
        """Puts what is not noted yet into the call, and gives it: it is to be `noted` once that is done."""
        self._named |= pipelines
        if self._from_day is None:
            return set()
        now = self._sender.now_ms()
        if now - self._since_ms > _AGAIN_MS:
            self._noted, self._since_ms = set(), now
        if fresh := self._named - self._noted:
            add_pipelines(call, fresh, self._ttl)
            # The last, for with it these are all. A store that has forgotten it has forgotten the pipelines of other processes too,
            # which note them again with their next runs.
            since = now // DAY_MS + _BESIDE_DAYS if self._was_noted else self._from_day
            call.add("HSETNX", HINTS, FROM, since)
        return fresh

    def noted(self, pipelines: set[str]) -> None:
        """The store has noted these."""
        self._noted |= pipelines
        self._was_noted = self._was_noted or bool(pipelines)


def add_pipelines(call: Call, pipelines: set[str], kept_ms: int) -> None:
    """Notes that there may be open runs of these pipelines."""
    call.add("HSET", HINTS, *(part for name in sorted(pipelines) for part in (open_list(name), 1)))
    # As long as a delayed run waits, though none is submitted meanwhile: its pipeline would not be among those that are noted then.
    call.add("PEXPIRE", HINTS, kept_ms + int(LONGEST_DELAY_S * 1000) + 2 * DAY_MS)
