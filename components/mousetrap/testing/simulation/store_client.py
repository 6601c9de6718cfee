"""Simulates the store's client over the simulated network."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from mousetrap.store_client import ReplyError
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
            raise ConnectionError("connection refused")
        return self.server


class StoreClient:
    """The store's client, as `RunStore` uses it."""

    is_cluster = False

    def __init__(self, store: Store, process: Process) -> None:
        self._store = store
        self._process = process

    async def call(self, command: str, *args: Any) -> Any:
        """Sends one command."""
        if command not in ("FUNCTION", "FCALL"):
            return await self._ask(f"-read {args[0]}", lambda: self._store.reached().command(command, *args))
        if command == "FUNCTION":
            *_, source = args
            return await self._ask(
                "-loads the library into the store", lambda: self._store.reached().load(source)
            )
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

    async def pipeline(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Sends several commands together. Returns their replies."""
        if not commands:
            return []

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

    async def together(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Sends several commands that happen together, as all do here."""
        return await self.pipeline(commands)

    async def transaction(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Sends several commands that happen together, as all do here. Raises the first error."""
        replies = await self.pipeline(commands)
        for reply in replies:
            if isinstance(reply, ReplyError):
                raise reply
        return replies

    async def close(self) -> None:
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


def _no_reply(_: Fault) -> tuple[float, Exception]:
    return REPLY_TIMEOUT_S, TimeoutError("timeout reading from the store")
