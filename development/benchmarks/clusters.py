"""Measures what a job costs on clusters of three.

`PYTHONPATH=development:test .venv/bin/python -m benchmarks.clusters [ROUNDS]` prints a table for docs/scale.md. All nodes are on this
machine, so CPU for each job counts and rates do not: three machines would share it.
"""

import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.chain import work
from benchmarks.contenders import OURS
from benchmarks.place import TROUBLE, Place
from support.rabbitmq_cluster import RabbitMQCluster
from support.rabbitmq_node import RabbitMQNode
from support.valkey import OwnValkey, administrator, empty
from support.valkey_cluster import ValkeyCluster

_RUNS = 3_000
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Servers:
    """A broker and a store, and their processes."""

    name: str
    broker: str
    api: str
    store: str
    pids: Mapping[str, int]
    #: Removes what the store holds of earlier rounds.
    empty: Callable[[], None]


def main(rounds: int) -> None:
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with ExitStack() as opened:
        folder = Path(opened.enter_context(TemporaryDirectory(prefix="mousetrap-clusters-")))
        kinds = list(_servers(opened, folder))
        for number in range(rounds):
            for servers in kinds if number % 2 else kinds[::-1]:
                for part, took in _round(
                    servers, folder / f"{servers.name} {number}".replace(" ", "-")
                ).items():
                    found[servers.name][part].append(took)
    _print(found)


def _servers(opened: ExitStack, folder: Path) -> Iterator[Servers]:
    for name in ("one", "three"):
        (folder / name).mkdir()
    valkey = opened.enter_context(OwnValkey(folder / "valkey"))
    cluster = ValkeyCluster(folder / "cluster", {"appendonly": "yes", "appendfsync": "always"})
    opened.callback(cluster.remove)
    one, three = RabbitMQNode(folder / "one"), RabbitMQCluster(folder / "three")
    opened.callback(one.remove)
    opened.callback(three.remove)
    brokers: dict[str, tuple[str, str, dict[str, int | None]]] = {
        "one node": (one.url, one.api, {"broker": one.pid}),
        "three nodes": (
            three.nodes[0].url,
            three.nodes[0].api,
            {f"broker {n}": node.pid for n, node in enumerate(three.nodes)},
        ),
    }
    stores: dict[str, tuple[str, dict[str, int | None], Callable[[], None]]] = {
        "one Valkey": (administrator(valkey.url), {"store": valkey.pid}, partial(empty, valkey.url)),
        "three with replicas": (
            cluster.url,
            {f"store {n}": node.pid for n, node in enumerate(cluster.nodes)},
            cluster.empty,
        ),
    }
    for broker_name, (broker, api, broker_pids) in brokers.items():
        for store_name, (store, store_pids, emptied) in stores.items():
            pids = {part: pid for part, pid in {**broker_pids, **store_pids}.items() if pid is not None}
            yield Servers(f"{broker_name}, {store_name}", broker, api, store, pids, emptied)


def _round(servers: Servers, folder: Path) -> Mapping[str, float]:
    """µs of CPU for each job, by worker, broker and store; nothing of a round that does not count."""
    folder.mkdir()
    servers.empty()
    given = {"BENCH_BROKER": servers.broker, "BENCH_STORE": servers.store, "BENCH_COUNTS": str(folder)}
    try:
        with Place(
            OURS, servers.api, {**given, "BENCH_HANDLER": "async", "BENCH_SIZE": "64"}, folder
        ) as place:
            done = work(place, _RUNS, 1, servers.pids)
    except TROUBLE as error:
        print(f"{servers.name}: a round does not count: {error}", file=sys.stderr)
        return {}
    took: dict[str, float] = defaultdict(float)
    for part, microseconds in done.cpu.items():
        took[part.partition(" ")[0]] += microseconds
    print(f"{servers.name}: " + ", ".join(f"{part} {us:.0f}" for part, us in took.items()), file=sys.stderr)
    return took


def _print(found: Mapping[str, Mapping[str, list[float]]]) -> None:
    print(
        "| µs of CPU for each job | worker | broker, all nodes | store, all servers |\n|---|---:|---:|---:|"
    )
    for name, parts in found.items():
        cells = " | ".join(_cell(parts[part]) for part in ("worker", "broker", "store"))
        print(f"| {name} | {cells} |")


def _cell(values: list[float]) -> str:
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})" if values else ""


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else _ROUNDS)
