"""Starts sessions, finds their callers, ends them."""

import hashlib
import ssl
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from mousetrap.api_keys import ApiKeys, Caller
from mousetrap.jobs import StoreUnreachable
from mousetrap.store_client import ReplyError, StoreClient, address, open_client, reaching

#: A session ends so long after its last use, and so long after its start.
IDLE_S, LONGEST_S = 12 * 3600.0, 7 * 86_400.0
#: Sessions of one key.
MOST_OF_A_KEY = 100
#: A use is noted at most so often: each request would write to the store otherwise.
_NOTED_EVERY_S = 60.0
#: A session that was found within this time counts while the store is away; and how many are remembered, about 200 bytes each.
_REMEMBERED_S, _MOST_REMEMBERED = 3600.0, 1_000
_RANDOM_BYTES = 32
#: Of 32 bytes in base64.
_TOKEN_CHARACTERS = 43


@asynccontextmanager
async def open_sessions(url: str, *, tls: ssl.SSLContext | None = None) -> AsyncIterator["Sessions"]:
    """The sessions in the store at `url`, which need not be reachable yet."""
    client = open_client(url, tls)
    try:
        yield Sessions(client, address(url))
    finally:
        await client.close()


@dataclass(frozen=True, slots=True)
class _Stored:
    """What the store has of a session."""

    key_id: str
    ends_ms: int
    mark: str

    def caller(self, keys: ApiKeys, name: str, now_s: float) -> Caller | None:
        """None once the session or its key has ended, or that key is another; also for what none of our keys marked."""
        caller = keys.find_marked(self.key_id, _marked(name, self.ends_ms), self.mark)
        ends_s = min(self.ends_ms / 1000, caller.ends_s) if caller else 0.0
        return caller if now_s < ends_s else None


class Sessions:
    """The sessions of one store."""

    def __init__(self, client: StoreClient, place: str) -> None:
        self._client = client
        self._place = place
        #: By the token's digest: what was found, and when.
        self._remembered: OrderedDict[str, tuple[_Stored, float]] = OrderedDict()

    async def start(self, keys: ApiKeys, caller: Caller, chance: bytes, now_s: float) -> str:
        """The token of a new session of one of these keys. Raises StoreUnreachable."""
        if len(chance) < _RANDOM_BYTES:
            raise ValueError(f"a token needs {_RANDOM_BYTES} random bytes")
        token = urlsafe_b64encode(chance[:_RANDOM_BYTES]).decode().rstrip("=")
        name, ends_ms = _name(token), _ms(now_s + LONGEST_S)
        value = f"{caller.id}:{ends_ms}:{keys.mark(caller, _marked(name, ends_ms))}"
        with reaching(self._place):
            # First the index: a session that is not in it would not be counted.
            over = await self._make_room(caller.id, name, now_s)
            await self._client.call("SET", _key(name), value, "PX", _ms(IDLE_S))
            for other in over:
                await self._client.call("DEL", _key(other))
        return token

    async def find(self, keys: ApiKeys, token: str, now_s: float) -> Caller | None:
        """The caller whose session it is; its end is put off. Raises StoreUnreachable for one not found within the last hour."""
        if len(token) != _TOKEN_CHARACTERS:
            return None
        name = _name(token)
        try:
            stored = await self._look_up(name, now_s)
        except StoreUnreachable:
            stored, seen_s = self._remembered.get(name, (None, 0.0))
            if stored is None or now_s - seen_s > _REMEMBERED_S:
                raise
        return stored.caller(keys, name, now_s) if stored else None

    async def end(self, token: str) -> None:
        """Ends the session, if it is one. Raises StoreUnreachable: then it ends by itself, and not here."""
        name = _name(token)
        self._remembered.pop(name, None)
        with reaching(self._place):
            stored = _read(await self._client.call("GETDEL", _key(name)))
            if stored is not None:
                await self._client.call("ZREM", _index(stored.key_id), name)

    async def _look_up(self, name: str, now_s: float) -> _Stored | None:
        with reaching(self._place):
            found, left_ms = await self._client.pipeline([("GET", _key(name)), ("PTTL", _key(name))])
            for reply in (found, left_ms):
                if isinstance(reply, ReplyError):
                    raise reply
            stored = _read(found)
            if stored is None:
                self._remembered.pop(name, None)
                return None
            await self._put_off(stored, name, left_ms, now_s)
        self._remember(name, stored, now_s)
        return stored

    async def _put_off(self, stored: _Stored, name: str, left_ms: int, now_s: float) -> None:
        """Puts the session's end off, up to its latest end."""
        wanted_ms = min(_ms(IDLE_S), stored.ends_ms - _ms(now_s))
        if wanted_ms - left_ms > _ms(_NOTED_EVERY_S):
            # Neither brings back what was ended just now.
            await self._client.call("PEXPIRE", _key(name), wanted_ms)
            await self._client.call("ZADD", _index(stored.key_id), "XX", _ms(now_s) + wanted_ms, name)

    async def _make_room(self, key_id: str, name: str, now_s: float) -> list[str]:
        """Enters a session into its key's index. Gives those that are too many, the longest unused ones."""
        index = _index(key_id)
        replies: list[Any] = await self._client.transaction(
            [
                ("ZREMRANGEBYSCORE", index, "-inf", _ms(now_s)),
                ("ZADD", index, _ms(now_s + IDLE_S), name),
                ("ZRANGE", index, 0, -MOST_OF_A_KEY - 1),
                ("ZREMRANGEBYRANK", index, 0, -MOST_OF_A_KEY - 1),
                ("PEXPIRE", index, _ms(LONGEST_S)),
            ]
        )
        return [other.decode(errors="replace") for other in replies[2]]

    def _remember(self, name: str, stored: _Stored, now_s: float) -> None:
        self._remembered[name] = stored, now_s
        self._remembered.move_to_end(name)
        if len(self._remembered) > _MOST_REMEMBERED:
            self._remembered.popitem(last=False)


def _name(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _key(name: str) -> str:
    return f"mousetrap:session:{name}"


def _index(key_id: str) -> str:
    return f"mousetrap:sessions:{key_id}"


def _marked(name: str, ends_ms: int) -> bytes:
    return f"session:{name}:{ends_ms}".encode()


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _read(found: bytes | None) -> _Stored | None:
    """The session; None for what is none, for anything can be in the store."""
    try:
        key_id, ends_ms, mark = (found or b"").decode().split(":")
        return _Stored(key_id, int(ends_ms), mark)
    except ValueError:
        return None
