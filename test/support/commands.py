"""Calls commands beside a stack, again where a server stood still."""

from collections.abc import Callable

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
