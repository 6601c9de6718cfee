"""Declares the options with which runs start."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mousetrap.cli.options import seconds

if TYPE_CHECKING:
    from mousetrap.api_client import StartOptions

Input = Annotated[
    str,
    typer.Option("--input", metavar="JSON|@FILE|-", help="The input; - reads it from standard input."),
]
Batch = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|-",
        help='Start a run for each line: {"input": …}, with id, unique, delay, at, expires_in, priority or tags beside it.',
    ),
]
Key = Annotated[
    str | None, typer.Option("--key", help="Idempotency key: repeating it gives the first run again.")
]
OwnId = Annotated[str | None, typer.Option("--id", help="The id that the run will have.")]
Delay = Annotated[str | None, typer.Option(metavar="SPAN", help="Begin it after this: 90s, 5m, 2h or 3d.")]
At = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Begin it then: ISO 8601 with an offset, as 2026-12-01T08:00+01:00."),
]
ExpiresIn = Annotated[
    str | None,
    typer.Option(
        metavar="SPAN", help="Begin no job of it after this: 90s, 5m, 2h or 3d; a plain number is seconds."
    ),
]
Tags = Annotated[
    list[str] | None, typer.Option(help="A word of your own that is shown with it; can be repeated.")
]
Priority = Annotated[
    int | None,
    typer.Option(metavar="0..9", help="Where jobs wait, the highest goes first; 4 is the default."),
]


def start_options(
    *, delay: str | None, expires_in: str | None, tag: list[str] | None, **others: Any
) -> "StartOptions":
    """The options as the API's client takes them. Raises Misused, which names the option."""
    from mousetrap.api_client import StartOptions

    return StartOptions(
        delay=seconds("--delay", delay) if delay else None,
        expires_in=seconds("--expires-in", expires_in) if expires_in else None,
        tags=tuple(tag or ()),
        **others,
    )
