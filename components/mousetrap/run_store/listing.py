"""Lists runs by page, from lists of days.

The cost of a page does not grow with history.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from mousetrap.jobs import LONGEST_DELAY_S
from mousetrap.run_store.damage import is_damage
from mousetrap.run_store.decode_run import StoredRun, read_run
from mousetrap.run_store.keys import HINTS, LONGEST_DELAY, hint_key, run_key
from mousetrap.run_store.packed.chain import Routes
from mousetrap.run_store.packed.heads import ask, run_head
from mousetrap.run_store.packed.hinted import FROM
from mousetrap.run_store.packed.hints import list_ms
from mousetrap.run_store.packed.lines import read_lines
from mousetrap.run_store.packed.open_runs import Open, take_off
from mousetrap.run_store.repaired import repaired
from mousetrap.run_store.run_filter import (
    KEPT,
    Hint,
    RunFilter,
    hints_for,
    matches,
    narrowest,
    never_matches,
    open_list,
)
from mousetrap.shapes import RunPage
from mousetrap.store_client import Command, ReplyError, StoreClient

_DAY_MS = 86_400_000
#: Days read in the first round trip, which fill most pages, and in each after that.
_FIRST_DAYS, _DAYS = 2, 32
#: A member of a list, and of the list of ids. The bounds of the range leave out nearly all that is none.
_MEMBER = re.compile(rb"\d{13}:[A-Za-z0-9_-]{1,64}")
_BY_ID = re.compile(rb"([A-Za-z0-9_-]{1,64}):(\d{13})")
_NEWEST, _OLDEST = ":", "0"
#: More than any list names.
_MANY = 1 << 62
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
#: Runs that one call reads to find those that match, and how many of them in one round trip, at least and at most. So many ids of a
#: day are sorted.
MAX_SCANNED, _LEAST, _CHUNK = 1_000, 10, 200


class _Times(NamedTuple):
    """What the lists of the store span, in days since 1970, and the store's time."""

    now_ms: int
    newest: int
    #: The oldest day whose lists may be there.
    oldest: int
    #: From this day on, the lists of each day name all runs of that day.
    whole: int
    #: From this day on, hints name all runs that match.
    hinted: int
    #: The pipelines of runs that may be open.
    pipelines: tuple[str, ...]


class _Source(NamedTuple):
    """Where the runs of one day are named."""

    day: int
    hint: Hint
    #: Whether it is a list of open runs.
    is_open: bool

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(hint_key(name, self.day) for name in self.hint.lists)


#: Days and pipelines whose open runs are counted together.
_COUNTED_DAYS, _COUNTED = 8, 1_000


