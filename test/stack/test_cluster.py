"""On three RabbitMQ nodes one may die while runs are under way."""

from concurrent.futures import ThreadPoolExecutor

from stack.composed import Composed

RUNS = 200
NODES = ("rabbitmq", "rabbitmq2", "rabbitmq3")


def test_a_node_is_killed_during_two_hundred_runs_and_every_run_completes(
    cluster: Composed, clients: ThreadPoolExecutor
) -> None:
    victim = _leader(cluster, "start_fetch")
    survivor = next(node for node in NODES if node != victim)
    with cluster.held_feed():
        accepted = [clients.submit(cluster.submit, f"run {number}") for number in range(RUNS)]
        cluster.until_running(10)
        cluster.kill(victim)
        # Two nodes are enough to accept what is asked for from here on.
        run_ids = [run.result() for run in accepted]

    cluster.assert_all_accounted_for(run_ids, node=survivor)
    cluster.compose("start", victim)
    cluster.up("--no-recreate")
    cluster.assert_all_accounted_for(run_ids, node=victim)


def _leader(cluster: Composed, queue: str) -> str:
    """The service whose node leads the queue, which all three hold."""
    listed = cluster.rabbitmqctl(
        "list_queues", "--vhost", "mousetrap", "--no-table-headers", "name", "leader", "members"
    )
    rows = {row.split("\t")[0]: row.split("\t")[1:] for row in listed.splitlines()}
    leader, members = rows[queue]
    assert all(f"rabbit@rabbitmq{number}" in members for number in (1, 2, 3)), members
    return NODES[int(leader.strip("'")[-1]) - 1]
