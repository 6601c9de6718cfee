"""Runs the command that was asked for and turns how it ended into an exit code."""

import io
import logging
import os
import re
import sys
from collections.abc import Sequence

from mousetrap.cli.commands import app
from mousetrap.cli.failures import Misused, exit_code


def main() -> int:
    """0 ok, 1 the run or a check failed, 2 bad usage or settings, 3 something cannot be reached, 130 Ctrl-C."""
    _accept_any_text()
    # A command says itself what is wrong; without a handler Python would print warnings of the bricks before it.
    logging.getLogger("mousetrap").addHandler(logging.NullHandler())
    try:
        _check(sys.argv[1:])
        app(prog_name="mousetrap")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except BrokenPipeError:  # as with `mousetrap runs --json | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to flush
        return 1
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise
        from mousetrap.cli.output import say

        say(f"mousetrap: {error}", error=True)
        return code
    return 0


def _accept_any_text() -> None:
    """Lets standard output show what its encoding has no character for as an escape, as standard error does."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _check(arguments: Sequence[str]) -> None:
    for place, argument in enumerate(arguments, start=1):
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise Misused(f"argument {place} is not UTF-8: {argument!a}") from None
        # To leave out a filter, an id or a key in silence would do more than was meant.
        if re.fullmatch(r"(--[a-z-]+=)?", argument):
            raise Misused(f"argument {place} is empty: is a variable of your shell not set?")