class Lists:
    """Lists the runs of one store."""

    def __init__(self, client: StoreClient, routes: Routes, retention: float) -> None:
        self._client = client
        self._routes = routes
        self._retention = retention

    async def page(self, wanted: RunFilter, limit: int, after: str | None) -> RunPage:
        """At most `limit` runs accepted before the one that `after` names, newest first.

        One call reads no more than `MAX_SCANNED` runs: its page can be short, or empty, and still have a next.
        """
        if never_matches(wanted):
            return RunPage(runs=(), next=None)
        walk = _Walk(self._client, wanted, await _times(self._client, self._retention))
        found: list[StoredRun] = []
        scanned = 0
        while scanned < MAX_SCANNED:
            chunk = limit if walk.is_plain else _chunk(limit - len(found), len(found), scanned)
            members, more = await walk.members(chunk, after)
            scanned += chunk
            runs = await self._read([_run_id(member) for member in members], walk.long_before_ms)
            await walk.note_ended(members, runs)
            shown = await self._matching(wanted, members, runs)
            for member, run in zip(members, runs, strict=True):
                if len(found) == limit:
                    return RunPage(runs=tuple(found), next=after)
                after = member.decode()
                if run is not None and member in shown:
                    found.append(run)
            if not more or len(found) == limit:
                return RunPage(runs=tuple(found), next=after if more else None)
            if walk.is_plain:
                break
        return RunPage(runs=tuple(found), next=after)

    async def lines(self, run_ids: Sequence[str]) -> list[StoredRun | None]:
        """The runs with these ids, as a page has them."""
        times = await _times(self._client, self._retention)
        return await self._read(list(run_ids), times.now_ms - _DAY_MS)

    async def count_open(self) -> dict[str, int]:
        """How many runs of each pipeline may be open: those accepted in the last week, and those that ended within a second or so.

        A pipeline that had none for long is left out, and so are those after the first thousand.
        """
        times = await _times(self._client, self._retention)
        pipelines = sorted(times.pipelines)[:_COUNTED]
        days = range(max(times.oldest, times.newest - _COUNTED_DAYS), times.newest + 1)
        keys = [hint_key(open_list(name), day) for name in pipelines for day in days]
        counts = iter(await self._client.pipeline([("ZCARD", key) for key in keys]) if keys else [])
        of_days = [list(islice(counts, len(days))) for _ in pipelines]
        return {
            name: sum(count for count in each if not is_damage(count))
            for name, each in zip(pipelines, of_days, strict=True)
        }

    async def _matching(
        self, wanted: RunFilter, members: Sequence[bytes], runs: Sequence[StoredRun | None]
    ) -> set[bytes]:
        """The members whose runs are shown. One that was accepted again is named by its former time as well."""
        found = {
            member: run
            for member, run in zip(members, runs, strict=True)
            if run is not None and matches(run, wanted) and run.accepted_ms in (0, _accepted_ms(member))
        }
        if wanted.repaired is None:
            return set(found)
        asked = [run.id for run in found.values()]
        whole = await repaired(self._client, asked)
        return {member for member, run in found.items() if (run.id in whole) == wanted.repaired}

    async def _read(self, run_ids: list[str], long_before_ms: int) -> list[StoredRun | None]:
        """The runs of both families, in one order."""
        if not run_ids:
            return []
        heads = await ask(self._client.pipeline, list(map(run_head, run_ids)))
        packed = {run_id: head for run_id, head in zip(run_ids, heads, strict=True) if head}
        others = [run_id for run_id in run_ids if run_id not in packed]
        older: list[Command] = [("HMGET", run_key(run_id), *_SHOWN) for run_id in others]
        rows = dict(zip(others, await self._client.pipeline(older) if older else (), strict=True))
        lines = await read_lines(self._client, self._routes, packed, long_before_ms)
        return [lines.get(run_id) if run_id in packed else _line(run_id, rows[run_id]) for run_id in run_ids]


