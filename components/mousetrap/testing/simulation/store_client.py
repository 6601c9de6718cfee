"""Simulates the store's client over the simulated network."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import msgspec
from redis.exceptions import ConnectionError as Refused
from redis.exceptions import TimeoutError as NoReply

from mousetrap.testing.simulation.packed_calls import packed_calls, packed_transitions
from mousetrap.testing.simulation.process import Fault, Process
from mousetrap.testing.simulation.store_server import StoreServer

#: The client's timeout for a reply.
REPLY_TIMEOUT_S = 2.0
#: Frequent transitions, and their usual reply: then they are left out of the event log.
_ROUTINE = {"renew": "renewed", "ended": "ended", "unpublished": "unpublished", "published": "recorded"}

#: The transitions of one call: the name, arguments and reply of each.
Transitions = list[tuple[str, list[Any], list[Any]]]
OnTransitions = Callable[[Process, Transitions], None]


class Store:
    """The server, which can be away."""

    def __init__(self, server: StoreServer, names: Mapping[str, str], on_transitions: OnTransitions) -> None:
        self.server = server
        #: Readable names of jobs, by id.
        self.names = names
        self.on_transitions = on_transitions
        self.away = False

    def reached(self) -> StoreServer:
        """The server. Raises ConnectionError while it is away."""
        if self.away:
            raise Refused("connection refused")
        return self.server


class StoreClient:
    """The part of `redis.asyncio.Redis` that `RunStore` uses."""

    def __init__(self, store: Store, process: Process) -> None:
        self._store = store
        self._process = process

    async def execute_command(self, command: str, *args: Any) -> Any:
        """Sends FCALL or FUNCTION LOAD, the only commands that are sent by name."""
        if command == "FUNCTION":
            *_, source = args
            return await self._ask(
                "-loads the library into the store", lambda: self._store.reached().load(source)
            )
        assert command == "FCALL", command
        function, count, *rest = args
        if count:
            return await self._ask(
                f"asks the store for {function.rpartition('_')[0]} of {rest[count]}",
                lambda: self._store.reached().fcall(function, *rest[count:], keys=rest[:count]),
            )
        (blob,) = rest
        calls = msgspec.msgpack.decode(blob)

        def act() -> bytes:
            reply: bytes = self._store.reached().fcall(function, blob)
            happened = [
                (name, given, answer)
                for (name, *given), answer in zip(calls, msgspec.msgpack.decode(reply), strict=True)
            ]
            for name, given, answer in happened:
                self._note([name, *given], answer)
            self._store.on_transitions(self._process, happened)
            return reply

        asked = ", ".join(self._described(call) for call in calls)
        return await self._ask(f"-asks the store to {asked}", act)

    async def hget(self, key: str, name: str) -> Any:
        return await self._ask(f"-read {key}", lambda: self._store.reached().command("HGET", key, name))

    async def hmget(self, key: str, names: Sequence[str], *more: str) -> Any:
        fields = (names, *more) if isinstance(names, str) else names
        return await self._ask(f"-read {key}", lambda: self._store.reached().command("HMGET", key, *fields))

    async def zscan(self, key: str, cursor: int, count: int) -> Any:
        return await self._ask(f"-read {key}", lambda: self._store.reached().command("ZSCAN", key, cursor))

    def pipeline(self, transaction: bool = True) -> "Pipeline":
        return Pipeline(self)

    async def read(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """Sends several commands together. Returns their replies."""

        def act() -> list[Any]:
            found = self._store.reached().replies(commands)
            happened = packed_transitions(commands, found)
            for name, given, answer in happened:
                self._note([name, *given], answer)
            if happened:
                self._store.on_transitions(self._process, happened)
            return found

        named = ", ".join(self._described(call) for call in packed_calls(commands))
        replies: list[Any] = await self._ask(f"-asks the store to {named or 'read'}", act)
        return replies

    async def aclose(self) -> None:
        """Closes nothing: the simulated client has no connections."""

    async def _ask(self, what: str, act: Callable[[], Any]) -> Any:
        return await self._process.ask("store", what, act, _no_reply)

    def _note(self, call: list[Any], answer: list[Any]) -> None:
        # A search that found no run is routine too: it has the server's time after its word.
        found = [answer[0], *answer[2:]] if call[0] == "unpublished" else answer
        if found != [_ROUTINE.get(call[0])]:
            self._process.note(
                f"asks the store to {self._described(call)}: {' '.join(map(str, answer))[:160]}"
            )

    def _described(self, call: list[Any]) -> str:
        named = " ".join(self._store.names.get(arg, arg) for arg in call[1:3] if isinstance(arg, str))
        return f"{call[0]} {named}".strip()


class Pipeline:
    """Commands that are sent together."""

    def __init__(self, client: StoreClient) -> None:
        self._client = client
        self._commands: list[tuple[Any, ...]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._commands.clear()

    def hgetall(self, key: str) -> None:
        self._commands.append(("HGETALL", key))

    def xrange(self, key: str, min: str = "-", max: str = "+") -> None:
        self._commands.append(("XRANGE", key, min, max))

    def exists(self, key: str) -> None:
        self._commands.append(("EXISTS", key))

    def execute_command(self, *command: Any, **_: Any) -> None:
        self._commands.append(command)

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        replies = await self._client.read(self._commands)
        for reply in replies:
            if raise_on_error and isinstance(reply, Exception):
                raise reply
        return replies


def _no_reply(_: Fault) -> tuple[float, Exception]:
    return REPLY_TIMEOUT_S, NoReply("timeout reading from the store")
