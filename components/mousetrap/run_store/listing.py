"""Lists runs by page from an index a day: the cost of a page does not grow with history."""

import re
from itertools import islice
from typing import Any

from redis.asyncio import Redis

from mousetrap.run_store.damage import is_damage
from mousetrap.run_store.runs import Page, Run, read_run

_DAY_MS = 86_400_000
#: Days looked into in one round trip.
_DAYS = 32
#: What a member of an index looks like. The bounds of the order leave out nearly all that is none.
_MEMBER = re.compile(rb"\d{13}:[A-Za-z0-9_-]{1,64}")
_NEWEST, _OLDEST = "(:", "[0"
_SHOWN = ("pipeline", "state", "stage", "accepted_ms", "updated_ms", "finished_ms", "failure", "progress")


async def list_runs(
    client: Redis, pipeline: str | None, limit: int, after: str | None, retention: float
) -> Page:
    """At most `limit` runs accepted before the one that `after` names, newest first."""
    members: list[bytes] = []
    today = await _today(client)
    # Nothing was accepted after today, whatever `after` says: else each day back from there would be asked for.
    first = min(today, int(after.partition(":")[0]) // _DAY_MS) if after else today
    oldest = today - int(retention * 1000) // _DAY_MS - 1
    days = iter(range(first, oldest - 1, -1))
    while len(members) <= limit and (some := list(islice(days, _DAYS))):
        members += await _members(client, pipeline, some, limit + 1, after)
    shown = members[:limit]
    runs = await _read(client, [member.partition(b":")[2].decode() for member in shown])
    return Page(runs=runs, next=shown[-1].decode() if len(members) > limit else None)


async def _today(client: Redis) -> int:
    seconds, _ = await client.time()
    return int(seconds) * 1000 // _DAY_MS


async def _members(
    client: Redis, pipeline: str | None, days: list[int], most: int, after: str | None
) -> list[bytes]:
    prefix = f"mousetrap:runs:{pipeline}:" if pipeline else "mousetrap:runs:"
    async with client.pipeline(transaction=False) as pipe:
        for day in days:
            pipe.zrange(
                f"{prefix}{day}",
                f"({after}" if after else _NEWEST,
                _OLDEST,
                desc=True,
                bylex=True,
                offset=0,
                num=most,
            )
        answers = await pipe.execute(raise_on_error=False)
    # An index of another type is one that somebody wrote over: the runs of that day are found by their ids alone.
    found = [members for members in answers if not is_damage(members)]
    return [member for members in found for member in members if _MEMBER.fullmatch(member)]


async def _read(client: Redis, run_ids: list[str]) -> tuple[Run, ...]:
    if not run_ids:
        return ()
    async with client.pipeline(transaction=False) as pipe:
        for run_id in run_ids:
            pipe.hmget(f"mousetrap:run:{run_id}", _SHOWN)
        rows = await pipe.execute(raise_on_error=False)
    found = [_line(run_id, row) for run_id, row in zip(run_ids, rows, strict=True)]
    return tuple(run for run in found if run is not None)


def _line(run_id: str, row: Any) -> Run | None:
    """The run as a list shows it; None when it is forgotten."""
    if is_damage(row):
        return read_run(run_id, {}, damage=(f"the run: {row}",))
    kept = {name.encode(): value for name, value in zip(_SHOWN, row, strict=True) if value is not None}
    return read_run(run_id, kept) if kept else None
