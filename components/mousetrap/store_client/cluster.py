"""Sends each command to the cluster's server that has its key."""

import asyncio
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mousetrap.store_client.client import StoreClient, shared
from mousetrap.store_client.connection import Command, Server
from mousetrap.store_client.errors import ReplyError
from mousetrap.store_client.slots import Place, SlotMap, key_of, slot_of

#: Redirects of one command: a slot that moves is found with two.
_MOST_REDIRECTS = 5
#: A subscription lasts so long, and the next is with another server: a server that was taken out of the cluster, or cut off from
#: the others, still has its clients, and passes on nothing.
_SUBSCRIBED_S = 10.0
#: The order within one call: functions are there before they are called, and what is notified of was done before.
_WAVES = {"FUNCTION": 0, "PUBLISH": 2}
_USUAL = 1


@dataclass(frozen=True, slots=True, eq=False)
class _Routed:
    """A command, its place among the replies, and the server that it goes to."""

    number: int
    command: Command
    to: Place
    #: Whether the server is to answer for a slot that is on its way to it.
    asking: bool = False


class ClusterClient(StoreClient):
    """Sends each command to the server that has its key, those of one call and one server together.

    1. Which server has which slots is asked of any one: at the first call, after a redirect, and after a server failed. A call
       never waits for that but the first.
    2. Commands for different servers happen in no order, but functions are loaded before the rest, and notifications follow it.
    3. Where some servers fail, their commands have a ReplyError; where all do, the call raises as that of a single server.
    4. Commands of one transaction must have keys of one slot.
    """

    is_cluster = True

    def __init__(self, servers: Sequence[Server]) -> None:
        super().__init__(servers[0])
        self._seeds = [Place(server.address.host, server.address.port) for server in servers]
        self._clients: dict[Place, StoreClient] = {}
        self._map: SlotMap | None = None
        self._refreshing: asyncio.Task[None] | None = None
        #: Which server is subscribed to next; processes begin with different ones.
        self._turn = os.getpid()

    async def pipeline(self, commands: Sequence[Command]) -> list[Any]:
        """The replies; an error of one command, or of the server that has its key, is a ReplyError in the list."""
        replies: dict[int, Any] = {}
        failures: list[OSError] = []
        waves: defaultdict[int, list[tuple[int, Command]]] = defaultdict(list)
        for number, command in enumerate(commands):
            waves[_WAVES.get(str(command[0]), _USUAL)].append((number, command))
        for _, wave in sorted(waves.items()):
            failures += await self._send_wave(wave, replies)
        if failures and all(isinstance(reply, _Unreached) for reply in replies.values()):
            raise failures[0]
        return [replies[number] for number in range(len(commands))]

    async def each(self, *command: Any) -> list[Any]:
        """As of a single server."""
        clients = self._clients
        places = (await self._known()).primaries
        asked = (self._client(place).call(*command) for place in places)
        replies = await asyncio.gather(*asked, return_exceptions=True)
        answered: list[Any] = []
        for place, reply in zip(places, replies, strict=True):
            if isinstance(reply, OSError):
                self._failed(place, clients)
            elif isinstance(reply, BaseException):
                raise reply
            else:
                answered.append(reply)
        if not answered:
            raise replies[0]
        return answered

    async def together(self, commands: Sequence[Command]) -> list[Any]:
        """As of a single server. While the slot is on its way to another one, it raises ConnectionError."""
        key = next(filter(None, map(key_of, commands)))
        to = _primary(await self._known(), key)
        clients = self._clients
        for _ in range(_MOST_REDIRECTS):
            try:
                return await self._client(to).together(commands)
            except ReplyError as error:
                if error.code != "MOVED":
                    raise ConnectionError(str(error)) if error.code == "ASK" else error from None
                to = _named(error, to)
                self._refresh_soon(None)
            except OSError:
                self._failed(to, clients)
                raise
        raise ConnectionError("it was redirected too often")

    async def subscribe(
        self, channels: Sequence[str], receive: Callable[[list[Any]], None], silence_s: float
    ) -> None:
        """As of a single server, but it returns after a while, in which notifications may have been missed."""
        primaries = (await self._known()).primaries
        clients = self._clients
        self._turn += 1
        to = primaries[self._turn % len(primaries)]
        try:
            async with asyncio.timeout(_SUBSCRIBED_S) as lasting:
                await self._client(to).subscribe(channels, receive, silence_s)
        except OSError:
            if not lasting.expired():
                self._failed(to, clients)
                raise

    async def close(self) -> None:
        clients, self._clients = self._clients, {}
        refreshing, self._refreshing = self._refreshing, None
        if refreshing is not None and refreshing.get_loop() is asyncio.get_running_loop():
            refreshing.cancel()
            await asyncio.wait([refreshing])
        for client in clients.values():
            await client.close()

    # One wave of a call

    async def _send_wave(self, wave: Sequence[tuple[int, Command]], replies: dict[int, Any]) -> list[OSError]:
        failures: list[OSError] = []
        routed = _route(wave, await self._known())
        for _ in range(_MOST_REDIRECTS):
            groups: defaultdict[Place, list[_Routed]] = defaultdict(list)
            for it in routed:
                groups[it.to].append(it)
            answers = await asyncio.gather(*(self._send(to, group) for to, group in groups.items()))
            routed = []
            for group, found in zip(groups.values(), answers, strict=True):
                if isinstance(found, OSError):
                    failures.append(found)
                    found = [_Unreached(f"{group[0].to.host}:{group[0].to.port}: {found}")] * len(group)
                routed += _taken(group, found, replies)
            if not routed:
                break
            self._refresh_soon(None)
        for it in routed:
            replies[it.number] = _Unreached("it was redirected too often")
        return failures

    async def _send(self, to: Place, group: Sequence[_Routed]) -> list[Any] | OSError:
        """The replies of one server, or why there are none; what names no key is asked of another one then."""
        sent: list[Command] = []
        for it in group:
            sent += [("ASKING",), it.command] if it.asking else [it.command]
        clients, places = self._clients, [to]
        if self._map and all(_is_for_any(it.command) for it in group):
            places += [place for place in self._map.primaries if place != to]
        failed: OSError | None = None
        for place in places:
            try:
                replies = await self._client(place).pipeline(sent)
            except OSError as error:
                failed = failed or error
                if not self._failed(place, clients):
                    break
            else:
                return [reply for command, reply in zip(sent, replies, strict=True) if command != ("ASKING",)]
        assert failed is not None
        return failed

    # Who has what

    def _client(self, place: Place) -> StoreClient:
        client = self._clients.get(place)
        if client is None:
            at = replace(self._server.address, host=place.host, port=place.port)
            client = self._clients[place] = StoreClient(replace(self._server, address=at))
        return client

    async def _known(self) -> SlotMap:
        if self._map is None:
            self._refresh_soon(None)
            assert self._refreshing is not None
            await shared(self._refreshing)
            assert self._map is not None
        return self._map

    def _failed(self, place: Place, clients: dict[Place, StoreClient]) -> bool:
        """Asks again who has what. False where we were closed meanwhile: other connections would stay open."""
        if self._clients is not clients:
            return False
        self._refresh_soon(place)
        return True

    def _refresh_soon(self, failed: Place | None) -> None:
        """Asks again who has what, unless that is under way; a server that has `failed` is asked last."""
        under_way = self._refreshing
        if under_way is None or under_way.done() or under_way.get_loop() is not asyncio.get_running_loop():
            self._refreshing = asyncio.create_task(self._refresh(failed))
            self._refreshing.add_done_callback(_seen)

    async def _refresh(self, failed: Place | None) -> None:
        known = self._map.primaries if self._map else ()
        places = sorted(dict.fromkeys((*known, *self._seeds)), key=lambda place: place == failed)
        lost: Exception | None = None
        for place in places:
            try:
                found = SlotMap.read(await self._client(place).call("CLUSTER", "SLOTS"), place)
            except ReplyError as error:  # it is no cluster, or forbids us to ask
                lost = ConnectionError(f"{place.host}:{place.port}: {error}")
            except OSError as error:
                lost = lost or error
            else:
                if found.primaries:
                    await self._use(found)
                    return
                lost = lost or ConnectionError("no server of the cluster has any slot")
        assert lost is not None
        raise lost

    async def _use(self, found: SlotMap) -> None:
        self._map = found
        kept = {*found.primaries, *self._seeds}
        for place in [place for place in self._clients if place not in kept]:
            await self._clients.pop(place).close()


