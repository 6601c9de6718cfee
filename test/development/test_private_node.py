"""Tests the private node of `make dev`, without one."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

import private_node

ROOT = Path(__file__).parents[2]


def test_ctrl_c_while_the_node_starts_is_an_exit_code_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(private_node, "programs", lambda: Path("/usr/lib/rabbitmq/bin"))
    monkeypatch.setattr(private_node, "RabbitMQNode", interrupted)

    assert private_node.main(["true"]) == 130


def test_a_node_that_ends_by_itself_is_started_again(tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    class Node:
        running = False

        def begin(self) -> None:
            self.running = True
            begun.touch()

    command = ["sh", "-c", f"until [ -e {begun} ]; do sleep 0.05; done; exit 7"]

    assert private_node._run(command, os.environ, Node()) == 7


def test_a_taken_port_is_named_before_any_server_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [ROOT / "tools" / "dev"],
            env={**os.environ, "MOUSETRAP_API_PORT": str(port), "DOCKER_HOST": "unix:///nowhere"},
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )

    assert done.returncode == 2
    assert done.stderr == (
        f"dev: the API cannot listen on 127.0.0.1:{port} (Address already in use): "
        f"choose another port, as MOUSETRAP_API_PORT={port + 1}, or 0 for a free one\n"
    )
