"""Ctrl-C while a command still loads ends it quietly."""

from collections.abc import Callable
from pathlib import Path

import pytest

from support.processes import Process

#: Interrupts the process at the import of one module: a signal from here could come when the command has ended already.
_INTERRUPTING = """
import signal
import sys


class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "{module}":
            signal.raise_signal(signal.SIGINT)


sys.meta_path.insert(0, Interrupting())
"""


@pytest.mark.parametrize("module", ["click.core", "typer.main", "mousetrap.cli.app", "rich.console", "httpx"])
def test_ctrl_c_while_a_command_loads_ends_it_quietly_with_130(
    start_base: Callable[..., Process], module: str, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(_INTERRUPTING.format(module=module))

    command = start_base("cli", "demo", PYTHONPATH=str(tmp_path))

    assert command.wait(60) == 130
    assert "Traceback" not in command.output
