"""Notes from which day on runs are named by all their hints."""

from mousetrap.jobs import LONGEST_DELAY_S
from mousetrap.run_store.keys import HINTS, hint_key
from mousetrap.run_store.packed.call import Call
from mousetrap.run_store.packed.hints import DAY_MS
from mousetrap.run_store.packed.sender import Sender
from mousetrap.run_store.run_filter import open_list

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
        #: The day that is noted where none is; None until it is known.
        self._from_day: int | None = None
        #: What has been noted since then.
        self._pipelines: set[str] = set()
        self._since_ms = 0

    async def note(self, call: Call, pipelines: set[str]) -> set[str]:
        """Puts what is not noted yet into the call, and gives it: it is to be `noted` once that is done. Raises StoreUnreachable."""
        now = self._sender.now_ms()
        if now - self._since_ms > _AGAIN_MS:
            self._pipelines, self._since_ms = set(), now
        fresh = pipelines - self._pipelines
        if not fresh:
            return fresh
        if self._from_day is None:
            self._from_day = await self._first_day(now)
        call.add("HSETNX", HINTS, FROM, self._from_day)
        add_pipelines(call, fresh, self._ttl)
        return fresh

    def noted(self, pipelines: set[str]) -> None:
        """The store has noted these."""
        self._pipelines |= pipelines

    async def _first_day(self, now: int) -> int:
        """The first day: any, where the store has no runs that were accepted before. It is asked once for a process."""
        today = now // DAY_MS
        oldest = today - (self._ttl + int(LONGEST_DELAY_S * 1000)) // DAY_MS - 1
        days = range(oldest, today + 2)
        found = await self._sender.send([("EXISTS", hint_key("runs", day)) for day in days])
        return today + _BESIDE_DAYS if any(map(self._sender.value, found)) else 0


def add_pipelines(call: Call, pipelines: set[str], kept_ms: int) -> None:
    """Notes that there may be open runs of these pipelines."""
    call.add("HSET", HINTS, *(part for name in sorted(pipelines) for part in (open_list(name), 1)))
    call.add("PEXPIRE", HINTS, kept_ms + 2 * DAY_MS)
