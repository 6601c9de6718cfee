"""Prints the version of what runs."""

import typer

#: The distribution that has this base; a checkout is none.
_WHEEL = "mousetrap-cli"


def print_version(asked: bool) -> None:
    """Prints it, and ends the command, where it was asked for."""
    if not asked:
        return
    from importlib.metadata import PackageNotFoundError, version

    from mousetrap.cli.output import print_line

    try:
        print_line(f"mousetrap {version(_WHEEL)}")
    except PackageNotFoundError:
        print_line("mousetrap of a checkout, which has no version: `git log -1` shows where it is")
    raise typer.Exit
