"""Lists runs by page, from an index per day.

The cost of a page does not grow with history.
"""

import re
from dataclasses import dataclass
from itertools import islice
from typing import Any

from mousetrap.jobs import LONGEST_DELAY_S
from mousetrap.run_store.damage import is_damage
from mousetrap.run_store.decode_run import StoredRun, read_run
from mousetrap.run_store.keys import LONGEST_DELAY, index_key, run_key
from mousetrap.run_store.packed.chain import Routes
from mousetrap.run_store.packed.heads import ask, run_head
from mousetrap.run_store.packed.lines import read_lines
from mousetrap.shapes import RunPage, RunState
from mousetrap.store_client import Command, ReplyError, StoreClient

_DAY_MS = 86_400_000
#: Days read in one round trip.
_DAYS = 32
#: A member of an index. The bounds of the range leave out nearly all that is none.
_MEMBER = re.compile(rb"\d{13}:[A-Za-z0-9_-]{1,64}")
_NEWEST, _OLDEST = "(:", "[0"
_SHOWN = (
    "pipeline",
    "state",
    "stage",
    "accepted_ms",
    "updated_ms",
    "finished_ms",
    "failure",
    "progress",
    "due_ms",
    "tags",
)
#: Runs that one call reads to filter by state, and how many of them in one round trip.
MAX_SCANNED, _CHUNK = 2_000, 200


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs a list shows; None for all."""

    pipeline: str | None = None
    state: RunState | None = None


class Lists:
    """Lists the runs of one store."""

    def __init__(self, client: StoreClient, routes: Routes, retention: float) -> None:
        self._client = client
        self._routes = routes
        self._retention = retention

    async def page(self, wanted: RunFilter, limit: int, after: str | None) -> RunPage:
        """At most `limit` runs accepted before the one that `after` names, newest first.

        With a state, one call reads no more than `MAX_SCANNED` runs: its page can be short, or empty, and still have a next.
        """
        if wanted.state is None:
            members, more = await self._slice(wanted.pipeline, limit, after)
            runs = await self._read([_run_id(member) for member in members])
            return RunPage(runs=tuple(filter(None, runs)), next=members[-1].decode() if more else None)
        found: list[StoredRun] = []
        for _ in range(MAX_SCANNED // _CHUNK):
            members, more = await self._slice(wanted.pipeline, _CHUNK, after)
            runs = await self._read([_run_id(member) for member in members])
            for member, run in zip(members, runs, strict=True):
                if len(found) == limit:
                    return RunPage(runs=tuple(found), next=after)
                after = member.decode()
                if run is not None and run.state == wanted.state:
                    found.append(run)
            if not more:
                return RunPage(runs=tuple(found), next=None)
        return RunPage(runs=tuple(found), next=after)

    async def _slice(self, pipeline: str | None, limit: int, after: str | None) -> tuple[list[bytes], bool]:
        """The next members of the index, and whether there are more."""
        members: list[bytes] = []
        today, delay_ms = await _today(self._client)
        # No run was accepted after today. A later `after` would read each day back from there.
        first = min(today, int(after.partition(":")[0]) // _DAY_MS) if after else today
        # A delayed run was accepted that much earlier than it is forgotten.
        oldest = today - (int(self._retention * 1000) + delay_ms) // _DAY_MS - 1
        days = iter(range(first, oldest - 1, -1))
        while len(members) <= limit and (some := list(islice(days, _DAYS))):
            members += await _members(self._client, pipeline, some, limit + 1, after)
        return members[:limit], len(members) > limit

    async def _read(self, run_ids: list[str]) -> list[StoredRun | None]:
        """The runs of both families, in one order."""
        if not run_ids:
            return []
        older: list[Command] = [("HMGET", run_key(run_id), *_SHOWN) for run_id in run_ids]
        replies = await ask(self._client, [*map(run_head, run_ids), *older])
        heads, rows = replies[: len(run_ids)], replies[len(run_ids) :]
        packed = {run_id: head for run_id, head in zip(run_ids, heads, strict=True) if head}
        lines = await read_lines(self._client, self._routes, packed)
        return [
            lines.get(run_id) if run_id in packed else _line(run_id, row)
            for run_id, row in zip(run_ids, rows, strict=True)
        ]


def _run_id(member: bytes) -> str:
    return member.partition(b":")[2].decode()


async def _today(client: StoreClient) -> tuple[int, int]:
    """The day after the server's, for the clock that runs are recorded by may be as far ahead of it; and the longest delay of a
    run that is kept, in milliseconds."""
    time, delay = await client.pipeline([("TIME",), ("GET", LONGEST_DELAY)])
    if isinstance(time, ReplyError):
        raise time
    # A number from outside could make a page read each day since 1970.
    is_number = not is_damage(delay) and isinstance(delay, bytes)
    delay_ms = int(delay) if is_number and delay.isdigit() and len(delay) < 15 else 0
    return int(time[0]) * 1000 // _DAY_MS + 1, min(delay_ms, int(LONGEST_DELAY_S * 1000))


async def _members(
    client: StoreClient, pipeline: str | None, days: list[int], limit: int, after: str | None
) -> list[bytes]:
    bounds = (f"({after}" if after else _NEWEST, _OLDEST, "BYLEX", "REV", "LIMIT", 0, limit)
    answers = await client.pipeline([("ZRANGE", index_key(pipeline, day), *bounds) for day in days])
    # An index of another type was overwritten from outside: the runs of that day are found by their ids alone.
    found = [members for members in answers if not is_damage(members)]
    return [member for members in found for member in members if _MEMBER.fullmatch(member)]


def _line(run_id: str, row: Any) -> StoredRun | None:
    """The run as a list shows it; None when it is forgotten."""
    if is_damage(row):
        return read_run(run_id, {}, damage=(f"the run: {row}",))
    kept = {name.encode(): value for name, value in zip(_SHOWN, row, strict=True) if value is not None}
    return read_run(run_id, kept) if kept else None
