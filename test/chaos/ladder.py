"""Makes a cluster forget rungs, and sets them going again."""

from collections.abc import Callable

from mousetrap.job_queue import QueueOptions, overdue_rungs
from support.rabbitmq_cluster import RabbitMQCluster

#: A restart makes new leaders, and can meet the same fault of the broker.
_TRIES = 3


def set_ladder_going(cluster: RabbitMQCluster, say: Callable[[str], None] = print) -> None:
    """Restarts the nodes, one after the other, while a rung passes nothing on: docs/guarantees.md has the cause.

    Raises AssertionError when that does not help.
    """
    for _ in range(_TRIES):
        overdue = overdue_rungs(cluster.url, QueueOptions())
        if not overdue:
            return
        say(f"the broker forgot {', '.join(overdue)}: restarting its nodes")
        cluster.restart_apps()
    overdue = overdue_rungs(cluster.url, QueueOptions())
    assert not overdue, f"{overdue} pass nothing on after {_TRIES} restarts of each node"


def make_it_forget(cluster: RabbitMQCluster, queue: str) -> None:
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
