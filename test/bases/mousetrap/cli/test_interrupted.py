"""Ctrl-C while a command still loads ends it quietly."""

import signal
from collections.abc import Callable

import pytest

from support.processes import Process


@pytest.mark.parametrize("module", ["click.core", "typer.main", "mousetrap.cli.app", "rich.console", "httpx"])
def test_ctrl_c_while_a_command_loads_ends_it_quietly_with_130(
    start_base: Callable[..., Process], module: str
) -> None:
    command = start_base("cli", "demo", PYTHONPROFILEIMPORTTIME="1")
    command.wait_for_line(f" {module}")

    command.send(signal.SIGINT)

    assert command.wait(60) == 130
    assert "Traceback" not in command.output
