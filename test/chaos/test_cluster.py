"""On three nodes: a leader that dies is hardly noticed, a lost quorum accepts nothing, and either way nothing is lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.drive import drive
from chaos.faults import OF_A_CLUSTER, Fault
from chaos.invariants import assert_all_hold
from chaos.world import a_world
from mousetrap.embedded_valkey import EmbeddedValkey
from support.rabbitmq_cluster import RabbitMQCluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQCluster]:
    three = RabbitMQCluster(tmp_path_factory.mktemp("cluster"))
    yield three
    three.remove()


@pytest.mark.parametrize("fault", OF_A_CLUSTER, ids=[fault.name for fault in OF_A_CLUSTER])
def test_a_cluster_loses_and_repeats_nothing_when_nodes_die(
    cluster: RabbitMQCluster, own_valkey: EmbeddedValkey, tmp_path: Path, fault: Fault
) -> None:
    with a_world(
        tmp_path, broker=cluster, broker_url=cluster.url, store=own_valkey, workers=2, seed=5
    ) as world:
        world.start_caller(rate=10.0)
        drive(world, [fault])
        assert_all_hold(world.come_to_rest())
