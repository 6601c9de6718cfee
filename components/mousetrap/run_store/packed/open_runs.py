"""Takes runs off the list of open ones once they have ended."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from mousetrap.jobs import MousetrapError
from mousetrap.run_store.keys import hint_key, packed_run_key, reopening_key
from mousetrap.run_store.packed.heads import Ask
from mousetrap.run_store.packed.hints import DAY_MS, Listed, list_ms, member_of
from mousetrap.run_store.packed.sender import Sender
from mousetrap.run_store.run_filter import open_list
from mousetrap.store_client import Command

#: The first bytes of runs that never go on, of one that may be redriven, and of those that may be recorded again, or for the first
#: time.
_FOR_GOOD, _FAILED, _UNRECORDED = (b"C", b"X", b"E"), b"F", (b"J", b"")
#: No record comes so long after its run was named.
_RECORDED_WITHIN_MS = 60_000
#: How long an end waits for others to go with, and how many go at once.
_DELAY_S, _MOST = 1.0, 256


class Open(NamedTuple):
    """A run that a list names as open."""

    key: str
    member: str
    run_id: str
    accepted_ms: int


def named_open(run: Listed) -> Open:
    """Where the run is named as open."""
    pipeline, accepted_ms, run_id = run
    return Open(hint_key(open_list(pipeline), accepted_ms // DAY_MS), member_of(run), run_id, accepted_ms)


async def take_off(ask: Ask, named: Sequence[Open], now_ms: int, kept_ms: int) -> None:
    """Takes those off the lists that have ended.

    A run that failed can be redriven at this moment, which names it before and after: it is looked at again, and named again. So is
    one that is about to be, though who redrives it may die before its second naming.
    """
    states = await _states(ask, named)
    ended = [(it, state) for it, state in zip(named, states, strict=True) if _has_ended(it, state, now_ms)]
    if not ended:
        return
    await ask(removals(it for it, _ in ended))
    if unsure := [it for it, state in ended if state not in _FOR_GOOD]:
        again = await _states(ask, unsure)
        goes_on = await ask([("EXISTS", reopening_key(it.run_id)) for it in unsure])
        live = [
            it
            for it, state, is_named in zip(unsure, again, goes_on, strict=True)
            if is_named or not _has_ended(it, state, now_ms)
        ]
        if live:
            await ask([command for it in live for command in _naming(it, kept_ms)])


def removals(named: Iterable[Open]) -> list[Command]:
    """The commands that take these off their lists."""
    members: defaultdict[str, list[str]] = defaultdict(list)
    for it in named:
        members[it.key].append(it.member)
    return _without(members)


def _without(members: Mapping[str, Sequence[str]]) -> list[Command]:
    """The commands that take these members off the lists with these keys."""
    return [
        ("ZREM", key, *found[start : start + _MOST])
        for key, found in members.items()
        for start in range(0, len(found), _MOST)
    ]


class EndedRuns:
    """Gathers runs that a worker has ended, and takes them off together. What is lost with the process a reader makes up for."""

    def __init__(self, sender: Sender, ttl: int) -> None:
        self._sender = sender
        self._ttl = ttl
        #: Those that completed, by pipeline, each with when it was accepted; and those that may have failed.
        self._completed: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
        self._unsure: list[Listed] = []
        self._count = 0
        self._soon: asyncio.TimerHandle | None = None
        self._working: set[asyncio.Task[None]] = set()

    def completed(self, runs: Mapping[str, Sequence[tuple[int, str]]]) -> None:
        """Notes runs whose completion is on record, by pipeline, each with when it was accepted."""
        for pipeline, ended in runs.items():
            self._completed[pipeline] += ended
            self._noted(len(ended))

    def may_have_ended(self, runs: Sequence[Listed]) -> None:
        """Notes runs whose end may be on record."""
        self._unsure += runs
        self._noted(len(runs))

    def _noted(self, count: int) -> None:
        self._count += count
        if self._count >= _MOST:
            self._begin()
        elif self._soon is None and count:
            self._soon = asyncio.get_running_loop().call_later(_DELAY_S, self._begin)

    async def close(self) -> None:
        """Takes off those that are left."""
        self._begin()
        if self._working:
            await asyncio.wait(set(self._working))

    def _begin(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        if self._count:
            working = asyncio.create_task(self._take_off(self._completed, self._unsure))
            self._completed, self._unsure, self._count = defaultdict(list), [], 0
            self._working.add(working)
            working.add_done_callback(self._working.discard)

    async def _take_off(
        self, completed: Mapping[str, Sequence[tuple[int, str]]], unsure: Sequence[Listed]
    ) -> None:
        with suppress(MousetrapError):  # then a reader does
            if completed:
                await self._sender.send(_removed(completed))
            if unsure:
                named = [named_open(run) for run in unsure]
                await take_off(self._sender.send, named, self._sender.now_ms(), self._ttl)


def _removed(runs: Mapping[str, Sequence[tuple[int, str]]]) -> list[Command]:
    """As `removals` has it, for runs of the usual path, by pipeline: each costs a text, and each list a key."""
    members: dict[str, Sequence[str]] = {}
    for pipeline, ended in runs.items():
        of_day: defaultdict[int, list[str]] = defaultdict(list)
        for accepted_ms, run_id in ended:
            of_day[accepted_ms // DAY_MS].append(f"{accepted_ms:013d}:{run_id}")
        members |= {hint_key(open_list(pipeline), day): found for day, found in of_day.items()}
    return _without(members)


async def _states(ask: Ask, named: Sequence[Open]) -> list[Any]:
    return await ask([("GETRANGE", packed_run_key(it.run_id), 0, 0) for it in named])


def _has_ended(named: Open, state: Any, now_ms: int) -> bool:
    """One that has no record may be about to get it."""
    is_old = now_ms - named.accepted_ms > _RECORDED_WITHIN_MS
    return state in _FOR_GOOD or state == _FAILED or (is_old and state in _UNRECORDED)


def _naming(named: Open, kept_ms: int) -> list[Command]:
    return [("ZADD", named.key, 0, named.member), ("PEXPIRE", named.key, list_ms(kept_ms), "NX")]
