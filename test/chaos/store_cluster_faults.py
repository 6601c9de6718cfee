"""Defines the faults of a store that is a cluster."""

import time
from collections.abc import Mapping, Sequence

from chaos.calls import read_calls
from chaos.deployment import Deployment
from chaos.faults import Fault, Span, Timed
from chaos.worker import LEASE
from mousetrap.run_store.keys import OPENED, packed_run_key
from mousetrap.store_client.slots import slot_of
from support.valkey_cluster import Node, ValkeyCluster

#: Until servers take one that does not answer for dead, and elect its replica: 15 s by default.
_NODE_TIMEOUT_S = 4.0
#: What a server of it keeps outlives its process.
OPTIONS: Mapping[str, str | int] = {"cluster-node-timeout": int(_NODE_TIMEOUT_S * 1000), "appendonly": "yes"}
#: Runs whose slots move: the newest, with their work under way.
_MOVED = 20
#: For so long a replica gets nothing before its primary dies; and about what is written down of a run, its records change at
#: most so many seconds earlier or later.
_LAG_S, _MARGIN_S = 1.0, 6.0


def kill_a_primary(deployment: Deployment) -> Span:
    """The others elect its replica; it comes back as a replica."""
    cluster = _cluster(deployment)
    with Timed() as timed:
        primary = _some_primary(deployment)
        primary.kill()
        cluster.wait_until_replaced(primary)
    deployment.done_after(timed.span.end, 60)
    cluster.make_whole()
    return timed.span


def kill_a_primary_ahead_of_its_replica(deployment: Deployment) -> Span:
    """What it did in the last second dies with it: the worst that a lagging replica can do."""
    cluster = _cluster(deployment)
    with Timed() as timed:
        primary = _some_primary(deployment)
        slots = primary.slots()
        cluster.cut_off_replica_of(primary)
        time.sleep(_LAG_S)
        primary.kill()
        lost = Span(timed.begin - _MARGIN_S, time.monotonic() + _MARGIN_S)
        cluster.wait_until_replaced(primary)
    deployment.done_after(timed.span.end, 60)
    cluster.make_whole()
    deployment.forget(_changed(deployment, lost, slots))
    return timed.span


def _changed(deployment: Deployment, span: Span, slots: Sequence[tuple[int, int]]) -> set[str]:
    """The runs of these slots that something happened to at the time."""
    lines = [(line.run, line.at) for line in deployment.ledger.all()]
    lines += [(entry.run, entry.at) for entry in read_calls(deployment.folder / "calls.jsonl")]
    runs = {run for run, at in lines if span.begin < at < span.end}
    return {run for run in runs if any(a <= slot_of(packed_run_key(run)) <= b for a, b in slots)}


def pause_a_primary(deployment: Deployment) -> Span:
    """It wakes up when another one has its place, with what clients sent meanwhile, and believes that it is still its own."""
    cluster = _cluster(deployment)
    with Timed() as timed:
        primary = _some_primary(deployment)
        primary.pause()
        cluster.wait_until_replaced(primary)
    deployment.done_after(timed.span.end, 60)
    primary.resume()
    cluster.make_whole()
    return timed.span


def pause_a_primary_shortly(deployment: Deployment) -> Span:
    """For longer than clients wait for a reply, and for less than the others take to replace it."""
    with Timed() as timed:
        primary = _some_primary(deployment)
        primary.pause()
        time.sleep(_NODE_TIMEOUT_S / 2)
        primary.resume()
    return timed.span


def restart_a_primary(deployment: Deployment) -> Span:
    """It is back, with what it kept, before the others take it for dead."""
    with Timed() as timed:
        primary = _some_primary(deployment)
        primary.kill()
        primary.start()
        _cluster(deployment).make_whole()
    return timed.span


def kill_a_replica(deployment: Deployment) -> Span:
    cluster = _cluster(deployment)
    with Timed() as timed:
        cluster.replica_of(_some_primary(deployment)).kill()
        time.sleep(LEASE)
        cluster.make_whole()
    return timed.span


def hand_over(deployment: Deployment) -> Span:
    """A primary gives its slots to its replica, as before an upgrade of its machine."""
    with Timed() as timed:
        _cluster(deployment).hand_over(_some_primary(deployment))
    return timed.span


def move_slots(deployment: Deployment) -> Span:
    """Those of the newest runs, and that of the list that all submissions write to."""
    runs = dict.fromkeys(line.run for line in reversed(deployment.ledger.all()))
    with Timed() as timed:
        for key in [OPENED, *map(packed_run_key, list(runs)[:_MOVED])]:
            _cluster(deployment).move(key)
    return timed.span


OF_A_STORE_CLUSTER: tuple[Fault, ...] = (
    Fault("primary SIGKILL", "primary replaced", kill_a_primary),
    Fault("primary SIGKILL, replica behind", "primary replaced", kill_a_primary_ahead_of_its_replica),
    Fault("primary paused past its replacement", "primary replaced", pause_a_primary),
    Fault("primary SIGKILL, back at once", "primary restarted", restart_a_primary),
    Fault("primary paused shortly", "primary paused", pause_a_primary_shortly),
    Fault("primary handed over", "primary handed over", hand_over),
    Fault("replica SIGKILL", "replica killed", kill_a_replica),
    Fault("slots moved", "slots moved", move_slots),
)


def _some_primary(deployment: Deployment) -> Node:
    primaries = _cluster(deployment).primaries()
    return deployment.chance.choice(sorted(primaries, key=lambda node: node.port))


def _cluster(deployment: Deployment) -> ValkeyCluster:
    assert isinstance(deployment.store, ValkeyCluster)
    return deployment.store
