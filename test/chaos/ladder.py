"""Sets the rungs going that a cluster forgot, as the doctor advises."""

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
