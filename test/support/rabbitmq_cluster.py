"""Three private RabbitMQ nodes of this machine's own package, joined into a cluster that pauses its minority."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from support.ports import free_ports
from support.processes import Process, clean_environment
from support.rabbitmq_node import RabbitMQNode
from support.waiting import until

_NODES = 3


class RabbitMQCluster:
    """Nodes that find each other by one epmd and trust each other by one cookie, all of them ours."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (self._epmd_port,) = free_ports(1)
        self._epmd = Process(
            [shutil.which("epmd") or "epmd", "-port", str(self._epmd_port)],
            clean_environment(ERL_EPMD_ADDRESS="127.0.0.1", HOME=str(folder)),
        )
        self.nodes: list[RabbitMQNode] = []
        try:
            with ThreadPoolExecutor(_NODES) as starting:
                self.nodes += starting.map(self._member, range(_NODES))
            for node in self.nodes[1:]:
                self._join(node)
        except BaseException:
            self.remove()
            raise

    @property
    def url(self) -> str:
        """All nodes in one address."""
        hosts = ",".join(node.url.partition("@")[2].rstrip("/") for node in self.nodes)
        return f"amqp://guest:guest@{hosts}/"

    def leader(self, queue: str) -> RabbitMQNode:
        """The node that leads a queue."""
        which = (
            f'{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"{queue}">>)), '
            "element(2, amqqueue:get_pid(Q))."
        )
        name = self.rabbitmqctl("eval", which).split()[0].strip("'")
        return next(node for node in self.nodes if node.running and _name(node) == name)

    def rabbitmqctl(self, *arguments: str) -> str:
        """What all nodes that run answer, one after the other: a queue's leader knows more than the others."""
        with ThreadPoolExecutor(_NODES) as asking:
            running = [node for node in self.nodes if node.running]
            return "".join(asking.map(lambda node: node.rabbitmqctl(*arguments), running))

    def start(self) -> None:
        """Starts whatever does not run; returns once all are members again.

        At once: a node that lost its quorum waits for others before it answers, and so would we for it.
        """
        with ThreadPoolExecutor(_NODES) as starting:
            list(starting.map(RabbitMQNode.start, self.nodes))
        until(self._is_whole, "all nodes of the cluster run", seconds=85)

    def remove(self) -> None:
        """Ends all and forgets their data."""
        with ThreadPoolExecutor(_NODES) as ending:
            list(ending.map(RabbitMQNode.remove, self.nodes))
        self._epmd.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _member(self, number: int) -> RabbitMQNode:
        folder = self._folder / f"node{number}"
        folder.mkdir()
        return _Member(folder, self._folder, self._epmd_port)

    def _join(self, node: RabbitMQNode) -> None:
        node.rabbitmqctl("stop_app")
        node.rabbitmqctl("join_cluster", _name(self.nodes[0]))
        node.rabbitmqctl("start_app")

    def _is_whole(self) -> bool:
        with suppress(AssertionError):  # not up yet
            running = [node.rabbitmqctl("eval", "length(rabbit_nodes:all_running()).") for node in self.nodes]
            return all(count.split() == [str(_NODES)] for count in running)
        return False


class _Member(RabbitMQNode):
    """A node with the cluster's epmd and cookie in place of its own."""

    def __init__(self, folder: Path, home: Path, epmd_port: int) -> None:
        self._home = home
        self._shared_epmd_port = epmd_port
        super().__init__(folder)

    def _configure(self, distribution: int) -> dict[str, str]:
        environment = super()._configure(distribution)
        with (self._folder / "rabbitmq.conf").open("a") as configuration:
            configuration.write("cluster_partition_handling = pause_minority\n")
        return {**environment, "HOME": str(self._home), "ERL_EPMD_PORT": str(self._shared_epmd_port)}

    def _start_epmd(self) -> None:
        """The cluster has one."""


def _name(node: RabbitMQNode) -> str:
    port = node.url.rpartition(":")[2].rstrip("/")
    return f"mousetrap-{port}@localhost"
