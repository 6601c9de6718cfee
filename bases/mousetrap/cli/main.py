"""Runs the command that was asked for and turns how it ended into an exit code."""

import sys

from mousetrap.cli.commands import app
from mousetrap.cli.failures import exit_code


def main() -> int:
    """0 ok, 1 the run or a check failed, 2 bad usage or settings, 3 something cannot be reached, 130 Ctrl-C."""
    try:
        app(prog_name="mousetrap")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise
        print(f"mousetrap: {error}", file=sys.stderr)
        return code
    return 0
