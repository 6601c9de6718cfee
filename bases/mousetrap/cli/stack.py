"""The commands for the stack on this machine: demo, up."""

import os
from typing import Annotated

import typer


def demo() -> None:
    """Run the example's pipelines on sample data, in a stack of their own, and clean up."""
    from mousetrap.cli.demo import run_demo

    raise typer.Exit(run_demo(os.environ))


def up(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TARGET", help="Files, folders, modules or packages with tasks to serve, too."
        ),
    ] = None,
) -> None:
    """Start broker, store, API and workers here, and leave them running until Ctrl-C.

    A worker more serves the tasks of the targets, or of MOUSETRAP_MODULES where there are none.
    """
    from mousetrap.cli.up import run_stack

    raise typer.Exit(run_stack(os.environ, targets or ()))
