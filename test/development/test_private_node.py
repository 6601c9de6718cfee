"""Tests the private node of `make dev`, without one."""

from pathlib import Path

import pytest

import private_node


def test_ctrl_c_while_the_node_starts_is_an_exit_code_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(private_node, "programs", lambda: Path("/usr/lib/rabbitmq/bin"))
    monkeypatch.setattr(private_node, "RabbitMQNode", interrupted)

    assert private_node.main(["true"]) == 130
