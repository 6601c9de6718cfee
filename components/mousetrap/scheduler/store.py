"""Keeps schedules in the store."""

import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec

from mousetrap.jobs import MousetrapError
from mousetrap.schedules import Record, looks_at
from mousetrap.signing import Keyring, SignatureRefused
from mousetrap.store_client import Library, StoreClient, address, open_client, reaching

#: Schedules of one store.
MOST_SCHEDULES = 10_000
#: A schedule that owes runs is looked at again after so long: who has written that submits them, and may have died.
AGAIN_MS = 5_000
#: Who writes a record reads it again, at most so often, where others write it meanwhile.
_TRIES = 20
_LIBRARY = Library.read("mousetrap_schedules", "mousetrap.scheduler", ["schedules.lua"])
_RECORDS = "mousetrap:{schedules}"
_KEYS = (_RECORDS, f"{_RECORDS}:due", f"{_RECORDS}:waits")


class TooManySchedules(MousetrapError):
    """As many schedules are kept as may be: remove one."""


class ScheduleTaken(MousetrapError):
    """There is a schedule of this name."""


class Due(NamedTuple):
    """Schedules for which there is something to do, and the store's time."""

    now_ms: int
    records: Sequence[Record]
    #: Names whose records cannot be read, each with the reason.
    broken: Sequence[tuple[str, str]] = ()


@asynccontextmanager
async def open_schedules(
    url: str, *, keyring: Keyring, tls: ssl.SSLContext | None = None
) -> AsyncIterator["Schedules"]:
    """The schedules in the store at `url`, which need not be reachable yet."""
    client = open_client(url, tls)
    try:
        yield Schedules(client, address(url), keyring)
    finally:
        await client.close()


class Schedules:
    """The schedules of one store. Every method raises StoreUnreachable if the server does not answer within two seconds."""

    def __init__(self, client: StoreClient, place: str, keyring: Keyring) -> None:
        self._client = client
        self._place = place
        self._keyring = keyring

    async def create(self, make: Callable[[int], Record]) -> Record:
        """Keeps the record that `make` gives for the store's time. Raises ScheduleTaken and TooManySchedules."""
        with reaching(self._place):
            if await self._client.call("HLEN", _RECORDS) >= MOST_SCHEDULES:
                raise TooManySchedules(
                    f"there are {MOST_SCHEDULES} schedules, which is as many as may be: remove one"
                )
        record = make(await self.now_ms())
        if await self.swap(None, record, looks_at(record, record.created_ms)) is None:
            raise ScheduleTaken(f"there is a schedule {record.name!r}: change that one, or take another name")
        return record

    async def get(self, name: str) -> Record | None:
        """The schedule; None for an unknown one. Raises SignatureRefused for a record that is not ours."""
        return (await self._read(name))[1]

    async def now_ms(self) -> int:
        """The store's time, in milliseconds since 1970."""
        return (await self._read(""))[0]

    async def count(self, late_ms: int) -> tuple[int, int]:
        """How many schedules there are, and of how many a tick is late by so much."""
        total, late = await self._call("_count", late_ms)
        return int(total), int(late)

    async def names(self) -> list[str]:
        """The names of all schedules, in their order."""
        with reaching(self._place):
            return sorted(
                name.decode(errors="replace") for name in await self._client.call("HKEYS", _RECORDS)
            )

    async def some(self, names: Sequence[str]) -> list[Record]:
        """The schedules with these names; those that are gone, or not ours, are left out."""
        if not names:
            return []
        with reaching(self._place):
            values = await self._client.call("HMGET", _RECORDS, *names)
        found = (self._decoded(name, value) for name, value in zip(names, values, strict=True) if value)
        return [record for record in found if isinstance(record, Record)]

    async def due(self, most: int) -> Due:
        """Schedules that are to be looked at by now, at most so many."""
        now_ms, *flat = await self._call("_due", most)
        pairs = [
            (name.decode(errors="replace"), value) for name, value in zip(flat[::2], flat[1::2], strict=True)
        ]
        found = [(name, self._decoded(name, value)) for name, value in pairs]
        broken = [(name, str(it)) for name, it in found if not isinstance(it, Record)]
        return Due(int(now_ms), [it for _, it in found if isinstance(it, Record)], broken)

    async def swap(self, seen: Record | None, record: Record, look_ms: int | None) -> Record | None:
        """Writes a record in place of the one that was `seen`; None where another was written since. Gives it as it is kept."""
        kept = msgspec.structs.replace(record, revision=(seen.revision if seen else 0) + 1)
        facts = msgspec.json.encode(kept)
        signature = self._keyring.sign_record(("schedule", kept.name), facts)
        value = b"%d %s %s" % (kept.revision, signature.encode(), facts)
        look = "" if look_ms is None else look_ms
        won = await self._call(
            "_swap", kept.name, seen.revision if seen else 0, value, look, int(bool(kept.waits))
        )
        return kept if won else None

    async def change(self, name: str, act: Callable[[Record, int], Record]) -> Record | None:
        """Writes what `act` makes of the schedule and the store's time; it may be called again. None for an unknown one."""
        for _ in range(_TRIES):
            now_ms, record = await self._read(name)
            if record is None:
                return None
            changed = act(record, now_ms)
            if changed == record:
                return record
            look_ms = now_ms + AGAIN_MS if changed.waits else looks_at(changed, now_ms)
            if kept := await self.swap(record, changed, look_ms):
                return kept
        raise MousetrapError(f"others change schedule {name!r} all the time: try again")

    async def remove(self, record: Record) -> bool:
        """Removes a schedule as it was read; False where it was written since."""
        return bool(await self._call("_swap", record.name, record.revision, "", "", 0))

    async def put_off(self, name: str, span_ms: int) -> None:
        """Looks at a schedule again after so long."""
        await self._call("_put_off", name, span_ms)

    async def hasten(self, looks: Mapping[str, int]) -> None:
        """Looks at these schedules at these times, where the next look would be later."""
        if looks:
            pairs = [word for name, at_ms in looks.items() for word in (at_ms, name)]
            with reaching(self._place):
                await self._client.call("ZADD", f"{_RECORDS}:due", "XX", "LT", *pairs)

    async def _read(self, name: str) -> tuple[int, Record | None]:
        now_ms, value = await self._call("_read", name)
        if not value:
            return int(now_ms), None
        record = self._decoded(name, value)
        if isinstance(record, SignatureRefused):
            raise record
        return int(now_ms), record

    def _decoded(self, name: str, value: bytes) -> Record | SignatureRefused:
        """The record, or why it is not ours: anything can be in the store."""
        _, _, signed = value.partition(b" ")
        signature, _, facts = signed.partition(b" ")
        try:
            self._keyring.verify_record(("schedule", name), facts, signature.decode("ascii", "replace"))
            record = msgspec.json.decode(facts, type=Record)
        except SignatureRefused as error:
            return error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return SignatureRefused(f"the record in the store cannot be read: {error}")
        return record if record.name == name else SignatureRefused("the record in the store has another name")

    async def _call(self, function: str, *args: Any) -> Any:
        with reaching(self._place):
            return await _LIBRARY.call(self._client.call, *args, function=function, keys=_KEYS)
