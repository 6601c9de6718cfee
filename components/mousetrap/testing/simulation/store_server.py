"""Simulates the store server: runs the real Lua on a dictionary."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from itertools import takewhile
from typing import Any

import msgspec

from mousetrap.store_client import ReplyError


class CommandUnknown(AssertionError):
    """The library uses a command that is missing here: add it, and cover it in the conformance test."""


class StoreServer:
    """The part of Valkey that `RunStore` and its library use; `now_ms` is the clock."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.now_ms = now_ms
        self._keys: dict[bytes, Any] = {}
        self._ends: dict[bytes, int] = {}
        self._functions: dict[bytes, Any] = {}
        self._last_entry: defaultdict[bytes, tuple[int, int]] = defaultdict(lambda: (0, 0))
        self._lua = _lua51().LuaRuntime(encoding=None, unpack_returned_tuples=True)
        self._prepare()

    # For clients

    def load(self, source: str) -> None:
        """As FUNCTION LOAD."""
        shebang, _, library = source.partition("\n")
        assert shebang.startswith("#!lua name="), shebang
        self._lua.execute(library.encode())

    def replies(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """As a pipeline of commands: an error is a value among the replies."""
        return [self._reply(*command) for command in commands]

    def _reply(self, name: str, *args: Any) -> Any:
        try:
            if name == "FCALL":
                function, count, *rest = args
                return self.fcall(function, *rest[count:], keys=rest[:count])
            if name == "FUNCTION":
                self.load(args[-1])
                return b"OK"
            return self.command(name, *args)
        except ReplyError as error:
            return error

    def fcall(self, name: str, *args: Any, keys: Sequence[str] = ()) -> Any:
        """As FCALL. Raises ReplyError as the client does."""
        function = self._functions.get(name.encode())
        if function is None:
            raise ReplyError("Function not found")
        reply = function(*(self._lua.table_from([_bytes(each) for each in given]) for given in (keys, args)))
        return list(reply.values()) if _lua51().lua_type(reply) == "table" else reply

    def command(self, name: str, *args: Any) -> Any:
        """One command as a client sends it."""
        doing: Callable[..., Any] | None = getattr(self, f"_{name.lower()}", None)
        if doing is None or not name.isupper():
            raise CommandUnknown(f"the simulated store server has no command {name}")
        return doing(*map(_bytes, args))

    # For tests

    def names(self, prefix: str = "") -> list[str]:
        """The names of all live keys with this prefix."""
        start = prefix.encode()
        return [key.decode() for key in list(self._keys) if key.startswith(start) and self._live(key)]

    def field(self, key: str, name: str) -> str | None:
        """One field of a hash as text."""
        found = self._hget(key.encode(), name.encode())
        return None if found is None else found.decode()

    def ends_ms(self, key: str) -> int | None:
        """The expiry of a key; None for never."""
        return self._ends.get(key.encode())

    # The environment of the Lua library

    def _prepare(self) -> None:
        wrap = self._lua.eval(_WRAP)
        world = self._lua.globals()
        world[b"redis"] = self._lua.table_from(
            {
                b"call": wrap(self._call_from_lua),
                b"register_function": self._functions.__setitem__,
                b"sha1hex": lambda text: hashlib.sha1(text, usedforsecurity=False).hexdigest().encode(),
            }
        )
        world[b"cmsgpack"] = self._lua.table_from({b"unpack": self._unpack, b"pack": self._pack})
        world[b"cjson"] = self._lua.table_from({b"encode": self._json, b"decode": self._facts})

    def _call_from_lua(self, name: bytes, *args: Any) -> Any:
        """(True, reply), or (False, error): Lua's pcall must catch the error as one of the server."""
        for arg in args:
            if isinstance(arg, bool) or not isinstance(arg, bytes | int | float):
                return False, b"ERR Command arguments must be strings or integers"
        try:
            return True, self._to_lua(self.command(name.decode().upper(), *args))
        except ReplyError as error:
            return False, str(error.args[0]).encode()

    def _to_lua(self, reply: Any) -> Any:
        if reply is None:
            return False
        if isinstance(reply, list):
            return self._lua.table_from([self._to_lua(item) for item in reply])
        return reply

    def _unpack(self, blob: bytes) -> Any:
        return self._as_lua(msgspec.msgpack.decode(blob))

    def _as_lua(self, value: Any) -> Any:
        if isinstance(value, list):
            return self._lua.table_from([self._as_lua(item) for item in value])
        return value.encode() if isinstance(value, str) else value

    def _pack(self, value: Any) -> bytes:
        return msgspec.msgpack.encode(self._from_lua(value))

    def _json(self, value: Any) -> bytes:
        return msgspec.json.encode(self._from_lua(value))

    def _facts(self, text: bytes) -> Any:
        """As cjson.decode of a flat object. The library takes an error of any kind for damage."""
        try:
            found = msgspec.json.decode(text, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise ReplyError(f"ERR {error}") from error
        return self._lua.table_from({name.encode(): self._as_lua(value) for name, value in found.items()})

    def _from_lua(self, value: Any) -> Any:
        if _lua51().lua_type(value) == "table":
            if all(isinstance(key, int) for key in value):
                return [self._from_lua(value[place + 1]) for place in range(len(value))]
            return {key.decode(): self._from_lua(item) for key, item in value.items()}
        if isinstance(value, bytes):
            return value.decode()
        return int(value) if isinstance(value, float) and value.is_integer() else value

    # Keys and their expiry

    def _live(self, key: bytes) -> bool:
        ends = self._ends.get(key)
        if ends is not None and ends <= self.now_ms():
            del self._keys[key], self._ends[key]
        return key in self._keys

    def _at(self, key: bytes, kind: type) -> Any:
        if not self._live(key):
            return kind()
        found = self._keys[key]
        if not isinstance(found, kind):
            raise ReplyError("WRONGTYPE Operation against a key holding the wrong kind of value")
        return found

    def _own(self, key: bytes, kind: type) -> Any:
        found = self._at(key, kind)
        return self._keys.setdefault(key, found)

    def _drop_if_empty(self, key: bytes) -> None:
        if not self._keys.get(key, True):
            self._del(key)

    def _time(self) -> list[bytes]:
        seconds, rest = divmod(self.now_ms(), 1000)
        return [b"%d" % seconds, b"%d" % (rest * 1000)]

    def _exists(self, *keys: bytes) -> int:
        return sum(self._live(key) for key in keys)

    def _del(self, *keys: bytes) -> int:
        gone = [key for key in keys if self._live(key)]
        for key in gone:
            del self._keys[key]
            self._ends.pop(key, None)
            self._last_entry.pop(key, None)
        return len(gone)

    _unlink = _del

    def _pexpire(self, key: bytes, milliseconds: bytes, only: bytes = b"") -> int:
        end = self.now_ms() + _integer(milliseconds)
        if not self._live(key) or (only == b"GT" and self._ends.get(key, end) >= end):
            return 0
        if only == b"NX" and key in self._ends:
            return 0
        self._ends[key] = end
        return 1

    def _get(self, key: bytes) -> bytes | None:
        return bytes(self._at(key, bytes)) if self._live(key) else None

    def _mget(self, *keys: bytes) -> list[bytes | None]:
        held = (self._keys[key] if self._live(key) else None for key in keys)
        return [bytes(each) if isinstance(each, bytes) else None for each in held]

    def _set(self, key: bytes, value: bytes, *options: bytes) -> bytes | None:
        held = self._get(key) if b"GET" in options or b"IFEQ" in options else None
        refused = b"NX" in options and self._live(key)
        if b"IFEQ" in options:
            refused = held != options[options.index(b"IFEQ") + 1]
        if not refused:
            self._keys[key] = value
            if b"PX" in options:
                self._ends[key] = self.now_ms() + _integer(options[options.index(b"PX") + 1])
            else:
                assert b"KEEPTTL" in options, "each key has an end"
        if b"GET" in options:
            return held
        return None if refused else b"OK"

    def _getrange(self, key: bytes, first: bytes, last: bytes) -> bytes:
        return bytes(self._at(key, bytes)[_integer(first) : _integer(last) + 1])

    def _setrange(self, key: bytes, offset: bytes, value: bytes) -> int:
        held, start = bytes(self._at(key, bytes)), _integer(offset)
        self._keys[key] = held[:start].ljust(start, b"\0") + value + held[start + len(value) :]
        return len(self._keys[key])

    def _pttl(self, key: bytes) -> int:
        if not self._live(key):
            return -2
        return self._ends[key] - self.now_ms() if key in self._ends else -1

    def _publish(self, _channel: bytes, _message: bytes) -> int:
        return 0

    def _info(self, *_: bytes) -> bytes:
        return b"redis_version:7.2.4\r\nvalkey_version:9.0.0\r\n"

    def _xlen(self, key: bytes) -> int:
        return len(self._at(key, list))

    def _pubsub(self, _numsub: bytes, *channels: bytes) -> list[bytes | int]:
        return [each for channel in channels for each in (channel, 0)]

    # Hashes

    def _hset(self, key: bytes, *pairs: bytes) -> int:
        if not pairs or len(pairs) % 2:
            raise ReplyError("ERR wrong number of arguments for 'hset' command")
        held = self._own(key, dict)
        before = len(held)
        held.update(zip(pairs[::2], pairs[1::2], strict=True))
        return len(held) - before

    def _hget(self, key: bytes, name: bytes) -> bytes | None:
        found: bytes | None = self._at(key, dict).get(name)
        return found

    def _hmget(self, key: bytes, *names: bytes) -> list[bytes | None]:
        return [self._at(key, dict).get(name) for name in names]

    def _hgetall(self, key: bytes) -> list[bytes]:
        return _in_turn(self._at(key, dict).items())

    def _hkeys(self, key: bytes) -> list[bytes]:
        return list(self._at(key, dict))

    def _hlen(self, key: bytes) -> int:
        return len(self._at(key, dict))

    def _hscan(self, key: bytes, _cursor: bytes, *_: bytes) -> list[Any]:
        return [b"0", self._hgetall(key)]

    def _hstrlen(self, key: bytes, name: bytes) -> int:
        return len(self._at(key, dict).get(name, b""))

    def _hdel(self, key: bytes, *names: bytes) -> int:
        held = self._at(key, dict)
        gone = sum(held.pop(name, None) is not None for name in names)
        self._drop_if_empty(key)
        return gone

    def _hsetnx(self, key: bytes, name: bytes, value: bytes) -> int:
        held = self._own(key, dict)
        is_new = name not in held
        held.setdefault(name, value)
        return int(is_new)

    def _hincrby(self, key: bytes, name: bytes, by: bytes) -> int:
        number = _integer(self._at(key, dict).get(name, b"0"), "ERR hash value is not an integer") + _integer(
            by
        )
        self._own(key, dict)[name] = b"%d" % number
        return number

    # Sets

    def _sadd(self, key: bytes, *members: bytes) -> int:
        held = self._own(key, set)
        before = len(held)
        held.update(members)
        return len(held) - before

    def _srandmember(self, key: bytes, count: bytes) -> list[bytes]:
        return sorted(self._at(key, set))[: _integer(count)]

    # Sorted sets

    def _zadd(self, key: bytes, *args: bytes) -> int:
        held = self._own(key, _Sorted)
        before = len(held)
        options = set(takewhile(lambda each: each in (b"NX", b"XX", b"LT"), args))
        pairs = args[len(options) :]
        for score, member in zip(pairs[::2], pairs[1::2], strict=True):
            if _may_set(options, held.get(member), _number(score)):
                held[member] = _number(score)
        return len(held) - before

    def _zremrangebyrank(self, key: bytes, first: bytes, last: bytes) -> int:
        members = [member for member, _ in self._at(key, _Sorted).in_order()]
        return self._zrem(key, *members[_integer(first) : _integer(last) + 1 or None])

    def _zremrangebyscore(self, key: bytes, first: bytes, last: bytes) -> int:
        return self._zrem(key, *self._zrange(key, first, last, b"BYSCORE"))

    def _zcount(self, key: bytes, first: bytes, last: bytes) -> int:
        return len(self._zrange(key, first, last, b"BYSCORE"))

    def _zcard(self, key: bytes) -> int:
        return len(self._at(key, _Sorted))

    def _zscore(self, key: bytes, member: bytes) -> bytes | None:
        score = self._at(key, _Sorted).get(member)
        return None if score is None else _bytes(score)

    def _zrem(self, key: bytes, *members: bytes) -> int:
        held = self._at(key, _Sorted)
        gone = sum(held.pop(member, None) is not None for member in members)
        self._drop_if_empty(key)
        return gone

    def _zrange(self, key: bytes, first: bytes, last: bytes, *options: bytes) -> list[bytes]:
        flags = [option.upper() for option in options]
        members = self._at(key, _Sorted).in_order()
        if b"BYLEX" in flags:
            low, high = (last, first) if b"REV" in flags else (first, last)
            chosen = [each for each in members if _is_between(each[0], low, high)]
            chosen = chosen[::-1] if b"REV" in flags else chosen
        elif b"BYSCORE" in flags:
            chosen = [each for each in members if _number(first) <= each[1] <= _number(last)]
        else:
            chosen = members[_integer(first) : _integer(last) + 1 or None]
        if b"LIMIT" in flags:
            skip, most = (_integer(option) for option in options[flags.index(b"LIMIT") + 1 :][:2])
            chosen = chosen[skip : skip + most]
        if b"WITHSCORES" in flags:
            return _in_turn((member, _bytes(score)) for member, score in chosen)
        return [member for member, _ in chosen]

    def _zlexcount(self, key: bytes, first: bytes, last: bytes) -> int:
        return len(self._zrange(key, first, last, b"BYLEX"))

    def _zscan(self, key: bytes, _cursor: bytes, *_: bytes) -> list[Any]:
        return [
            b"0",
            _in_turn((member, _bytes(score)) for member, score in self._at(key, _Sorted).in_order()),
        ]

    # Streams

    def _xadd(self, key: bytes, *args: bytes) -> bytes:
        place, most = 0, None
        if args[0].upper() == b"MAXLEN":
            place = 2 if args[1] in (b"~", b"=") else 1
            # A server that may keep a few more than asked for keeps a node's worth; here it keeps them all.
            most = None if args[1] == b"~" else _integer(args[place])
            place += 1
        fields = args[place + 1 :]
        entries = self._own(key, list)
        self._last_entry[key] = self._next_entry(key, args[place])
        entries.append((b"%d-%d" % self._last_entry[key], dict(zip(fields[::2], fields[1::2], strict=True))))
        if most is not None:
            del entries[:-most]
        return bytes(entries[-1][0])

    def _next_entry(self, key: bytes, entry_id: bytes) -> tuple[int, int]:
        last_ms, last_number = self._last_entry[key]
        if entry_id == b"*":
            at = max(self.now_ms(), last_ms)
        else:
            assert entry_id.endswith(b"-*"), "only the server numbers entries of one time"
            if (at := _integer(entry_id.removesuffix(b"-*"))) < last_ms:
                raise ReplyError(
                    "ERR The ID specified in XADD is equal or smaller than the target stream top item"
                )
        return at, last_number + 1 if at == last_ms else 0

    def _xrange(self, key: bytes, first: bytes, last: bytes, *_: bytes) -> list[Any]:
        low = _place(first.lstrip(b"(")) if first != b"-" else (0, -1)
        low = (low[0], low[1] + 1) if first.startswith(b"(") else low
        high = _place(last) if last != b"+" else (1 << 63, 0)
        found = [entry for entry in self._at(key, list) if low <= _place(entry[0]) <= high]
        return [[place, _in_turn(fields.items())] for place, fields in found]

    def _xrevrange(self, key: bytes, last: bytes, first: bytes, _count: bytes, most: bytes) -> list[Any]:
        return self._xrange(key, first, last)[::-1][: _integer(most)]


class _Sorted(dict[bytes, float]):
    def in_order(self) -> list[tuple[bytes, float]]:
        return sorted(self.items(), key=lambda item: (item[1], item[0]))


#: Raises an error of the server as a table, as the real server does.
_WRAP = b"""
function(call)
  return function(...)
    local went, reply = call(...)
    if not went then error({ err = reply }, 0) end
    return reply
  end
end
"""


@cache
def _lua51() -> Any:
    """The Lua of the server. Imported late: only a simulated server needs it."""
    try:
        from lupa import lua51  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError("the simulated store runs Lua and needs lupa: pip install lupa") from error
    return lua51


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes | memoryview):
        return bytes(value)
    if isinstance(value, float) and not value.is_integer():
        return b"%.17g" % value
    return str(int(value) if isinstance(value, float) else value).encode()


def _in_turn(pairs: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    return [each for pair in pairs for each in pair]


def _integer(text: bytes, otherwise: str = "ERR value is not an integer or out of range") -> int:
    if not re.fullmatch(rb"-?\d+", text):
        raise ReplyError(otherwise)
    return int(text)


def _is_between(member: bytes, low: bytes, high: bytes) -> bool:
    """Whether a member is in a range by text, each end of which begins with a bracket, or a parenthesis where it is left out."""
    above = member >= low[1:] if low[:1] == b"[" else member > low[1:]
    return above and (member <= high[1:] if high[:1] == b"[" else member < high[1:])


def _may_set(options: AbstractSet[bytes], held: float | None, score: float) -> bool:
    """Whether ZADD with these options sets a member that has the score `held`, or is not there."""
    if held is None:
        return b"XX" not in options
    return b"NX" not in options and (b"LT" not in options or score < held)


def _number(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        raise ReplyError("ERR value is not a valid float") from None


def _place(entry: bytes) -> tuple[int, int]:
    milliseconds, _, number = entry.partition(b"-")
    return int(milliseconds), int(number or 0)
