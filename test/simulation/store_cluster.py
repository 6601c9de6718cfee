"""Simulates a Valkey Cluster of three primaries, each with a replica."""

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

from mousetrap.store_client import ReplyError, StoreClient
from mousetrap.store_client.address import Address
from mousetrap.store_client.cluster import ClusterClient
from mousetrap.store_client.connection import Server
from mousetrap.store_client.slots import SLOTS, Place, key_of, slot_of
from mousetrap.testing.simulation.process import Process
from mousetrap.testing.simulation.store_client import OnTransitions, Store
from mousetrap.testing.simulation.store_client import StoreClient as SimulatedClient
from mousetrap.testing.simulation.store_server import StoreServer

#: Primaries, each with a replica on the port after its own.
PAIRS = 3
#: What a server holds: values by key, their ends, and the last entries of streams.
Held = tuple[dict[bytes, Any], dict[bytes, int], Any]
_HOST, _FIRST_PORT = "cluster", 7000


class Member(StoreServer):
    """One server: a primary, or a replica that serves nothing."""

    def __init__(self, cluster: "StoreCluster", pair: int, place: Place) -> None:
        super().__init__(cluster.now_ms)
        self._cluster = cluster
        self.pair, self.place = pair, place
        self._asked = False

    @property
    def is_primary(self) -> bool:
        return self._cluster.primaries[self.pair] is self

    def live_keys(self) -> list[bytes]:
        return [key for key in list(self._keys) if self._live(key)]

    def has(self, key: Any) -> bool:
        return self._live(key.encode() if isinstance(key, str) else key)

    def copied(self) -> Held:
        """All that it holds, as it is now."""
        return copy.deepcopy((self._keys, self._ends, self._last_entry))

    def hold(self, what: Held) -> None:
        self._keys, self._ends, self._last_entry = what

    def changed_since(self, held: Held) -> set[bytes]:
        """The keys that are others than it held then, without those that are over."""
        before, live = held[0], {key: self._keys[key] for key in self.live_keys()}
        return {key for key in before.keys() | live.keys() if before.get(key) != live.get(key)}

    def give(self, key: bytes, other: "Member") -> None:
        """As MIGRATE."""
        other._keys[key] = self._keys[key]
        if key in self._ends:
            other._ends[key] = self._ends[key]
        other._last_entry[key] = self._last_entry[key]
        self._del(key)

    def load(self, source: str) -> None:
        if not self.is_primary:
            raise ReplyError("READONLY You can't write against a read only replica.")
        for member in self._cluster.pair_of(self):
            super(Member, member).load(source)

    def command(self, name: str, *args: Any) -> Any:
        if name == "CLUSTER":
            return self._cluster.slots()
        return super().command(name, *args)

    def _reply(self, name: str, *args: Any) -> Any:
        if name == "ASKING":
            self._asked = True
            return b"OK"
        asked, self._asked = self._asked, False
        keys = [] if name in ("FUNCTION", "CLUSTER") else _keys((name, *args))
        if keys and (refused := self._cluster.refusal(self, keys, asked=asked)):
            return ReplyError(refused)
        return super()._reply(name, *args)

    def _call_from_lua(self, name: bytes, *args: Any) -> Any:
        key = key_of((name.decode().upper(), *args))
        if key is not None and not self._cluster.may_have(self, slot_of(key)):
            return False, b"ERR Script attempted to access a non local key in a cluster node"
        return super()._call_from_lua(name, *args)


