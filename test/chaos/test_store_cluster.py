"""Replaces and moves servers of a store that is a cluster."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.deployment import deployed
from chaos.drive import drive
from chaos.invariants import assert_all_hold
from chaos.store_cluster_faults import OF_A_STORE_CLUSTER, OPTIONS
from chaos.workload import RATE
from support.rabbitmq import OwnRabbitMQ, virtual_host
from support.valkey_cluster import ValkeyCluster

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyCluster]:
    """Its servers replace each other."""
    six = ValkeyCluster(tmp_path_factory.mktemp("store_cluster"), OPTIONS)
    yield six
    six.remove()


#: In parts, so that none takes minutes.
_PARTS = {
    "replaced": ("primary SIGKILL", "primary SIGKILL, replica behind"),
    "back or moved": (
        "primary paused past its replacement",
        "primary paused shortly",
        "primary SIGKILL, back at once",
        "primary handed over",
        "replica SIGKILL",
        "slots moved",
    ),
}


@pytest.mark.parametrize("part", _PARTS)
def test_a_store_of_three_loses_and_repeats_nothing_but_what_no_replica_had(
    own_rabbitmq: OwnRabbitMQ, cluster: ValkeyCluster, tmp_path: Path, part: str
) -> None:
    cluster.empty()
    with (
        virtual_host(own_rabbitmq) as url,
        deployed(
            tmp_path, broker=own_rabbitmq, broker_url=url, store=cluster, workers=3, seed=7
        ) as deployment,
    ):
        deployment.start_caller(RATE)
        drive(deployment, [fault for fault in OF_A_STORE_CLUSTER if fault.name in _PARTS[part]])
        assert_all_hold(deployment.come_to_rest())
