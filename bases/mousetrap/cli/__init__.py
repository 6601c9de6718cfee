"""The terminal edge: `mousetrap` starts the stack, triggers and shows runs, serves stages and finds what is wrong."""

from mousetrap.cli.main import main

__all__ = ["main"]