class _Unreached(ReplyError):
    """In place of the reply of a server that was not reached."""

    passing = True


def _route(wave: Sequence[tuple[int, Command]], known: SlotMap) -> list[_Routed]:
    """Where each command goes: what names no key goes with the first that does, or to all servers."""
    routed: list[_Routed] = []
    keyless: list[tuple[int, Command]] = []
    for number, command in wave:
        if _is_for_all(command):
            routed += [_Routed(number, command, place) for place in known.primaries]
        elif (key := key_of(command)) is None:
            keyless.append((number, command))
        else:
            routed.append(_Routed(number, command, _primary(known, key)))
    to = routed[0].to if routed else known.primaries[0]
    return [*routed, *(_Routed(number, command, to) for number, command in keyless)]


def _is_for_all(command: Command) -> bool:
    """Whether each server is to do it: to load functions, or to show that they can be called."""
    return command[0] == "FUNCTION" or (command[0] == "FCALL" and not command[2])


def _is_for_any(command: Command) -> bool:
    """Whether one server does it as well as another."""
    return key_of(command) is None and not _is_for_all(command)


def _primary(known: SlotMap, key: Any) -> Place:
    """A slot that no server has is asked of the first one, which answers so."""
    return known.primary_of(slot_of(key)) or known.primaries[0]


def _taken(group: Iterable[_Routed], found: Sequence[Any], replies: dict[int, Any]) -> list[_Routed]:
    """Notes the replies. Gives the commands that another server is to get, as the redirects name it."""
    redirected: list[_Routed] = []
    for it, reply in zip(group, found, strict=True):
        if isinstance(reply, ReplyError) and reply.code in ("MOVED", "ASK"):
            to = _named(reply, it.to)
            redirected.append(_Routed(it.number, it.command, to, asking=reply.code == "ASK"))
        elif it.number not in replies or _weight(it, reply) > _weight(it, replies[it.number]):
            replies[it.number] = reply
    return redirected


def _weight(it: _Routed, reply: Any) -> int:
    """Of the replies of several servers the heaviest counts, which is the first error.

    A server that is away gets functions when one is called there again: the others are not to wait for it.
    """
    if isinstance(reply, _Unreached) and it.command[0] == "FUNCTION":
        return 0
    return 2 if isinstance(reply, ReplyError) else 1


def _named(redirect: ReplyError, asked: Place) -> Place:
    """The server that a redirect names; without a host it is on the one that was asked."""
    host, _, port = str(redirect).split(" ")[2].rpartition(":")
    return Place(host or asked.host, int(port))


def _seen(refreshing: "asyncio.Task[None]") -> None:
    """Retrieves the error of a refresh that nothing waits for: the next call meets the cause itself."""
    if not refreshing.cancelled():
        refreshing.exception()