class StoreCluster:
    """The servers, and which of them has which slots. As a server it finds each key where it is."""

    def __init__(
        self,
        now_ms: Callable[[], int],
        later: Callable[[float, Callable[[], None]], Any],
        names: Mapping[str, str],
        on_transitions: OnTransitions,
    ) -> None:
        self.now_ms = now_ms
        self._later = later
        places = [Place(_HOST, _FIRST_PORT + number) for number in range(2 * PAIRS)]
        self.members = [Member(self, number // 2, place) for number, place in enumerate(places)]
        self.primaries = self.members[::2]
        self.stores = {member.place: Store(member, names, on_transitions) for member in self.members}
        #: Pairs whose replica does not get what is written: no slot moves meanwhile.
        self.lagging: set[int] = set()
        #: Slots that were moved, and those on their way: to which pair.
        self._moved: dict[int, int] = {}
        self._moving: dict[int, int] = {}

    # For clients

    def client(self, process: Process) -> StoreClient:
        return _Client(self, process)

    def slots(self) -> list[Any]:
        """As CLUSTER SLOTS, which all servers answer alike."""
        cuts = {pair * SLOTS // PAIRS + (pair * SLOTS % PAIRS > 0) for pair in range(PAIRS)}
        cuts |= {cut for slot in self._moved for cut in (slot, slot + 1)} - {SLOTS}
        begins = sorted(cuts)
        ends = [begin - 1 for begin in (*begins[1:], SLOTS)]
        owners = [self.primaries[self._pair(begin)].place for begin in begins]
        return [
            [begin, end, [owner.host.encode(), owner.port]]
            for begin, end, owner in zip(begins, ends, owners, strict=True)
        ]

    def refusal(self, asked_of: Member, keys: Sequence[Any], *, asked: bool) -> str:
        """What a server answers that is not to do a command; empty from the one that is."""
        slot = slot_of(keys[0])
        if any(slot_of(key) != slot for key in keys):
            return "CROSSSLOT Keys in request don't hash to the same slot"
        owner = self.primaries[self._pair(slot)]
        missing = [key for key in keys if not asked_of.has(key)]
        if slot in self._moving:
            target = self.primaries[self._moving[slot]]
            if asked_of is owner and missing:
                if len(missing) < len(keys):
                    return "TRYAGAIN Multiple keys request during rehashing of slot"
                return f"ASK {slot} {target.place.host}:{target.place.port}"
            if asked_of is target and asked:
                several = len(keys) > 1 and missing
                return "TRYAGAIN Multiple keys request during rehashing of slot" if several else ""
        if asked_of is not owner:
            return f"MOVED {slot} {owner.place.host}:{owner.place.port}"
        return ""

    def may_have(self, member: Member, slot: int) -> bool:
        return member.is_primary and member.pair in (self._pair(slot), self._moving.get(slot))

    # For tests, as a server that has all

    def names(self, prefix: str = "") -> list[str]:
        return [name for member in self.primaries for name in member.names(prefix)]

    def field(self, key: str, name: str) -> str | None:
        return self._with(key).field(key, name)

    def ends_ms(self, key: str) -> int | None:
        return self._with(key).ends_ms(key)

    def command(self, name: str, *args: Any) -> Any:
        return self._with(args[0]).command(name, *args)

    def pair_with(self, key: str) -> int:
        return self._with(key).pair

    def pair_of(self, member: Member) -> list[Member]:
        return [each for each in self.members if each.pair == member.pair]

    # Faults

    @property
    def is_whole(self) -> bool:
        """Whether all servers are there: a new client knows the first primaries alone, which can all be replicas by now."""
        return not any(store.away for store in self.stores.values())

    @property
    def away(self) -> bool:
        """Whether any primary is away, or any slot on its way: some keys cannot be reached."""
        return bool(self._moving) or any(self.stores[member.place].away for member in self.primaries)

    @away.setter
    def away(self, away: bool) -> None:
        for store in self.stores.values():
            store.away = away

    def store_of(self, pair: int) -> Store:
        """That of the primary."""
        return self.stores[self.primaries[pair].place]

    def replace(self, pair: int, held: Held | None = None) -> None:
        """The replica of a primary that is away has its place, with what it `held`, or all; that one is the replica."""
        old = self.primaries[pair]
        new = next(member for member in self.pair_of(old) if member is not old)
        new.hold(held or old.copied())
        old.hold(({}, {}, type(old._last_entry)(lambda: (0, 0))))
        self.primaries[pair] = new
        self.stores[new.place].away = False

    def move(self, slot: int, pair: int, seconds: float) -> None:
        """The slot goes to another pair, key by key, in so many seconds."""
        source = self.primaries[self._pair(slot)]
        assert not self.lagging, "what of a moved slot a replica has is not simulated"
        if slot in self._moving or source.pair == pair:
            return
        self._moving[slot] = pair
        keys = [key for key in source.live_keys() if slot_of(key) == slot]
        for number, key in enumerate(keys, start=1):
            self._later(seconds * number / (len(keys) + 1), partial(self._move_key, key))
        self._later(seconds, lambda: self._arrived(slot))

    def _move_key(self, key: bytes) -> None:
        slot = slot_of(key)
        source, target = self.primaries[self._pair(slot)], self.primaries[self._moving[slot]]
        if source.has(key) and not self.stores[source.place].away and not self.stores[target.place].away:
            source.give(key, target)

    def _arrived(self, slot: int) -> None:
        source, target = self.primaries[self._pair(slot)], self.primaries[self._moving[slot]]
        if self.stores[source.place].away or self.stores[target.place].away:
            self._later(1.0, lambda: self._arrived(slot))
            return
        for key in source.live_keys():
            if slot_of(key) == slot:
                source.give(key, target)
        self._moved[slot] = self._moving.pop(slot)

    # Who has what

    def _pair(self, slot: int) -> int:
        return self._moved.get(slot, slot * PAIRS // SLOTS)

    def _with(self, key: str) -> Member:
        slot = slot_of(key)
        owner = self.primaries[self._pair(slot)]
        if slot in self._moving and not owner.has(key):
            return self.primaries[self._moving[slot]]
        return owner


class _MemberClient(SimulatedClient):
    """The client of one server."""

    async def together(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        replies = await self.pipeline(commands)
        for reply in replies:  # a redirect refuses all of a transaction
            if isinstance(reply, ReplyError) and reply.code in ("MOVED", "ASK", "TRYAGAIN"):
                raise reply
        return replies


class _Client(ClusterClient):
    """The cluster's own client, over a simulated one for each server."""

    def __init__(self, cluster: StoreCluster, process: Process) -> None:
        seeds = ",".join(f"{member.place.host}:{member.place.port}" for member in cluster.members[::2])
        super().__init__([Server(at) for at in Address.parse_all(f"valkey://{seeds}")])
        self._cluster = cluster
        self._process = process

    def _client(self, place: Place) -> StoreClient:
        if place not in self._clients:
            client: Any = _MemberClient(self._cluster.stores[place], self._process)
            self._clients[place] = client
        return self._clients[place]


def _keys(command: Sequence[Any]) -> list[Any]:
    if command[0] == "FCALL":
        return list(command[3 : 3 + command[2]])
    key = key_of(cast(Any, command))
    return [] if key is None else [key]
