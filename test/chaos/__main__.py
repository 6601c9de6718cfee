"""Runs the long form: ten thousand jobs and two hundred faults.

`make chaos`, or `python -m chaos [--seed N] [--only FAULT;…] [--chapter NAME]` with `test` on the path.
"""

import argparse
import datetime
import importlib.metadata
import math
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from chaos.controlled import Controlled
from chaos.deployment import Deployment, deployed
from chaos.drive import drive, schedule
from chaos.fan_faults import FAN_FAULTS, FAN_FAULTS_ON_CLUSTERS, FAN_FAULTS_ON_THE_EMBEDDED_QUEUE
from chaos.faults import AT_POINTS, FAULTS, OF_A_CLUSTER, ON_THE_EMBEDDED_QUEUE, Fault
from chaos.invariants import breaches
from chaos.ladder import set_ladder_going
from chaos.report import Chapter, tables, write_into
from chaos.skew import SKEWS_S
from chaos.store_cluster_faults import OF_A_STORE_CLUSTER, OPTIONS
from support.rabbitmq_cluster import RabbitMQCluster
from support.rabbitmq_node import RabbitMQNode
from support.valkey import OwnValkey, console
from support.valkey_cluster import ValkeyCluster

_PAGE = Path(__file__).parents[2] / "docs" / "guarantees.md"
#: Runs a second that a caller submits, and one whose runs are of the version before.
_RATE, _RATE_OF_BEFORE = 12.0, 1.0
#: The same while there are fan-outs, and how many of ten thousand children there are then.
_RATE_BESIDE_FANS, _LARGE_FANS = 3.0, 1
#: Seconds until such a fan-out has ended once the faults are over.
_LARGE_FAN_S = 600.0
#: How often each fault strikes; those that take long strike less often.
_COUNTS = {
    "worker SIGKILL": 30,
    "scheduler SIGKILL": 10,
    "all schedulers SIGKILL": 5,
    "queue paused": 4,
    "all workers SIGKILL": 10,
    "worker paused past its leases": 4,
    "zombie": 6,
    "rolling SIGTERM": 5,
    "blocked loop": 4,
    "job that kills its workers": 6,
    "job that eats memory": 3,
    "isolated job that kills its process": 4,
    "broker stop_app, start_app": 4,
    "broker SIGKILL": 5,
    "broker memory alarm": 4,
    "broker disk alarm": 4,
    "queues full": 4,
    "queue deleted": 2,
    "broker TCP cut": 10,
    "store TCP cut": 8,
    "broker TCP half open": 2,
    "broker TCP slow": 4,
    "acknowledgements lost": 6,
    "confirms lost": 6,
    "store SIGKILL": 6,
    "store paused": 4,
    "store out of memory": 4,
    "leader SIGKILL": 4,
    "quorum lost and regained": 2,
    "leader cut off alive": 2,
    "leader cut off for a moment": 4,
    "one link cut": 2,
    "all links cut": 2,
    "rungs forgotten": 1,
    "caller killed, input put": 5,
    "caller killed, run recorded": 5,
    "caller killed, first job sent": 5,
    "primary SIGKILL": 6,
    "primary SIGKILL, replica behind": 4,
    "primary SIGKILL, back at once": 4,
    "primary paused past its replacement": 4,
    "primary paused shortly": 4,
    "primary handed over": 4,
    "replica SIGKILL": 3,
    "slots moved": 6,
}


def main() -> int:
    options = argparse.ArgumentParser(description="Runs the chaos suite's long form.")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only", help="faults by name, separated by semicolons, once each; writes no page")
    options.add_argument("--chapter", choices=_CHAPTERS)
    options.add_argument("--keep", type=Path, help="an empty folder for ledger, effects and logs")
    chosen = options.parse_args()
    chapters, codes = [], []
    with tempfile.TemporaryDirectory(prefix="mousetrap-chaos-") as folder:
        for name, run_chapter in _CHAPTERS.items():
            if chosen.chapter in (None, name):
                chapters.append(run_chapter(chosen.keep or Path(folder), chosen.seed, chosen.only))
                codes.append(_judge(chapters[-1]))  # at once: what comes next takes long, and may not end
    report = tables(chapters, _facts(chosen.seed))
    print(report, flush=True)
    if chosen.only is None and chosen.chapter is None:
        write_into(_PAGE, report)
    return max(codes)


