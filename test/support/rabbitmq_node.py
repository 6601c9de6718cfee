"""Runs a private RabbitMQ node from the machine's own package."""

import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from support.packages import install
from support.ports import free_ports
from support.processes import Process, clean_environment
from support.rabbitmq_api import answers
from support.waiting import until

#: Debian's wrappers in /usr/sbin change the user and the folder, and refuse users other than root: go past them.
_DEBIAN = Path("/usr/lib/rabbitmq/bin")
#: Commands as the node does them. Erlang's `erl_call` asks it in 10 ms. rabbitmqctl starts a virtual machine of its own for that: a
#: second, and ten on a busy machine.
_IN_ERLANG = {
    "eval": "{}",
    "stop_app": "ok = rabbit:stop()",
    "start_app": "ok = rabbit:start()",
    # Of 3.x, and of 4.
    "join_cluster": "ok = case code:which(rabbit_db_cluster) of non_existing -> rabbit_mnesia:join_cluster('{0}', disc); "
    "_ -> rabbit_db_cluster:join('{0}', disc) end",
    "set_vm_memory_high_watermark": "ok = vm_memory_monitor:set_vm_memory_high_watermark({})",
}
#: Milliseconds; a delayed message that comes due while its next queue is not there yet is late by so much, and not by the
#: usual three minutes, which is longer than a test may take.
TRIED_AGAIN_MS = 10_000
#: Seconds that a node may take to start: on a machine that does much else, twenty times the usual. Less than pytest's own end
#: of a test's time, so that the error names the node and contains its output.
_START_TIMEOUT_S = 180.0
#: Seconds in which a command is sent again that the node took and did not answer, and between two times.
_UNANSWERED_S, _AGAIN_S = 60.0, 0.2


def programs() -> Path | None:
    """The folder of rabbitmq-server and rabbitmqctl."""
    if (_DEBIAN / "rabbitmq-server").exists():
        return _DEBIAN
    found = shutil.which("rabbitmq-server")
    return Path(found).resolve().parent if found else None


def install_rabbitmq() -> None:
    """Installs Debian's package where we may."""
    install("rabbitmq-server", "RabbitMQ")


