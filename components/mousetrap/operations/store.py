"""Keeps operations in the store, so that any carrier finds them."""

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal, cast

import msgspec

from mousetrap.jobs import MousetrapError
from mousetrap.operations.fate import Finding
from mousetrap.operations.record import (
    Plan,
    Share,
    Target,
    Tried,
    decode_plan,
    encode_plan,
    read_operation,
)
from mousetrap.shapes import Operation, OperationFailure, OperationPage
from mousetrap.signing import Keyring
from mousetrap.store_client import Command, Library, ReplyError, StoreClient, address, open_client, reaching

#: Operations that are listed, and those that may be under way at once.
MOST_LISTED, MOST_OPEN = 1_000, 100
#: How long a carrier has an operation for itself without a sign of life. Another one then goes on.
LEASE_S = 10.0
#: An entry of the index without a record is of a request that died in between, or is about to record it.
_STRAY_MS = 60_000
#: Records read in one round trip.
_CHUNK = 50
_LIBRARY = Library.read("mousetrap_operations", "mousetrap.operations", ["operations.lua"])
_INDEX, _OPEN = "mousetrap:operations", "mousetrap:operations:open"

#: What is left to a carrier: nothing now, for another one has it; or nothing at all.
NoShare = Literal["held", "over", "unknown"]


class TooManyOperations(MousetrapError):
    """As many operations are under way as may be: wait for one to end, or stop one."""


@asynccontextmanager
async def open_operations(
    url: str, *, retention: float, keyring: Keyring, tls: ssl.SSLContext | None = None
) -> AsyncIterator["Operations"]:
    """The operations in the store at `url`, which need not be reachable yet; they are kept for `retention` seconds."""
    client = open_client(url, tls)
    try:
        yield Operations(client, address(url), retention, keyring)
    finally:
        await client.close()