def on_rabbitmq(folder: Path, seed: int, only: str | None) -> Chapter:
    """A private node."""
    broker = RabbitMQNode(_made(folder / "rabbitmq"))
    try:
        with _attacked(folder, "rabbitmq", seed, broker, broker.url) as deployment:
            return _chapter("RabbitMQ", deployment, _chosen(only, seed, FAULTS, share=1, kills=3, aborts=2))
    finally:
        broker.remove()


def on_the_embedded_queue(folder: Path, seed: int, only: str | None) -> Chapter:
    """One Valkey server as queue and store."""
    with _attacked(folder, "embedded", seed) as deployment:
        faults = _chosen(only, seed, ON_THE_EMBEDDED_QUEUE, share=0.2, kills=1, aborts=0)
        return _chapter("embedded queue", deployment, faults)


def on_a_cluster(folder: Path, seed: int, only: str | None) -> Chapter:
    """Three private nodes."""
    cluster = RabbitMQCluster(_made(folder / "cluster"))
    try:
        with _attacked(folder, "cluster", seed, cluster, cluster.url) as deployment:
            return _chapter(
                "cluster of three", deployment, _chosen(only, seed, OF_A_CLUSTER, share=1, kills=0, aborts=0)
            )
    finally:
        cluster.remove()


def on_a_store_cluster(folder: Path, seed: int, only: str | None) -> Chapter:
    """A private node, and a store of three primaries with a replica each."""
    broker = RabbitMQNode(_made(folder / "store-cluster-broker"))
    store = ValkeyCluster(folder / "store-cluster", OPTIONS)
    try:
        with _attacked(folder, "store-cluster", seed, broker, broker.url, store) as deployment:
            faults = _chosen(only, seed, OF_A_STORE_CLUSTER, share=1, kills=1, aborts=0)
            return _chapter("store of three", deployment, faults)
    finally:
        store.remove()
        broker.remove()


def fans_on_rabbitmq(folder: Path, seed: int, only: str | None) -> Chapter:
    """Runs that fan out, on a private node."""
    broker = RabbitMQNode(_made(folder / "fans-rabbitmq"))
    try:
        with _attacked(folder, "fans", seed, broker, broker.url) as deployment:
            return _fan_chapter("fan-outs on RabbitMQ", deployment, _of_fans(only, seed, FAN_FAULTS))
    finally:
        broker.remove()


def fans_on_the_embedded_queue(folder: Path, seed: int, only: str | None) -> Chapter:
    """The same on one Valkey server as queue and store."""
    with _attacked(folder, "fans-embedded", seed) as deployment:
        faults = _of_fans(only, seed, FAN_FAULTS_ON_THE_EMBEDDED_QUEUE)
        return _fan_chapter("fan-outs on the embedded queue", deployment, faults)


def fans_on_clusters(folder: Path, seed: int, only: str | None) -> Chapter:
    """The same on three nodes, with a store of three primaries with a replica each."""
    cluster = RabbitMQCluster(_made(folder / "fans-cluster"))
    store = ValkeyCluster(folder / "fans-store-cluster", OPTIONS)
    try:
        with _attacked(folder, "fans-clusters", seed, cluster, cluster.url, store) as deployment:
            return _fan_chapter(
                "fan-outs on clusters", deployment, _of_fans(only, seed, FAN_FAULTS_ON_CLUSTERS)
            )
    finally:
        store.remove()
        cluster.remove()


@contextmanager
def _attacked(
    folder: Path,
    name: str,
    seed: int,
    broker: Controlled | None = None,
    broker_url: str | None = None,
    cluster: ValkeyCluster | None = None,
) -> Iterator[Deployment]:
    """A deployment of three workers, with a store of its own unless one is given, which is the queue too where there is no broker."""
    with (
        nullcontext(cluster) if cluster else OwnValkey(folder / f"{name}-store") as store,
        deployed(
            _made(folder / f"{name}-deployment"),
            broker=broker,
            broker_url=broker_url or store.url,
            store=store,
            workers=3,
            seed=seed,
        ) as deployment,
    ):
        yield deployment


