"""Runs a command beside a RabbitMQ node of its own.

`PYTHONPATH=test python development/private_node.py COMMAND…`; the node and what it holds are gone afterwards. Where no RabbitMQ can be
had, the command runs without one: then the embedded Valkey is its queue. Where we are root, Debian's package is installed once.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from support.rabbitmq_node import RabbitMQNode, install_rabbitmq, programs

#: Of a command that Ctrl-C ended.
_INTERRUPTED = 130
#: Between two looks at whether the node runs.
_LOOK_S = 1.0


def main(command: Sequence[str]) -> int:
    """The command's exit code."""
    try:
        return _run_beside(command)
    except KeyboardInterrupt:  # before the command had begun
        return _INTERRUPTED


def _run_beside(command: Sequence[str]) -> int:
    if programs() is None:
        install_rabbitmq()
    if programs() is None:
        print("dev: this machine has no RabbitMQ, so the embedded Valkey is the queue", file=sys.stderr)
        return _run(command, os.environ)
    with TemporaryDirectory(prefix="mousetrap-node-") as folder:
        node = RabbitMQNode(Path(folder))
        try:
            print(f"dev: RabbitMQ is at {node.url}, its pages at {node.api} (guest, guest)", file=sys.stderr)
            return _run(command, {**os.environ, "MOUSETRAP_BROKER_URL": node.url}, node)
        finally:
            node.remove()


class _Node(Protocol):
    """A node, as far as it is watched."""

    @property
    def running(self) -> bool: ...

    def begin(self) -> None: ...


def _run(command: Sequence[str], environment: Mapping[str, str], node: _Node | None = None) -> int:
    """Ends after the command: its workers finish on a broker that is there, and a node that ends by itself is started again."""
    child = subprocess.Popen(command, env=environment)
    signal.signal(signal.SIGINT, lambda *_: None)  # a terminal sends Ctrl-C to the command as well
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    while True:
        try:
            return child.wait(_LOOK_S)
        except subprocess.TimeoutExpired:
            if node is not None and not node.running:
                print(
                    "dev: RabbitMQ ended by itself; it is started again, with what it held", file=sys.stderr
                )
                node.begin()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
