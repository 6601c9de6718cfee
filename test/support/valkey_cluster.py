"""Runs a Valkey Cluster of three primaries, each with a replica."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mousetrap.embedded_valkey.executable import find_executable
from mousetrap.embedded_valkey.server import _RIGHTS, _guard
from mousetrap.store_client import ReplyError, ask_blocking
from mousetrap.store_client.slots import SLOTS
from support.ports import free_ports
from support.waiting import until

#: One process of a parallel run starts the cluster, for all its tests.
ON_ONE_CLUSTER = pytest.mark.xdist_group("valkey_cluster")
_PASSWORD = "for-the-tests-alone"
_REPLY_TIMEOUT_S = 30.0
#: Until servers take one that does not answer for dead. Long: on a busy machine none may be replaced that lives, unless a test
#: asks for it.
_NODE_TIMEOUT_MS = 60_000


class Node:
    """One server."""

    def __init__(self, directory: Path, ports: tuple[int, int], options: Mapping[str, str | int]) -> None:
        directory.mkdir(parents=True)
        self._directory = directory
        self.port, self.bus = ports
        self._options = options
        users = (
            f"user default on >{_PASSWORD} ~* &* +@all",
            f"user mousetrap on >{_PASSWORD} {_RIGHTS}",
            f"user administrator on >{_PASSWORD} ~* &* +@all",
        )
        (directory / "users.acl").write_text("\n".join([*users, ""]))
        self._process = self._run()
        #: Ends it when this process ends in any way.
        self._ending = _guard(self._process.pid)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, *command: str | bytes | int) -> Any:
        """The reply to a command of an administrator."""
        (reply,) = ask_blocking(f"valkey://default:{_PASSWORD}@{self.host}/0", [command], _REPLY_TIMEOUT_S)
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    def slots(self) -> list[tuple[int, int]]:
        """The ranges that it has."""
        found = self.ask("CLUSTER", "SLOTS")
        return [(start, end) for start, end, primary, *_ in found if primary[1] == self.port]

    def answers(self) -> bool:
        try:
            return bool(self.ask("PING") == b"PONG")
        except (OSError, ReplyError):
            return False

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """Ends it at once, as a crash would."""
        for process in (self._ending, self._process):
            process.kill()
            process.communicate()

    def pause(self) -> None:
        """It does nothing, and its connections stay open, until `resume`."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def start(self) -> None:
        """Starts it again; it joins its cluster by what it wrote down of that."""
        self._process = self._run()
        self._ending = _guard(self._process.pid)

    def _run(self) -> subprocess.Popen[bytes]:
        options = {
            "bind": "127.0.0.1",
            "port": self.port,
            "cluster-port": self.bus,
            "cluster-enabled": "yes",
            "cluster-node-timeout": _NODE_TIMEOUT_MS,
            "dir": self._directory,
            "aclfile": self._directory / "users.acl",
            "primaryauth": _PASSWORD,
            "save": "",
            "repl-diskless-sync-delay": 0,
            "maxmemory-policy": "noeviction",
            **self._options,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        with (self._directory / "valkey.log").open("ab") as log:
            return subprocess.Popen(
                [str(find_executable()), *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "GLIBC_TUNABLES": "glibc.malloc.arena_max=1"},
            )


class ValkeyCluster:
    """Three primaries, each with a replica, until `remove`; `options` are those of a server."""

    def __init__(self, directory: Path, options: Mapping[str, str | int] | None = None) -> None:
        ports = free_ports(12)
        self.nodes = [
            Node(directory / str(n), (ports[2 * n], ports[2 * n + 1]), options or {}) for n in range(6)
        ]
        for node in self.nodes:
            until(node.answers, f"{node.host} answers")
        self._share_slots()
        self._introduce()
        self._add_replicas()

    @property
    def url(self) -> str:
        """Its address, for our own user."""
        return f"valkey://mousetrap:{_PASSWORD}@{','.join(node.host for node in self.nodes[:3])}/0"

    def primary_of(self, key: str) -> Node:
        """The server that has the key now."""
        slot = next(node for node in self.nodes if node.is_alive()).ask("CLUSTER", "KEYSLOT", key)
        return next(
            node
            for node in self.nodes
            if node.is_alive()
            and any(
                start <= slot <= end and primary[1] == node.port
                for start, end, primary, *_ in node.ask("CLUSTER", "SLOTS")
            )
        )

    def primaries(self) -> list[Node]:
        return [node for node in self.nodes if node.is_alive() and node.ask("ROLE")[0] == b"master"]

    def replica_of(self, primary: Node) -> Node:
        """A replica that has all that its primary had."""
        _, offset, *_ = primary.ask("ROLE")
        return until(
            lambda: next((node for node in self.nodes if _has_all_of(node, primary, offset)), None),
            f"a replica follows {primary.host}",
        )

    def promote_replica_of(self, primary: Node) -> None:
        """The replica of a primary that was killed takes over, as it does by itself once the others take that one for dead."""
        replica = next(node for node in self.nodes if node.is_alive() and _follows(node, primary))
        replica.ask("CLUSTER", "FAILOVER", "TAKEOVER")
        self.wait_until_replaced(primary)

    def wait_until_replaced(self, primary: Node) -> None:
        """Returns once all others know another server in its place."""
        others = [node for node in self.nodes if node is not primary and node.is_alive()]
        until(lambda: all(primary.port not in _primary_ports(node) for node in others), "all know")

    def hand_over(self, primary: Node) -> None:
        """A primary that lives gives its slots to its replica, as before an upgrade of its machine."""
        replica = self.replica_of(primary)
        until(lambda: replica.ask("CLUSTER", "FAILOVER") == b"OK", "the replica begins to take over")
        self.wait_until_replaced(primary)

    def cut_off_replica_of(self, primary: Node) -> None:
        """Its replica gets nothing of what it writes from now on."""
        replica = self.replica_of(primary)
        replica.ask("CONFIG", "SET", "primaryauth", "not the password")
        primary.ask("CLIENT", "KILL", "TYPE", "replica")
        until(lambda: replica.ask("ROLE")[3] != b"connected", "the replica is cut off")

    def move(self, key: str) -> None:
        """Moves the slot of the key to another server, its keys one by one."""
        source = self.primary_of(key)
        target = next(node for node in self.primaries() if node is not source)
        slot = _begin_to_move(key, source, target)
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 1):
            _migrate(source, target, *keys)
        for node in (target, source, *self.primaries()):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", _id(target))

    @contextmanager
    def moving(self, key: str) -> Iterator[Callable[..., None]]:
        """The slot of the key is on its way to another server in this block; a function moves keys of it. They are deleted after it."""
        source = self.primary_of(key)
        target = next(node for node in self.primaries() if node is not source)
        slot = _begin_to_move(key, source, target)
        try:
            yield partial(_migrate, source, target)
        finally:
            for node in (source, target):
                node.ask("FLUSHALL")
                node.ask("CLUSTER", "SETSLOT", slot, "STABLE")

    @contextmanager
    def announcing(self, ports: Mapping[Node, int]) -> Iterator[None]:
        """The primaries name `localhost` and these ports in this block, as with TLS before them. Their replicas get nothing meanwhile."""
        _announce(ports, "hostname", "localhost")
        until(lambda: _announced(ports) == {("localhost", port) for port in ports.values()}, "all know")
        try:
            yield
        finally:
            _announce(dict.fromkeys(ports, 0), "ip", "")
            until(lambda: _announced(ports) == {("127.0.0.1", node.port) for node in ports}, "all know")

    def make_whole(self) -> None:
        """Starts those that were killed, as replicas of those that took over."""
        for node in self.nodes:
            if not node.is_alive():
                node.start()
        for node in self.nodes:
            until(node.answers, f"{node.host} answers")
            node.ask("CONFIG", "SET", "primaryauth", _PASSWORD)
        for primary in until(self._three, "three primaries"):
            self.replica_of(primary)
        for node in self.nodes:  # one that begins again as a primary serves nothing for two seconds
            until(lambda node=node: _is_whole(node), f"{node.host} knows all")  # type: ignore[misc]

    def empty(self) -> None:
        """Deletes what it holds."""
        for node in self.primaries():
            node.ask("FLUSHALL")

    def remove(self) -> None:
        for node in self.nodes:
            node.kill()

    def _three(self) -> "list[Node] | None":
        primaries = self.primaries()
        return primaries if len(primaries) == 3 else None

    def _share_slots(self) -> None:
        share = SLOTS // 3 + 1
        for number, node in enumerate(self.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number < 3:
                node.ask("CLUSTER", "ADDSLOTSRANGE", number * share, min(number * share + share, SLOTS) - 1)

    def _introduce(self) -> None:
        for node in self.nodes:
            for other in self.nodes:
                if node is not other:
                    node.ask("CLUSTER", "MEET", "127.0.0.1", other.port, other.bus)
        for node in self.nodes:
            until(lambda node=node: _is_whole(node), f"{node.host} knows all")  # type: ignore[misc]

    def _add_replicas(self) -> None:
        for primary, replica in zip(self.nodes[:3], self.nodes[3:], strict=True):
            replica.ask("CLUSTER", "REPLICATE", primary.ask("CLUSTER", "MYID").decode())
        for primary in self.nodes[:3]:
            self.replica_of(primary)


def _id(node: Node) -> str:
    return str(node.ask("CLUSTER", "MYID").decode())


def _begin_to_move(key: str, source: Node, target: Node) -> int:
    """The slot of the key, which is on its way from now on."""
    slot: int = source.ask("CLUSTER", "KEYSLOT", key)
    target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", _id(source))
    source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", _id(target))
    return slot


def _migrate(source: Node, target: Node, *keys: str | bytes) -> None:
    login = ("AUTH2", "default", _PASSWORD)
    source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, *login, "KEYS", *keys)


