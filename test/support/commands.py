"""Calls commands beside a stack, again where a server stood still."""

import subprocess
from collections.abc import Callable, Sequence
from typing import Any

from support.processes import Process
from support.waiting import until

#: The exit code of a command that reached no API, or one without its broker or store.
_AWAY = 3


def called(start: Callable[..., Process], *arguments: str) -> Process:
    """The command, once it has ended otherwise than for want of a server: a busy machine's may stand still for seconds."""

    def ended() -> Process | None:
        command = start("cli", *arguments)
        return None if command.wait() == _AWAY else command

    return until(ended, f"`mousetrap {' '.join(arguments)}` meets its servers")


def completed(command: Sequence[str], **how: Any) -> "subprocess.CompletedProcess[str]":
    """The same with the command's own input and output."""

    def ended() -> "subprocess.CompletedProcess[str] | None":
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, **how)
        return None if done.returncode == _AWAY else done

    return until(ended, f"`{' '.join(command)}` meets its servers")