class Operations:
    """The operations of one store. Every method raises StoreUnreachable if the server does not answer within two seconds."""

    def __init__(self, client: StoreClient, place: str, retention: float, keyring: Keyring) -> None:
        self._client = client
        self._place = place
        self._ttl = int(retention * 1000)
        self._keyring = keyring

    async def create(self, operation_id: str, plan: Plan, finding: Finding) -> bool:
        """Records an operation on these targets, and on those that are still to be found. False where it was there before.

        Raises TooManyOperations.
        """
        facts, signature = encode_plan(plan, operation_id, self._keyring)
        member = f"{plan.created_ms:013}:{operation_id}"
        with reaching(self._place):
            if await self._client.call("ZCARD", _OPEN) >= MOST_OPEN:
                raise TooManyOperations(
                    f"{MOST_OPEN} operations are under way, which is as many as may be: wait for one to end, or stop one"
                )
            # Before the record: an operation is found by its entry, which leads to nothing where the record does not follow.
            await self._all([("ZADD", _OPEN, 0, member), ("ZADD", _INDEX, 0, member)])
            created = await self._call(
                "_create",
                operation_id,
                *(facts, signature, self._ttl, plan.created_ms, finding.after, _text(finding.unseen)),
                *map(msgspec.json.encode, finding.targets),
            )
            await self._all([("ZREMRANGEBYRANK", _INDEX, 0, -MOST_LISTED - 1)])
            if not created:
                await self._withdraw(operation_id, member)
        return bool(created)

    async def _withdraw(self, operation_id: str, member: str) -> None:
        """Takes the entry of a repeated request back, unless it is the first one's, which came in the same millisecond."""
        first = await self.plan(operation_id)
        if first is None or not member.startswith(f"{first.created_ms:013}:"):
            await self._all([("ZREM", _OPEN, member), ("ZREM", _INDEX, member)])

    async def get(self, operation_id: str) -> Operation | None:
        """The operation; None for an unknown or forgotten one."""
        with reaching(self._place):
            row = await self._client.call("HGETALL", _keys(operation_id)[0])
        return read_operation(operation_id, _by_name(row))

    async def runs(self, operation_id: str) -> tuple[str, ...]:
        """The first hundred runs that the operation acted on; of a re-run the new ones."""
        with reaching(self._place):
            found = await self._client.call("HGET", _keys(operation_id)[0], "runs")
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return msgspec.json.decode(found or b"[]", type=tuple[str, ...])
        return ()  # anything can be in the store

    async def page(self, *, limit: int, after: str | None = None, state: str | None = None) -> OperationPage:
        """Operations from before the one that `after` names, newest first."""
        bounds = (f"({after}" if after else "(:", "[0", "BYLEX", "REV")
        found: list[Operation] = []
        with reaching(self._place):
            members = await self._client.call("ZRANGE", _INDEX, *bounds)
            for first in range(0, len(members), _CHUNK):
                some = [it.decode(errors="replace") for it in members[first : first + _CHUNK]]
                rows = await self._client.pipeline([("HGETALL", _keys(_id_of(it))[0]) for it in some])
                for member, row in zip(some, rows, strict=True):
                    if len(found) == limit:
                        return OperationPage(operations=tuple(found), next=after)
                    after = member
                    shown = None if isinstance(row, ReplyError) else _read(member, row)
                    if shown is not None and state in (None, shown.state):
                        found.append(shown)
        return OperationPage(operations=tuple(found))

    async def open_ids(self) -> list[str]:
        """The operations that are under way, the oldest first."""
        with reaching(self._place):
            members = await self._client.call("ZRANGE", _OPEN, 0, -1)
        return [_id_of(member.decode(errors="replace")) for member in members]

    async def plan(self, operation_id: str) -> Plan | None:
        """What the operation is to do; None for an unknown one. Raises SignatureRefused for one that is not ours."""
        with reaching(self._place):
            facts, signature = await self._client.call("HMGET", _keys(operation_id)[0], "facts", "signature")
        return None if facts is None else decode_plan(facts, signature or b"", operation_id, self._keyring)

    async def lead(self, kind: str, token: str) -> bool:
        """Whether the carrier with this token carries the operations of a kind that has one carrier at a time."""
        key, lease = f"mousetrap:operations:{kind}", int(LEASE_S * 1000)
        with reaching(self._place):
            leader = await self._client.call("SET", key, token, "NX", "GET", "PX", lease)
            if leader == token.encode():
                await self._client.call("PEXPIRE", key, lease)
        return leader in (None, token.encode())

    async def claim(self, operation_id: str, token: str, most: int) -> Share | NoShare:
        """The next targets, at most so many, for the carrier with this token; 0 only renews its lease."""
        lease = int(LEASE_S * 1000)
        with reaching(self._place):
            kind, *reply = await self._call("_claim", operation_id, token, lease, self._ttl, most)
        if kind != b"yours":
            return cast(NoShare, kind.decode())
        after, cursor, repeated, matched, targets = reply
        found = tuple(msgspec.json.decode(each, type=Target) for each in targets)
        return Share(after.decode(), int(cursor), int(repeated), int(matched), found)

    async def found(self, operation_id: str, share: Share, finding: Finding, now_ms: int) -> str:
        """Records targets that were found. Gives the operation's state, or `moved` where another carrier has recorded them."""
        facts = (share.after, finding.after, _text(finding.unseen), now_ms)
        with reaching(self._place):
            reply = await self._call(
                "_found", operation_id, *facts, *map(msgspec.json.encode, finding.targets)
            )
        return str(reply.decode())

    async def advance(self, operation_id: str, cursor: int, tried: Tried, now_ms: int) -> str:
        """Counts targets that were tried. Gives the operation's state, or `moved` where another carrier has counted them."""
        counts = (cursor, tried.count, tried.done, tried.stale, tried.failed)
        failures = msgspec.json.encode(tried.failures)
        with reaching(self._place):
            reply = await self._call(
                "_advance",
                operation_id,
                *(*counts, failures, now_ms, int(LEASE_S * 1000), msgspec.json.encode(tried.runs)),
                *map(msgspec.json.encode, tried.again),
            )
        return str(reply.decode())

    async def note_waiting(self, operation_id: str, why: str) -> None:
        """Records why the operation does not go on just now."""
        with reaching(self._place):
            await self._call("_note", operation_id, why)

    async def end(
        self, operation_id: str, state: Literal["stopped", "failed"], now_ms: int, why: str = ""
    ) -> str | None:
        """Ends an operation that is under way. Gives its state after that; None for an unknown one."""
        failure = msgspec.json.encode([OperationFailure(target="", error=why)]) if why else ""
        with reaching(self._place):
            reply = await self._call("_finish", operation_id, state, now_ms, failure)
        if reply is None:
            return None
        await self.close_entry(operation_id, now_ms)
        return str(reply.decode())

    async def close_entry(self, operation_id: str, now_ms: int) -> None:
        """Takes an operation that is over, or was never recorded, off those under way."""
        with reaching(self._place):
            members = [it.decode(errors="replace") for it in await self._client.call("ZRANGE", _OPEN, 0, -1)]
            known = await self._client.call("EXISTS", _keys(operation_id)[0])
            gone = [
                it
                for it in members
                if _id_of(it) == operation_id and (known or _accepted_ms(it) < now_ms - _STRAY_MS)
            ]
            if gone:
                await self._client.call("ZREM", _OPEN, *gone)

    async def _call(self, function: str, operation_id: str, *args: Any) -> Any:
        return await _LIBRARY.call(self._client.call, *args, function=function, keys=_keys(operation_id))

    async def _all(self, commands: Sequence[Command]) -> None:
        for reply in await self._client.pipeline(commands):
            if isinstance(reply, ReplyError):
                raise reply


def _text(number: int | None) -> str:
    return "" if number is None else str(number)


def _keys(operation_id: str) -> list[str]:
    key = f"mousetrap:{{operation:{operation_id}}}"
    return [key, f"{key}:targets", f"{key}:lease"]


def _read(member: str, row: Sequence[bytes]) -> Operation | None:
    return read_operation(_id_of(member), _by_name(row))


def _id_of(member: str) -> str:
    return member.partition(":")[2]


def _accepted_ms(member: str) -> int:
    stamp = member.partition(":")[0]
    return int(stamp) if stamp.isdigit() else 0


def _by_name(row: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(row[::2], row[1::2], strict=True))