_CHAPTERS: dict[str, Callable[[Path, int, str | None], Chapter]] = {
    "rabbitmq": on_rabbitmq,
    "embedded": on_the_embedded_queue,
    "cluster": on_a_cluster,
    "store_cluster": on_a_store_cluster,
    "fans": fans_on_rabbitmq,
    "fans_embedded": fans_on_the_embedded_queue,
    "fans_clusters": fans_on_clusters,
}


def _chosen(
    only: str | None, seed: int, among: Sequence[Fault], *, share: float, kills: int, aborts: int
) -> list[Fault]:
    """The faults that the command line names, or a share of all."""
    if only is not None:
        named = (*among, *AT_POINTS["kill"], *AT_POINTS["abort"])
        return schedule(dict.fromkeys(only.split(";"), 1), 0, 0, seed, among=named)
    counts = {name: math.ceil(count * share) for name, count in _COUNTS.items()}
    return schedule(counts, kills, aborts, seed, among=among)


def _of_fans(only: str | None, seed: int, among: Sequence[Fault]) -> list[Fault]:
    """The faults that the command line names, or each once."""
    names = only.split(";") if only is not None else [fault.name for fault in among]
    return schedule(dict.fromkeys(names, 1), 0, 0, seed, among=among)


def _chapter(title: str, deployment: Deployment, faults: Sequence[Fault]) -> Chapter:
    if not isinstance(deployment.store, ValkeyCluster):  # which keeps no such runs
        deployment.start_caller_of_before(_RATE_OF_BEFORE)
    deployment.start_schedulers()
    deployment.start_caller(_RATE)
    return _suffered(title, deployment, faults)


def _fan_chapter(title: str, deployment: Deployment, faults: Sequence[Fault]) -> Chapter:
    """A fan-out of ten thousand children is under way while the faults strike, in smaller ones for the most part."""
    deployment.start_caller(_RATE_BESIDE_FANS)
    large = deployment.submit("large_fan", _LARGE_FANS)
    return _suffered(title, deployment, faults, large)


def _suffered(
    title: str, deployment: Deployment, faults: Sequence[Fault], large: Sequence[str] = ()
) -> Chapter:
    begin = time.monotonic()
    applied, missed = [], []
    for number, fault in enumerate(faults, start=1):
        print(f"{number}/{len(faults)}", end=" ", flush=True)
        try:
            applied += drive(deployment, [fault])
        except AssertionError as error:  # the other faults are worth knowing about too
            missed.append(str(error))
            print(error, flush=True)
    if isinstance(deployment.broker, RabbitMQCluster):
        set_ladder_going(deployment.broker)
    print("coming to rest", flush=True)
    deployment.wait_for_end(list(large), _LARGE_FAN_S)
    history = deployment.come_to_rest()
    return Chapter(
        title=title,
        servers=f"{_rabbitmq(deployment)}, {_valkey(deployment)}",
        applied=applied,
        missed=missed,
        history=history,
        ended_workers=len(deployment.pool.ends),
        seconds=time.monotonic() - begin,
    )


def _judge(chapter: Chapter) -> int:
    found = {**breaches(chapter.history), **({"missed": chapter.missed} if chapter.missed else {})}
    for name, lines in found.items():
        print(f"{chapter.title}: {name}: {len(lines)} breaches", *lines[:20], sep="\n    ", file=sys.stderr)
    if not found:
        print(f"{chapter.title}: no breach, {len(chapter.applied)} faults", flush=True)
    return int(bool(found))


def _facts(seed: int) -> dict[str, str]:
    return {
        "Seed": str(seed),
        "on": datetime.date.today().isoformat(),
        "wall clocks of processes": ", ".join(f"{skew / 3600:+.0f} h" for skew in SKEWS_S),
        "with Python": platform.python_version(),
        "pika": importlib.metadata.version("pika"),
    }


def _rabbitmq(deployment: Deployment) -> str:
    if deployment.broker is None:
        return "no RabbitMQ"
    return f"RabbitMQ {deployment.broker.rabbitmqctl('version').split()[0]}"


def _valkey(deployment: Deployment) -> str:
    with console(deployment.store.url) as client:
        return f"Valkey {client.info('server')['valkey_version']}"


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    sys.exit(main())
