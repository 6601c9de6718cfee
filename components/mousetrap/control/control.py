"""Writes and reads what operators ask of queues and workers."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from mousetrap.shapes import Pause, WorkerRequest
from mousetrap.signing import Keyring, SignatureRefused
from mousetrap.store_client import ReplyError, StoreClient, reaching

_PAUSED, _ASKED = "mousetrap:paused", "mousetrap:asked"
_SEAM = b"\n"
#: Refused records that are remembered, so that each is logged once.
_MOST_REFUSED = 1_000

_log = logging.getLogger("mousetrap.control")
_Record = TypeVar("_Record", Pause, WorkerRequest)


@dataclass(frozen=True, slots=True)
class Orders:
    """What one worker is to do."""

    #: The pauses of its queues.
    paused: Mapping[str, Pause] = field(default_factory=dict)
    request: WorkerRequest | None = None


NOTHING_ASKED = Orders()


class Control:
    """The pauses and requests of one store. Every method raises StoreUnreachable if the server does not answer within two seconds.

    Each record is signed with the name that it is about. One that no key of the ring signed counts as none, so that the store alone
    stops no worker.
    """

    def __init__(self, client: StoreClient, place: str, keyring: Keyring) -> None:
        self._client = client
        self._place = place
        self._keyring = keyring
        self._refused: set[bytes] = set()

    async def pause(self, queue: str, pause: Pause) -> Pause | None:
        """Pauses a queue. Returns the pause that it had before, which stays."""
        record = self._written("pause", queue, pause)
        if not await self._call("HSETNX", _PAUSED, queue, record):
            before = self._read("pause", queue, await self._call("HGET", _PAUSED, queue), Pause)
            if before is not None:
                return before
            await self._call("HSET", _PAUSED, queue, record)
        return None

    async def resume(self, queue: str) -> bool:
        """Ends the pause of a queue. Returns whether there was one."""
        return bool(await self._call("HDEL", _PAUSED, queue))

    async def paused(self) -> Mapping[str, Pause]:
        """The queues that are paused."""
        return self._all("pause", await self._call("HGETALL", _PAUSED), Pause)

    async def ask(self, worker: str, request: WorkerRequest, live: Collection[str]) -> None:
        """Asks a worker, in place of what it was asked before. Forgets what was asked of workers that are not `live`."""
        await self._call("HSET", _ASKED, worker, self._written("worker", worker, request))
        names = [name.decode(errors="replace") for name in await self._call("HKEYS", _ASKED)]
        if gone := [name for name in names if name != worker and name not in live]:
            await self._call("HDEL", _ASKED, *gone)

    async def forget(self, worker: str) -> bool:
        """Withdraws what a worker was asked. Returns whether there was something."""
        return bool(await self._call("HDEL", _ASKED, worker))

    async def asked(self) -> Mapping[str, WorkerRequest]:
        """What is asked of workers, by name."""
        return self._all("worker", await self._call("HGETALL", _ASKED), WorkerRequest)

    async def orders(self, worker: str, queues: Sequence[str]) -> Orders:
        """What is asked of a worker and of its queues, in one round trip."""
        with reaching(self._place):
            paused, asked = await self._client.pipeline(
                [("HMGET", _PAUSED, *queues), ("HGET", _ASKED, worker)]
            )
            for reply in (paused, asked):
                if isinstance(reply, ReplyError):
                    raise reply
        found = {name: self._read("pause", name, it, Pause) for name, it in zip(queues, paused, strict=True)}
        return Orders(
            {name: pause for name, pause in found.items() if pause is not None},
            self._read("worker", worker, asked, WorkerRequest),
        )

    async def _call(self, *words: str | bytes) -> Any:
        with reaching(self._place):
            return await self._client.call(*words)

    def _all(self, kind: str, row: Sequence[bytes], form: type[_Record]) -> Mapping[str, _Record]:
        names = [name.decode(errors="replace") for name in row[::2]]
        found = {
            name: self._read(kind, name, record, form) for name, record in zip(names, row[1::2], strict=True)
        }
        return {name: it for name, it in sorted(found.items()) if it is not None}

    def _written(self, kind: str, name: str, record: Pause | WorkerRequest) -> bytes:
        text = msgspec.json.encode(record)
        return self._keyring.sign_record((kind, name), text).encode() + _SEAM + text

    def _read(self, kind: str, name: str, record: bytes | None, form: type[_Record]) -> _Record | None:
        if record is None:
            return None
        try:
            signature, _, text = record.partition(_SEAM)
            self._keyring.verify_record((kind, name), text, signature.decode("ascii", "replace"))
            return msgspec.json.decode(text, type=form)
        except (SignatureRefused, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if record not in self._refused and len(self._refused) < _MOST_REFUSED:
                self._refused.add(record)
                _log.warning("what the store has about %s %r counts as nothing: %s", kind, name[:200], error)
            return None
