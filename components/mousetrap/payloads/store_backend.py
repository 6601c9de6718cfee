"""Keeps payloads in the run store's server."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from mousetrap.jobs import Reference
from mousetrap.payloads.backend import Data, RunsPage
from mousetrap.payloads.reads import Reads
from mousetrap.store_client import Command, Library, StoreClient, reaching

#: Bytes of one field: a client waits a second and a half for a reply, and the server does nothing else meanwhile.
_PART = 1024 * 1024
#: Parts that are written at once, and calls that read, each of a part's bytes at most: more would take longer together than a client waits for each.
_AT_ONCE = 4
#: About so many runs are looked at together.
_PAGE = 500
#: Runs by when something was put for them last, in milliseconds since 1970.
_INDEX = "mousetrap:payloads"

LIBRARY = Library.read("mousetrap_payloads", "mousetrap.payloads", ["lua/delete_run.lua"])


class StoreBackend:
    """As in the protocol Backend, with the client of the run store.

    The payloads of a run are one hash, which has an expiry as the run's record does: whatever extends one extends the
    other (`run_store/lua/runs.lua`). So what no sweep removes goes by itself.
    """

    def __init__(
        self, client: StoreClient, place: str, retention: float, now: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._place = place
        self._ttl = int(retention * 1000)
        self._now = now
        self._calls = asyncio.Semaphore(_AT_ONCE)
        self._reads = Reads(client, self._calls, _PART)

    @property
    def place(self) -> str:
        return f"the store at {self._place}"

    async def write(self, reference: Reference, data: Data) -> None:
        key = self._key(reference.run_id)
        for number in range(_parts(reference.size)):
            part = data if len(data) <= _PART else data[number * _PART : (number + 1) * _PART]
            now_ms = int(self._now() * 1000)
            name: list[Command] = [("ZADD", _INDEX, now_ms, reference.run_id), ("PEXPIRE", _INDEX, self._ttl)]
            put: list[Command] = [
                ("HSET", key, _field(reference, number), part),
                # The run may be kept for longer already: an expiry is set or extended, and never shortened.
                ("PEXPIRE", key, self._ttl, "NX"),
                ("PEXPIRE", key, self._ttl, "GT"),
            ]
            async with self._calls:
                with reaching(self._place):
                    if self._client.is_cluster:
                        # Named first: what is put and not named would never be swept.
                        await self._client.transaction(name)
                        await self._client.transaction([("HSET", key, ".put_ms", now_ms), *put])
                    else:  # together: a sweep between them could take away what is put here
                        await self._client.transaction([*name, *put])

    async def read(self, reference: Reference) -> bytes | None:
        parts: list[Any] = []
        for number in range(_parts(reference.size)):
            command = ("HGET", self._key(reference.run_id), _field(reference, number))
            with reaching(self._place):
                part = await self._reads.get(command, min(_PART, reference.size - number * _PART))
            if part is None:
                return None
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def runs(self, put_before: float, after: str) -> RunsPage:
        with reaching(self._place):
            cursor, found = await self._client.call("ZSCAN", _INDEX, int(after or 0), "COUNT", _PAGE)
        put = zip(found[::2], map(float, found[1::2]), strict=True)
        old = [run.decode(errors="replace") for run, put_ms in put if put_ms < put_before * 1000]
        return RunsPage(old, "" if cursor == b"0" else cursor.decode())

    async def delete_run(self, run_id: str, put_before: float) -> None:
        with reaching(self._place):
            call, key, before_ms = self._client.call, self._key(run_id), int(put_before * 1000)
            if self._client.is_cluster:
                await LIBRARY.call(call, before_ms, function="_payloads", keys=(key,))
                await LIBRARY.call(call, run_id, before_ms, function="_name", keys=(_INDEX,))
            else:
                await LIBRARY.call(call, run_id, before_ms, keys=(_INDEX, key))

    def _key(self, run_id: str) -> str:
        """In a cluster in the slot of the run, whose functions extend its expiry."""
        return (
            f"mousetrap:{{{run_id}}}:payloads" if self._client.is_cluster else f"mousetrap:payloads:{run_id}"
        )

    async def close(self) -> None:
        """Nothing: the client is the run store's."""


def _field(reference: Reference, number: int) -> str:
    return f"{reference.name}.{number}" if number else reference.name


def _parts(size: int) -> int:
    return max(1, -(-size // _PART))
