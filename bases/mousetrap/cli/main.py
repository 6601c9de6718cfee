"""Runs a command, and returns its exit code."""

import io
import logging
import os
import re
import sys
from collections.abc import Sequence

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """0 ok, 1 the run or a check failed, 2 bad usage or settings, 3 something cannot be reached, 4 a run has not
    ended within `--wait`, 130 Ctrl-C.

    What is named by an id or a name and does not exist is bad usage.
    """
    try:
        return _run(sys.argv[1:] if arguments is None else list(arguments))
    except KeyboardInterrupt:
        return _INTERRUPTED


def _run(given: list[str]) -> int:
    _accept_any_text()
    # A command prints its error itself; without a handler Python would print the bricks' warnings too.
    logging.getLogger("mousetrap").addHandler(logging.NullHandler())
    try:
        # Only now: a Ctrl-C while this loads, for 0.2 s, ends without a traceback.
        from mousetrap.cli.app import app

        _check(given)
        app(given, prog_name="mousetrap")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except BrokenPipeError:  # as with `mousetrap runs --json | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still to be flushed
        return 1
    except Exception as error:
        code = _exit_code(error)
        if code is None:
            raise
        from mousetrap.cli.output import print_line

        print_line(f"mousetrap: {error}", error=True)
        return code
    return 0


def _exit_code(error: Exception) -> int | None:
    """The code for an error whose text is written for people; None for one that is a defect of ours."""
    # Imported only now: they take longer to load than a short command takes to run.
    from mousetrap.api_client import CommandFailed
    from mousetrap.jobs import MousetrapError
    from mousetrap.settings import SettingsWrong

    if isinstance(error, CommandFailed):
        return error.code
    if isinstance(error, SettingsWrong):
        return 2
    return 3 if isinstance(error, MousetrapError) else None


def _accept_any_text() -> None:
    """Makes standard output print an escape for a character that its encoding lacks, as standard error does."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _check(arguments: Sequence[str]) -> None:
    for place, argument in enumerate(arguments, start=1):
        if fault := _fault(argument):
            from mousetrap.api_client import Misused

            raise Misused(f"argument {place} {fault}")
        if argument.startswith("--"):
            _check_option(argument.partition("=")[0])


def _check_option(name: str) -> None:
    """Raises Misused for an option of another task queue, with ours."""
    from mousetrap.worker_flags import OTHER_OPTIONS

    if name in OTHER_OPTIONS:
        from mousetrap.api_client import Misused

        raise Misused(f"{name}: here it is {OTHER_OPTIONS[name]}")


def _fault(argument: str) -> str | None:
    try:
        argument.encode()
    except UnicodeEncodeError:
        return f"is not UTF-8: {argument!a}"
    # Ignoring an empty filter, id or key would select more than was asked for.
    return (
        "is empty: is a variable of your shell not set?" if re.fullmatch(r"(--[a-z-]+=)?", argument) else None
    )