class _Walk:
    """Goes through the lists that lead to the wanted runs, from the newest day to the oldest."""

    def __init__(self, client: StoreClient, wanted: RunFilter, times: _Times) -> None:
        self._client = client
        self._wanted = wanted
        self._times = times
        self.long_before_ms = times.now_ms - _DAY_MS
        self._hints = hints_for(wanted, times.pipelines)
        #: By day, runs that live longer than the lists of their days; read once the walk comes to days whose lists may be gone.
        self._kept: dict[int, set[bytes]] = {}
        self._has_long = False
        #: By day, as it was chosen; None where no run of a day can match.
        self._chosen: dict[int, _Source | None] = {}
        #: Where the open runs are named that the last members are.
        self._open_keys: dict[bytes, tuple[str, ...]] = {}

    @property
    def is_plain(self) -> bool:
        """Whether all runs of one list are shown."""
        return not self._kept and self._wanted == RunFilter(
            pipeline=self._wanted.pipeline, from_ms=self._wanted.from_ms, to_ms=self._wanted.to_ms
        )

    async def members(self, limit: int, after: str | None) -> tuple[list[bytes], bool]:
        """The next ones, and whether there are more."""
        members: list[bytes] = []
        low, high = self._bounds(after)
        # No run was accepted after the newest day. A later `after` would read each day back from there.
        first = min(self._times.newest, int(high[:13]) // _DAY_MS) if high != _NEWEST else self._times.newest
        last = int(low) // _DAY_MS
        oldest = self._times.oldest
        # With the oldest day come the runs that live longer, which may be older than that.
        days = iter(range(max(first, oldest), max(oldest, last) - 1, -1))
        self._open_keys = {}
        size = _FIRST_DAYS
        while len(members) <= limit and (some := list(islice(days, size))):
            await self._choose(some)
            members += await self._of_days(some, low, high, limit + 1)
            size = _DAYS
        if len(members) <= limit and self._has_long:
            older = sorted((day for day in self._kept if day < oldest and day <= first), reverse=True)
            members += [it for day in older for it in _newest_first(self._kept[day], low, high)]
        return members[:limit], len(members) > limit

    async def _of_days(self, days: Sequence[int], low: str, high: str, limit: int) -> list[bytes]:
        """The members of each day, newest first."""
        sources = {day: source for day in days if (source := self._chosen[day])}
        keeps = () if self._has_long or days[-1] >= self._times.whole else self._keeping(high)
        found, kept = await self._named(list(sources.values()), keeps, low, high, limit)
        if keeps:
            self._has_long = True
            for member in kept:
                self._kept.setdefault(_accepted_ms(member) // _DAY_MS, set()).add(member)
        named = dict(zip(sources, found, strict=True))
        for day, source in sources.items():
            if source.is_open:
                self._open_keys.update(dict.fromkeys(named[day], source.keys))
        return [
            member
            for day in days
            for member in _newest_first({*named.get(day, ()), *self._kept.get(day, ())}, low, high)[:limit]
        ]

    def _keeping(self, high: str) -> Sequence[Command]:
        """Commands that name long runs of days whose lists may be gone."""
        before = min(high, f"{self._times.whole * _DAY_MS:013d}")
        days = range(self._times.whole - 1, self._times.newest + 1)
        # One page reads no more of them.
        end = ("BYLEX", "REV", "LIMIT", 0, 2 * MAX_SCANNED)
        return [("ZRANGE", hint_key(KEPT, day), f"({before}", f"[{_OLDEST}", *end) for day in days]

    async def note_ended(self, members: Sequence[bytes], runs: Sequence[StoredRun | None]) -> None:
        """Takes runs off the lists of open ones that have ended: a worker that was killed could not."""
        ended = [
            Open(key, member.decode(), _run_id(member), _accepted_ms(member))
            for member, run in zip(members, runs, strict=True)
            if run is None or run.state.ended
            for key in self._open_keys.get(member, ())
        ]
        if ended:
            kept_ms = (self._times.newest - self._times.oldest) * _DAY_MS
            await take_off(self._client.pipeline, ended, self._times.now_ms, kept_ms)

    def _bounds(self, after: str | None) -> tuple[str, str]:
        """Where the members begin and before which they end, as texts."""
        wanted = self._wanted
        low = f"{wanted.from_ms:013d}" if wanted.from_ms else _OLDEST
        end = f"{wanted.to_ms:013d}" if wanted.to_ms is not None else _NEWEST
        return low, min(after or _NEWEST, end)

    async def _choose(self, days: Sequence[int]) -> None:
        """Chooses for each day the hint that names the fewest runs."""
        asked = [day for day in days if day not in self._chosen]
        hinted = [day for day in asked if day >= self._times.hinted]
        self._chosen.update({day: _Source(day, self._hints[0], False) for day in asked})
        if len(self._hints) == 1 or not hinted:
            return
        counts = [_counting(day, hint) for day in hinted for hint in self._hints]
        replies = iter(await self._client.pipeline([command for each in counts for command in each]))
        totals = iter([_total(list(islice(replies, len(each)))) for each in counts])
        for day in hinted:
            of_day = list(islice(totals, len(self._hints)))
            of_day = [_unless_many(hint, count) for hint, count in zip(self._hints, of_day, strict=True)]
            place = narrowest(of_day)
            hint = self._hints[place]
            is_open = any(name.startswith("open:") for name in hint.lists)
            self._chosen[day] = _Source(day, hint, is_open) if of_day[place] else None

    async def _named(
        self, sources: Sequence[_Source], keeps: Sequence[Command], low: str, high: str, limit: int
    ) -> tuple[list[list[bytes]], list[bytes]]:
        """The members of each source, newest first; and long runs, of no order."""
        commands = [[*_reading(source, low, high, limit)] for source in sources]
        asked = [*(command for each in commands for command in each), *keeps]
        replies = iter(await self._client.pipeline(asked) if asked else [])
        found = []
        for source, each in zip(sources, commands, strict=True):
            named = {member for reply in islice(replies, len(each)) for member in _members(source, reply)}
            found.append(_newest_first(named, low, high)[:limit])
        return found, [member for reply in replies for member in _named_in(reply)]


def _chunk(lacking: int, found: int, scanned: int) -> int:
    """How many runs to read next for those that a page lacks, a quarter more than as many as needed of those before.

    Usually all that a hint names match, and no more are read than are shown.
    """
    needed = lacking * scanned * 5 // (4 * found) if found else _CHUNK if scanned else lacking
    return min(max(needed, _LEAST), _CHUNK, MAX_SCANNED - scanned)


def _run_id(member: bytes) -> str:
    return member.partition(b":")[2].decode()


def _accepted_ms(member: bytes) -> int:
    return int(member[:13])


async def _times(client: StoreClient, retention: float) -> _Times:
    """The newest day is the one after the server's, for the clock that runs are recorded by may be as far ahead of it."""
    time, delay, hints = await client.pipeline([("TIME",), ("GET", LONGEST_DELAY), ("HGETALL", HINTS)])
    if isinstance(time, ReplyError):
        raise time
    now_ms = int(time[0]) * 1000
    newest = now_ms // _DAY_MS + 1
    # A number from outside could make a page read each day since 1970.
    is_number = not is_damage(delay) and isinstance(delay, bytes)
    delay_ms = int(delay) if is_number and delay.isdigit() and len(delay) < 15 else 0
    # A delayed run was accepted that much earlier than it is forgotten.
    kept_ms = list_ms(int(retention * 1000))
    oldest = (now_ms - kept_ms - min(delay_ms, int(LONGEST_DELAY_S * 1000))) // _DAY_MS
    noted = {} if is_damage(hints) else dict(zip(hints[::2], hints[1::2], strict=True))
    since = noted.pop(FROM.encode(), b"")
    hinted = int(since) if since.isdigit() and len(since) < 9 else newest + 1
    pipelines = tuple(name.decode(errors="replace").partition(":")[2] for name in noted)
    return _Times(now_ms, newest, oldest, (now_ms - kept_ms) // _DAY_MS + 1, hinted, pipelines)


def _counting(day: int, hint: Hint) -> list[Command]:
    """Commands that count the runs that a hint names."""
    if hint.ids:
        return [("ZLEXCOUNT", hint_key("ids", day), f"[{hint.ids}", f"({hint.ids}~")]
    return [("ZCARD", hint_key(name, day)) for name in hint.lists]


def _total(counts: Sequence[Any]) -> int:
    """With a list that was overwritten from outside they are too many: another hint leads to the runs of that day."""
    return _MANY if any(map(is_damage, counts)) else sum(counts)


def _unless_many(hint: Hint, count: int) -> int:
    """Ids are sorted here, so that too many of them are not read at all."""
    return count if not hint.ids or count <= MAX_SCANNED else _MANY


def _reading(source: _Source, low: str, high: str, limit: int) -> Iterator[Command]:
    if ids := source.hint.ids:
        yield (
            "ZRANGE",
            hint_key("ids", source.day),
            f"[{ids}",
            f"({ids}~",
            "BYLEX",
            "LIMIT",
            0,
            2 * MAX_SCANNED,
        )
        return
    for key in source.keys:
        yield ("ZRANGE", key, f"({high}", f"[{low}", "BYLEX", "REV", "LIMIT", 0, limit)


def _members(source: _Source, reply: Any) -> list[bytes]:
    """The members in a reply, as lists have them."""
    if source.hint.ids:
        parts = filter(None, map(_BY_ID.fullmatch, [] if is_damage(reply) else reply))
        return [b"%b:%b" % (part[2], part[1]) for part in parts]
    return _named_in(reply)


def _named_in(reply: Any) -> list[bytes]:
    # A list of another type was overwritten from outside: the runs of that day are found by their ids alone.
    return [member for member in ([] if is_damage(reply) else reply) if _MEMBER.fullmatch(member)]


def _newest_first(members: set[bytes], low: str, high: str) -> list[bytes]:
    """Those inside these bounds."""
    return sorted((member for member in members if low.encode() <= member < high.encode()), reverse=True)


def _line(run_id: str, row: Any) -> StoredRun | None:
    """The run as a list shows it; None when it is forgotten."""
    if is_damage(row):
        return read_run(run_id, {}, damage=(f"the run: {row}",))
    kept = {name.encode(): value for name, value in zip(_SHOWN, row, strict=True) if value is not None}
    return read_run(run_id, kept) if kept else None
