"""Reads who holds limits and who waits, for people."""

from collections.abc import Sequence
from typing import Any

from mousetrap.run_store.connection import StoreConnection
from mousetrap.run_store.packed.heads import ask, job_head
from mousetrap.run_store.standing import read_standing
from mousetrap.shapes import LimitHolder, LimitKey

#: Keys of a stage, holders of a key, and lines of a key that are looked at.
_KEYS, _HOLDERS, _LINES = 100, 10, 32


class LimitStates(StoreConnection):
    """The limits of a stage as they stand. `place` is the pipeline's name and the stage's, with a dot between."""

    async def waiting_for_limits(self, places: Sequence[str]) -> dict[str, int]:
        """How many jobs of each stage wait for its limits."""
        asked = [
            command
            for place in places
            for command in (("HLEN", f"{_of(place)}:jobs"), ("ZCARD", f"{_of(place)}:taken"))
        ]
        async with self._reaching():
            counts = [_number(it) for it in await self._client.pipeline(asked)] if asked else []
        pairs = zip(counts[::2], counts[1::2], strict=True)
        return {place: max(0, jobs - taken) for place, (jobs, taken) in zip(places, pairs, strict=True)}

    async def limit_keys(self, place: str, kind: str) -> tuple[Sequence[str], int]:
        """The keys of a limit of a stage, those first that somebody waits for; and how many are left out. `kind` is `n` or `r`."""
        held_now = f"({await self._now_ms()}", "+inf"
        async with self._reaching():
            due, held, all_due, all_held = await self._client.pipeline(
                [
                    ("ZRANGE", f"{_of(place)}:due", 0, _KEYS - 1),
                    (
                        "ZRANGE",
                        f"{_of(place)}:busy",
                        *held_now,
                        "BYSCORE",
                        "LIMIT",
                        0,
                        _KEYS,
                    ),
                    ("ZCARD", f"{_of(place)}:due"),
                    ("ZCOUNT", f"{_of(place)}:busy", *held_now),
                ]
            )
        found = [it.decode(errors="replace") for it in (*_listed(due), *_listed(held))]
        keys = list(dict.fromkeys(it for it in found if it.split(":")[1:2] == [kind]))
        more = max(0, _number(all_due) - _KEYS) + max(0, _number(all_held) - _KEYS)
        return keys, more

    async def limit_key(self, key: str) -> LimitKey:
        """Who holds a limit, and how many wait for it."""
        base, now_ms = f"mousetrap:limit:{key}", await self._now_ms()
        async with self._reaching():
            facts, held, running, turns = await self._client.pipeline(
                [
                    ("HMGET", base, "of", "interval", "at_once", "tat"),
                    (
                        "ZRANGE",
                        f"{base}:held",
                        f"({now_ms}",
                        "+inf",
                        "BYSCORE",
                        "LIMIT",
                        0,
                        _HOLDERS,
                        "WITHSCORES",
                    ),
                    ("ZCOUNT", f"{base}:held", f"({now_ms}", "+inf"),
                    ("ZRANGE", f"{base}:turns", 0, _LINES - 1),
                ]
            )
            of, interval, at_once, tat = (*_listed(facts), None, None, None, None)[:4]
            lines = [("ZCARD", f"{base}:line:{line.decode(errors='replace')}") for line in _listed(turns)]
            waiting = sum(map(_number, await self._client.pipeline(lines))) if lines else 0
            is_rate = _float(interval) > 0
            holders = [] if is_rate else await self._holders(_listed(held))
        next_ms = _float(tat) - (_float(at_once) - 1) * _float(interval)
        return LimitKey(
            key=key,
            of=(of or b"").decode(errors="replace"),
            running=0 if is_rate else _number(running),
            waiting=waiting,
            next_ms=int(next_ms) if is_rate and next_ms > now_ms else None,
            holders=tuple(holders),
        )

    async def _holders(self, held: Sequence[bytes]) -> list[LimitHolder]:
        members = [it.decode(errors="replace").partition(" ") for it in held[::2]]
        heads = (
            await ask(self._client.pipeline, [job_head(run, job) for job, _, run in members])
            if members
            else []
        )
        found = []
        for (job, _, run), until, head in zip(members, held[1::2], heads, strict=True):
            at = read_standing(head)
            runs = at is not None and at.state == "running"
            found.append(
                LimitHolder(
                    run_id=run,
                    job=job,
                    worker=at.worker if at is not None and runs else "",
                    since_ms=at.claimed_ms if at is not None and runs else None,
                    until_ms=int(_float(until)),
                )
            )
        return found

    async def _now_ms(self) -> int:
        await self._sender.server_known()
        return self._sender.now_ms()


def _of(place: str) -> str:
    return f"mousetrap:limits:{place}"


def _listed(reply: Any) -> list[Any]:
    """None of a key of another type."""
    return reply if isinstance(reply, list) else []


def _number(reply: Any) -> int:
    return reply if isinstance(reply, int) else 0


def _float(reply: Any) -> float:
    try:
        return float(reply or 0)
    except (TypeError, ValueError):
        return 0.0
