"""Kills and cuts off nodes of a cluster of three."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.deployment import deployed
from chaos.drive import drive
from chaos.faults import OF_A_CLUSTER
from chaos.invariants import assert_all_hold
from chaos.ladder import set_ladder_going
from mousetrap.embedded_valkey import EmbeddedValkey
from mousetrap.job_queue import QueueOptions, connect, open_channel, overdue_rungs
from mousetrap.jobs import Message
from support.inbox import Inbox
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
        # The broker itself can forget rungs of the delay ladder. What waits there must be neither lost nor repeated.
        set_ladder_going(cluster)
        assert_all_hold(deployment.come_to_rest())


@pytest.mark.test_timeout(200)
async def test_rungs_that_the_broker_forgot_are_named_and_lose_nothing(cluster: RabbitMQCluster) -> None:
    open_channel(cluster.url, ["work"]).close()  # making all queues may take longer than a publish waits
    assert overdue_rungs(cluster.url, QueueOptions()) == []

    _make_it_forget(cluster, "mousetrap.delay.0")
    async with connect(cluster.url, ["work"], name="test") as queue:
        for n in range(3):
            await queue.publish("work", Message(f"m{n}", b"x"), after=0.1)
    assert "mousetrap.delay.0" in overdue_rungs(cluster.url, QueueOptions())

    set_ladder_going(cluster)

    async with connect(cluster.url, ["work"], name="test") as queue:
        inbox = Inbox()
        await queue.consume("work", 10, inbox)
        assert sorted(await inbox.acknowledge(3)) == ["m0", "m1", "m2"]


def _make_it_forget(cluster: RabbitMQCluster, queue: str) -> None:
    """What a node does that was elected, began to serve the rung, and lost its office before it was registered.

    The leader registers the late one in place of its own, which is not asked again; the late one ends, since it does not
    lead. In RabbitMQ 3.10 it takes all others of its node with it.
    """
    leader = cluster.leader(queue)
    follower = next(node for node in cluster.nodes if node is not leader)
    follower.rabbitmqctl(
        "eval",
        f'supervisor:start_child(rabbit_fifo_dlx_sup, [rabbit_misc:r(<<"/">>, queue, <<"{queue}">>)]).',
    )