def _announce(ports: Mapping[Node, int], kind: str, name: str) -> None:
    for node, port in ports.items():
        node.ask(
            *("CONFIG", "SET", "cluster-announce-hostname", name, "cluster-announce-port", port),
            *("cluster-preferred-endpoint-type", kind),
        )


def _announced(nodes: Iterable[Node]) -> set[tuple[str, int]]:
    """What clients get as the places of the primaries, from any of these servers."""
    found = (primary for node in nodes for _, _, primary, *_ in node.ask("CLUSTER", "SLOTS"))
    return {(host.decode(), port) for host, port, *_ in found}


def _is_whole(node: Node) -> bool:
    info = node.ask("CLUSTER", "INFO").decode()
    return "cluster_state:ok" in info and "cluster_known_nodes:6" in info


def _primary_ports(node: Node) -> list[int]:
    return [primary[1] for _, _, primary, *_ in node.ask("CLUSTER", "SLOTS")]


def _follows(node: Node, primary: Node) -> bool:
    role = node.ask("ROLE")
    return bool(role[0] == b"slave" and role[2] == primary.port)


def _has_all_of(node: Node, primary: Node, offset: int) -> bool:
    """Whether the node is a replica that has got so many bytes of its primary's writes."""
    if not node.is_alive() or not _follows(node, primary):
        return False
    *_, link, received = node.ask("ROLE")
    return bool(link == b"connected" and received >= offset)
