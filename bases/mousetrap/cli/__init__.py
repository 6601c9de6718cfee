"""The terminal edge, `mousetrap`."""

from mousetrap.cli.main import main

__all__ = ["main"]
