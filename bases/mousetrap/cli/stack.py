"""The commands for the stack on this machine: demo, up."""

import os

import typer


def demo() -> None:
    """Run the example pipeline on sample data, in a stack of its own, and clean up."""
    from mousetrap.cli.demo import run_demo

    raise typer.Exit(run_demo(os.environ))


def up() -> None:
    """Start broker, store, API and workers here, and leave them running until Ctrl-C."""
    from mousetrap.cli.up import run_stack

    raise typer.Exit(run_stack(os.environ))