class RabbitMQNode:
    """A node that keeps its ports and its data from start to start, until removed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port, self._api_port, self.epmd_port, distribution = free_ports(4)
        self.url = f"amqp://guest:guest@127.0.0.1:{self._port}/"
        self.api = f"http://127.0.0.1:{self._api_port}"
        self._environment = self._configure(distribution)
        self._epmd: Process | None = None
        self._node: Process | None = None
        try:
            self._start_epmd()
            self.start()
        except BaseException:
            self.remove()
            raise

    @property
    def running(self) -> bool:
        return self._node is not None and self._node.running

    @property
    def pid(self) -> int | None:
        return self._node.pid if self._node else None

    def start(self) -> None:
        if self.running:
            return
        self.begin()
        try:
            until(self._answers, f"the private RabbitMQ node at {self.url} answers", _START_TIMEOUT_S)
        except AssertionError as error:
            raise AssertionError(f"{error}; its output:\n{self.output()}") from None

    def begin(self) -> None:
        """Starts its process where none runs, and waits for nothing."""
        if not self.running:
            self.kill()
            self._node = Process([str(_found() / "rabbitmq-server")], self._environment)

    def restart(self) -> None:
        if self._node:
            self._node.terminate(seconds=_START_TIMEOUT_S)
        self.start()

    def kill(self) -> None:
        if self._node:
            self._node.kill()
            self._node = None

    def rabbitmqctl(self, *arguments: str) -> str:
        """What the command prints; AssertionError where it fails."""
        code = _IN_ERLANG.get(arguments[0])
        if code is None or (erl_call := shutil.which("erl_call")) is None:
            done = self._run([str(_found() / "rabbitmqctl"), "--quiet", *arguments])
            failed = done.returncode != 0
        else:
            done = self._evaluate(erl_call, code.format(*arguments[1:]).strip().removesuffix("."))
            failed = not done.stdout or "{failed," in done.stdout
        assert not failed, f"rabbitmqctl {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}"
        return done.stdout

    def _evaluate(self, erl_call: str, code: str) -> subprocess.CompletedProcess[str]:
        """Prints what `rabbitmqctl eval` prints; nothing where the node is away or this is no Erlang.

        Nothing too, and no error, where what does it on the node dies, as on one that was just cut off: then it is sent again.
        """
        whole = f'io:format("~p~n", [try {code} catch Class:Reason -> {{failed, Class, Reason}} end]).\n'
        node = self._environment["RABBITMQ_NODENAME"]
        options = ["-r", "-sname", node, "-timeout", "140", "-fetch_stdout", "-no_result_term", "-e"]
        deadline = time.monotonic() + _UNANSWERED_S
        while True:
            done = self._run([erl_call, *options], whole)
            if done.stdout or done.returncode or time.monotonic() > deadline:
                return done
            time.sleep(_AGAIN_S)

    def _run(self, command: Sequence[str], text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            input=text,
            env=self._environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=150,
        )

    def remove(self) -> None:
        self.kill()
        if self._epmd:
            self._epmd.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _configure(self, distribution: int) -> dict[str, str]:
        folder = self._folder
        (folder / "environment").touch()  # in place of /etc/rabbitmq/rabbitmq-env.conf
        (folder / "plugins").write_text("[rabbitmq_management].")
        (folder / "rabbitmq.conf").write_text(
            f"management.tcp.port = {self._api_port}\nmanagement.tcp.ip = 127.0.0.1\n"
            "disk_free_limit.absolute = 50MB\nlog.file.level = warning\n"
        )
        return clean_environment(
            HOME=str(folder),  # where Erlang keeps its cookie
            ERL_EPMD_PORT=str(self.epmd_port),
            ERL_EPMD_ADDRESS="127.0.0.1",
            RABBITMQ_NODENAME=f"mousetrap-{self._port}@localhost",
            RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
            RABBITMQ_NODE_PORT=str(self._port),
            RABBITMQ_DIST_PORT=str(distribution),
            RABBITMQ_CTL_DIST_PORT_MIN="20000",  # the default, 10000 above ours, may be no port at all
            RABBITMQ_CTL_DIST_PORT_MAX="32000",
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-noinput -start_epmd false -kernel inet_dist_use_interface {127,0,0,1} "
            f"-rabbit dead_letter_worker_publisher_confirm_timeout {TRIED_AGAIN_MS}",
            RABBITMQ_ALLOW_INPUT="1",  # makes the script become the node, so that we kill the node and not its shell
            RABBITMQ_CONF_ENV_FILE=str(folder / "environment"),
            RABBITMQ_CONFIG_FILE=str(folder / "rabbitmq.conf"),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(folder / "plugins"),
            RABBITMQ_MNESIA_BASE=str(folder / "data"),
            RABBITMQ_LOG_BASE=str(folder / "log"),
        )

    def _start_epmd(self) -> None:
        # Ours from the start: the one that Erlang starts by itself is a daemon that nothing ends.
        self._epmd = Process(
            [shutil.which("epmd") or "epmd", "-port", str(self.epmd_port)], self._environment
        )
        until(lambda: _listens(self.epmd_port), "epmd listens")

    def _answers(self) -> bool:
        if not self.running:
            raise AssertionError(f"the private RabbitMQ node at {self.url} ended")
        return answers(self)

    def output(self) -> str:
        """The ends of what it printed and of its logs."""
        logs = [log.read_text(errors="replace") for log in sorted((self._folder / "log").glob("*.log"))]
        return "\n".join(text[-3000:] for text in [self._node.output if self._node else "", *logs])


def _found() -> Path:
    folder = programs()
    assert folder is not None
    return folder


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
