"""Where commands print: tables for people, JSON for programs."""

from typing import IO

import msgspec
from rich.console import Console


def terminal(
    file: IO[str] | None = None, *, width: int | None = None, quiet: bool = False, wrap: bool = True
) -> Console:
    """Standard output, or `file`; what others wrote is never read as markup."""
    return Console(
        file=file, width=width, quiet=quiet, soft_wrap=not wrap, markup=False, highlight=False, emoji=False
    )


def print_json(raw: bytes) -> None:
    """JSON, a field a line."""
    print(msgspec.json.format(raw, indent=2).decode())
