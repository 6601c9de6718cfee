"""Options that several commands have, and how their values are read."""

import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
RunId = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="The run's id, or its beginning: four characters or more that no other run's begins with.",
    ),
]
Modules = Annotated[
    list[str] | None,
    typer.Option(
        "--module",
        metavar="TARGET",
        help="Where the handler is: a file, a module, a folder or module:object. Else the catalogue's workers are searched.",
    ),
]

_SPAN = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhd]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


def seconds(option: str, text: str) -> float:
    """A span of time in seconds: `90s`, `5m`, `2h`, `3d`, or a plain number. Raises Misused, which names the option."""
    span = _SPAN.fullmatch(text)
    if span is None:
        from mousetrap.api_client import Misused

        raise Misused(
            f"{option} {text}: write a span of time as 90s, 5m, 2h or 3d; a plain number is seconds"
        )
    return float(span[1]) * _SECONDS[span[2]]


def time_of(option: str, text: str) -> datetime:
    """A time in ISO 8601 with an offset. Raises Misused, which names the option."""
    from mousetrap.api_client import Misused

    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Misused(
            f"{option} {text}: write ISO 8601 with an offset, as 2026-12-01T08:00+01:00 or 2026-12-01T08:00Z"
        ) from None
    if found.utcoffset() is None:
        raise Misused(f"{option} {text} is without a time zone: add an offset, as {text}+01:00, or Z")
    return found


def moment_ms(option: str, text: str, now_s: float) -> int:
    """Milliseconds since 1970 of a span of time before now, or of a time as `time_of` takes it. Raises Misused."""
    if _SPAN.fullmatch(text):
        return int((now_s - seconds(option, text)) * 1000)
    return int(time_of(option, text).timestamp() * 1000)


def read_input(given: str) -> bytes:
    """The input: JSON itself, @FILE, or - for standard input. Raises Misused for a file that cannot be read, and for no JSON."""
    if given == "-":
        return sys.stdin.buffer.read()
    if not given.startswith("@"):
        return _typed(given)
    try:
        return Path(given[1:]).read_bytes()
    except OSError as error:
        from mousetrap.api_client import Misused

        raise Misused(f"--input {given}: {error.strerror}") from error


def _typed(given: str) -> bytes:
    """JSON of the command line: a text without quotes of its own is what people type first."""
    import msgspec

    raw = given.encode()
    try:
        msgspec.json.decode(raw, type=msgspec.Raw)
    except msgspec.DecodeError as error:
        from mousetrap.api_client import Misused

        raise Misused(
            f"--input is no JSON: {error}; a text has quotes of its own inside those of the shell: --input '\"text\"'"
        ) from None
    return raw
