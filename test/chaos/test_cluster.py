"""Kills and cuts off nodes of a cluster of three."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.deployment import deployed
from chaos.drive import drive
from chaos.faults import OF_A_CLUSTER
from chaos.invariants import assert_all_hold
from mousetrap.embedded_valkey import EmbeddedValkey
from support.rabbitmq_cluster import RabbitMQCluster

# One process starts the cluster, for all its tests.
pytestmark = [pytest.mark.long, pytest.mark.xdist_group("cluster")]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQCluster]:
    three = RabbitMQCluster(tmp_path_factory.mktemp("cluster"))
    yield three
    three.remove()


#: The other cuts of the network take half a minute each, and are for the long form.
_SHORT = ("leader SIGKILL", "quorum lost and regained", "leader cut off alive")


@pytest.mark.parametrize("name", _SHORT)
def test_a_cluster_loses_and_repeats_nothing_when_nodes_die_or_are_cut_off(
    cluster: RabbitMQCluster, own_valkey: EmbeddedValkey, tmp_path: Path, name: str
) -> None:
    with deployed(
        tmp_path, broker=cluster, broker_url=cluster.url, store=own_valkey, workers=2, seed=5
    ) as deployment:
        deployment.start_caller(rate=10.0)
        drive(deployment, [fault for fault in OF_A_CLUSTER if fault.name == name])
        assert_all_hold(deployment.come_to_rest())
