"""Kills and cuts off nodes of a cluster of three."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from chaos.collect import messages_in
from chaos.deployment import deployed
from chaos.drive import drive
from chaos.faults import OF_A_CLUSTER
from chaos.invariants import assert_all_hold
from chaos.ladder import make_it_forget, set_ladder_going
from mousetrap.embedded_valkey import EmbeddedValkey
from mousetrap.job_queue import QueueOptions, connect, open_channel, overdue_rungs
from mousetrap.jobs import Message
from support.inbox import Inbox
from support.rabbitmq_cluster import RabbitMQCluster
from support.rabbitmq_node import RabbitMQNode
from support.waiting import until

# One process starts the cluster, for all its tests.
pytestmark = [pytest.mark.long, pytest.mark.xdist_group("cluster")]


class _Lent:
    """One cluster for test after test, and another one where a test left it broken or with messages."""

    def __init__(self, new_folder: Callable[[], Path]) -> None:
        self._new_folder = new_folder
        self._cluster: RabbitMQCluster | None = None

    def lend(self) -> RabbitMQCluster:
        if self._cluster is None or not self._is_as_new(self._cluster):
            self.remove()
            self._cluster = RabbitMQCluster(self._new_folder())
        return self._cluster

    def remove(self) -> None:
        if self._cluster is not None:
            self._cluster.remove()
            self._cluster = None

    def _is_as_new(self, cluster: RabbitMQCluster) -> bool:
        try:
            cluster.heal()
            until(lambda: not any(messages_in(cluster).values()), "its queues are empty", 15)
        except AssertionError as error:
            print(f"the cluster is replaced: {error}")
            return False
        return True


@pytest.fixture(scope="module")
def lent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Lent]:
    lent = _Lent(lambda: tmp_path_factory.mktemp("cluster"))
    yield lent
    lent.remove()


@pytest.fixture
def cluster(lent: _Lent) -> RabbitMQCluster:
    """Three nodes that run and see each other, with empty queues, whatever became of the test before."""
    return lent.lend()


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


def test_nodes_that_wait_for_one_whose_broker_stays_down_come_back_once_that_is_started(
    cluster: RabbitMQCluster,
) -> None:
    *two, last = cluster.nodes
    for node in two:
        node.kill()
    until(lambda: _has_paused(last), "the last node pauses, for want of a majority")
    # As after a start of its own that failed: nothing tries it again, and the others wait for its tables.
    last.rabbitmqctl("eval", "exit(whereis(rabbit_outside_app_process), kill).")

    cluster.start(first_look_s=5.0)

    assert all(node.is_up for node in cluster.nodes)


@pytest.mark.test_timeout(200)
async def test_rungs_that_the_broker_forgot_are_named_and_lose_nothing(cluster: RabbitMQCluster) -> None:
    open_channel(cluster.url, ["work"]).close()  # making all queues may take longer than a publish waits
    assert overdue_rungs(cluster.url, QueueOptions()) == []

    make_it_forget(cluster, "mousetrap.delay.0")
    async with connect(cluster.url, ["work"], name="test") as queue:
        for n in range(3):
            await queue.publish("work", Message(f"m{n}", b"x"), after=0.1)
    assert "mousetrap.delay.0" in overdue_rungs(cluster.url, QueueOptions())

    set_ladder_going(cluster)

    async with connect(cluster.url, ["work"], name="test") as queue:
        inbox = Inbox()
        await queue.consume("work", 10, inbox)
        assert sorted(await inbox.acknowledge(3)) == ["m0", "m1", "m2"]


def _has_paused(node: RabbitMQNode) -> bool:
    with suppress(AssertionError):  # it does not answer
        return node.rabbitmqctl("eval", "mnesia:system_info(is_running).").split() == ["no"]
    return False
