"""Prints tables and JSON, without control characters of others."""

import re
import shlex
import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import IO, Any, TypeVar, cast

import msgspec
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.syntax import Syntax
from rich.text import Text

from mousetrap.api_client import Reply
from mousetrap.telemetry import printable, printable_json

Value = TypeVar("Value")


class _Unpadded:
    """A file that is no terminal, without the spaces that fill a table's lines up."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, text: str) -> int:
        return self._file.write(re.sub(" +\n", "\n", text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _SafeConsole(Console):
    """Shows a replacement for each unsafe character, in any table or text."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(
            printable(text), **options
        )  # so that columns are measured as they are shown

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        if isinstance(renderable, Text) and not renderable.plain.isprintable():
            renderable = renderable.copy()
            renderable.plain = printable(
                renderable.plain
            )  # as long as before, so each style stays in its place
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def terminal(
    file: IO[str] | None = None,
    *,
    width: int | None = None,
    quiet: bool = False,
    wrap: bool = True,
    stderr: bool = False,
) -> Console:
    """Standard output or error, or `file`; no text is read as markup."""
    out = file or (sys.stderr if stderr else sys.stdout)
    return _SafeConsole(
        file=None if out.isatty() else cast(IO[str], _Unpadded(out)),
        width=width,
        quiet=quiet,
        stderr=stderr,
        soft_wrap=not wrap,
        markup=False,
        highlight=False,
        emoji=False,
    )


def print_line(text: str, *, error: bool = False) -> None:
    """Prints a plain line on standard output or error: in one write, for the threads of a supervisor print at the same time."""
    (sys.stderr if error else sys.stdout).write(f"{printable(text)}\n")


def argument(text: str) -> str:
    """`text` quoted for a shell; two dashes go before a text that begins as an option does."""
    return f"{'-- ' if text.startswith('-') else ''}{shlex.quote(text)}"


def print_json(raw: bytes) -> None:
    """JSON, a field a line."""
    print_line(_safe(msgspec.json.format(raw, indent=2)))


def print_json_line(raw: bytes) -> None:
    """JSON that is one line already."""
    print_line(_safe(raw))


def print_reply(reply: Reply[Value], as_json: bool, table: Callable[[Value], RenderableType]) -> None:
    """A reply of the API: as JSON, or as the table that `table` makes of its value."""
    if as_json:
        print_json(reply.json)
    else:
        terminal().print(table(reply.value))


def json_text(value: Any) -> Syntax:
    """A value as coloured JSON."""
    raw = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return Syntax(raw, "json", background_color="default")


def traceback_text(traceback: str) -> Text:
    """A traceback without colours."""
    return Text(traceback.rstrip(), "dim")


def local_time() -> datetime:
    """Now, in this machine's time zone."""
    return datetime.now().astimezone()


def _safe(raw: bytes) -> str:
    unicode = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
    return printable_json(raw.decode(errors="replace"), ascii_only=not unicode)
