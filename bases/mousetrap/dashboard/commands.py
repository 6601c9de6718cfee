"""Writes what a form does as commands for a shell."""

from collections.abc import Mapping, Sequence
from shlex import quote
from urllib.parse import quote as quote_part
from urllib.parse import urlencode

#: Characters of an input in a command; a longer one is a file's name.
_MOST_INPUT = 4_000
_FILE = "input.json"


def curl(
    origin: str, path: Sequence[str], query: Sequence[tuple[str, str]], headers: Mapping[str, str], body: str
) -> str:
    """The request as curl sends it."""
    address = "/".join((origin, *(quote_part(part, safe="") for part in path)))
    words = ["curl", "-X", "POST", quote(f"{address}?{urlencode(query)}" if query else address)]
    for name, value in headers.items():
        # The shell fills in the key: it is not for a page, nor for a shell's history.
        words += ["-H", f'"{name}: {value}"' if "$MOUSETRAP_API_KEY" in value else quote(f"{name}: {value}")]
    if body:
        words += ["--data-binary", quote(body) if len(body) <= _MOST_INPUT else f"@{_FILE}"]
    return " ".join(words)


def mousetrap(words: Sequence[str], options: Sequence[tuple[str, str]], body: str) -> str:
    """The same as our own command line."""
    given = [*options, *([("--input", body if len(body) <= _MOST_INPUT else f"@{_FILE}")] if body else [])]
    # `--name=value`: a value may begin with a hyphen.
    return " ".join(["mousetrap", *map(quote, words), *(_option(name, value) for name, value in given)])


def _option(name: str, value: str) -> str:
    return f"{name}={quote(value)}" if value.startswith("-") else f"{name} {quote(value)}"
