"""Runs three private RabbitMQ nodes as a cluster."""

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import permutations
from pathlib import Path

from support.epmd import registered
from support.proxy import Proxy, open_door
from support.rabbitmq_api import answers
from support.rabbitmq_node import RabbitMQNode
from support.waiting import until

_NODES = 3
#: How often nodes are started again that do not come back, and the seconds that all take at most on a busy machine.
_TRIES, _USUAL_S = 3, 60.0
#: Seconds of silence after which a node takes another one for dead, a quarter more or less; 60 by default.
TICK_S = 8


class RabbitMQCluster:
    """Nodes that trust each other by one cookie, and reach each other by proxies that a test can hold."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.nodes: list[_Member] = []
        self._opened = ExitStack()
        #: The proxies by which the first node of a pair reaches the second.
        self._links: dict[tuple[int, int], Proxy] = {}
        try:
            with ThreadPoolExecutor(_NODES) as starting:
                self.nodes += starting.map(self._member, range(_NODES))
            for pair in permutations(range(_NODES), 2):
                self._links[pair] = self._link(*pair)
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

    def leader(self, queue: str) -> "_Member":
        """The node that leads a queue."""
        which = (
            f'{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"{queue}">>)), '
            "element(2, amqqueue:get_pid(Q))."
        )
        name = self.rabbitmqctl("eval", which).split()[0].strip("'")
        return next(node for node in self.nodes if node.running and _name(node) == name)

    def rabbitmqctl(self, *arguments: str) -> str:
        """What the nodes print that answer, one after the other: a queue's leader knows more than the others.

        A node that was cut off may not answer though it runs: then the others do. AssertionError where none does.
        """
        with ThreadPoolExecutor(_NODES) as asking:
            asked = [asking.submit(node.rabbitmqctl, *arguments) for node in self.nodes if node.running]
        failures = [failure for each in asked if (failure := each.exception())]
        assert len(failures) < len(asked), f"no node answers: {failures}"
        return "".join(each.result() for each in asked if each.exception() is None)

    def start(self, first_look_s: float = _USUAL_S) -> None:
        """Starts whatever does not run; returns once all are members again.

        At once: a node that lost its quorum waits for others before it answers, and so would we for it.

        And again what does not come back by itself, as an operator does. In RabbitMQ 3.10 a node that paused for want of a majority
        starts its broker when it reaches one, and only once: where that node is starting just then as well, it fails
        (`incompatible_feature_flags`). If it was the last to stop, the others wait for its tables, and end after five minutes.
        `first_look_s` is how long they may take before anything is started again.
        """
        for seconds in (first_look_s, *[_USUAL_S] * (_TRIES - 1)):
            for node in self.nodes:
                node.begin()
            with suppress(AssertionError):
                self._wait_until_whole(seconds)
                return
            with ThreadPoolExecutor(_NODES) as starting:
                list(starting.map(_Member.start_app, self.nodes))
        self._wait_until_whole()

    def restart_apps(self) -> None:
        """Stops and starts the broker on each node, one after the other, as `mousetrap doctor` advises."""
        for node in self.nodes:
            node.rabbitmqctl("stop_app")
            node.rabbitmqctl("start_app")
        self._wait_until_whole()

    def cut(self, *pairs: tuple[int, int]) -> None:
        """Lets nothing pass between the two nodes of each pair, either way; all of them live on, and clients reach them."""
        for one, other in pairs:
            self._links[one, other].hold()
            self._links[other, one].hold()

    def wait_until_noticed(self, *pairs: tuple[int, int]) -> None:
        """Returns once both nodes of each pair take the other for dead."""
        for one, other in (*pairs, *(pair[::-1] for pair in pairs)):
            until(
                lambda one=one, other=other: not self._reaches(one, other),  # type: ignore[misc]
                f"node {one} takes node {other} for dead",
            )

    def heal(self) -> None:
        """Lets everything pass; returns once all are members again."""
        for link in self._links.values():
            link.release()
        self.start()

    def remove(self) -> None:
        """Ends all and forgets their data."""
        with ThreadPoolExecutor(_NODES) as ending:
            list(ending.map(RabbitMQNode.remove, self.nodes))
        self._opened.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _member(self, number: int) -> "_Member":
        folder = self._folder / f"node{number}"
        folder.mkdir()
        return _Member(folder, self._folder)

    def _link(self, one: int, other: int) -> Proxy:
        proxy = self._opened.enter_context(open_door(f"tcp://127.0.0.1:{self.nodes[other].distribution}"))
        name = _name(self.nodes[other]).partition("@")[0]
        self._opened.enter_context(registered(self.nodes[one].epmd_port, name, proxy.port))
        return proxy

    def _join(self, node: RabbitMQNode) -> None:
        node.rabbitmqctl("stop_app")
        node.rabbitmqctl("join_cluster", _name(self.nodes[0]))
        node.rabbitmqctl("start_app")

    def _reaches(self, one: int, other: int) -> bool:
        with suppress(AssertionError):  # it does not answer: whom it reaches is not known
            return _name(self.nodes[other]) in self.nodes[one].rabbitmqctl("eval", "nodes().")
        return True

    def _wait_until_whole(self, seconds: float = _USUAL_S) -> None:
        try:
            until(self._is_whole, "all nodes of the cluster run", seconds)
        except AssertionError as error:
            outputs = "".join(f"\n{_name(node)}:\n{node.output()}" for node in self.nodes)
            raise AssertionError(f"{error}; their output:{outputs}") from None

    def _is_whole(self) -> bool:
        with suppress(AssertionError):  # not up yet
            if not all(node.is_up for node in self.nodes):
                return False
            running = [node.rabbitmqctl("eval", "length(rabbit_nodes:all_running()).") for node in self.nodes]
            return all(count.split() == [str(_NODES)] for count in running)
        return False


class _Member(RabbitMQNode):
    """A node with the cluster's cookie in place of its own."""

    def __init__(self, folder: Path, home: Path) -> None:
        self._home = home
        #: The port where other nodes reach it.
        self.distribution = 0
        super().__init__(folder)

    @property
    def is_up(self) -> bool:
        """Whether it takes connections."""
        return self.running and answers(self)

    def start_app(self) -> None:
        """Starts its broker where that does not run; a broker that is starting is not disturbed."""
        if self.running and not self.is_up:
            with suppress(AssertionError, subprocess.TimeoutExpired):
                self.rabbitmqctl("start_app")

    def _configure(self, distribution: int) -> dict[str, str]:
        self.distribution = distribution
        environment = super()._configure(distribution)
        with (self._folder / "rabbitmq.conf").open("a") as configuration:
            configuration.write("cluster_partition_handling = pause_minority\n")
        arguments = environment["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"]
        return {
            **environment,
            "HOME": str(self._home),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{arguments} -kernel net_ticktime {TICK_S}",
        }


def _name(node: RabbitMQNode) -> str:
    port = node.url.rpartition(":")[2].rstrip("/")
    return f"mousetrap-{port}@localhost"
