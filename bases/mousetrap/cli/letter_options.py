"""Adds the filter's options to commands that select dead letters."""

import time
from typing import Annotated, Any

import typer

from mousetrap.cli.filtering import filtering_command
from mousetrap.cli.options import seconds


def letter_filter(
    queue: Annotated[str | None, typer.Option(help="Only those that this queue gave up.")] = None,
    reason: Annotated[
        str | None, typer.Option(help="Only those of this reason: max-retries, contract, …")
    ] = None,
    error: Annotated[str | None, typer.Option(help="Only those of this error's class.")] = None,
    text: Annotated[
        str | None, typer.Option(help="Only those whose error has this text in it, in capitals or not.")
    ] = None,
    run: Annotated[str | None, typer.Option(help="Only those of this run: its id, or its beginning.")] = None,
    stage: Annotated[str | None, typer.Option(help="Only those of this stage.")] = None,
    older: Annotated[
        str | None,
        typer.Option("--older-than", metavar="SPAN", help="As 90s, 5m, 2h or 3d; a plain number is seconds."),
    ] = None,
    newer: Annotated[
        str | None,
        typer.Option("--newer-than", metavar="SPAN", help="As 90s, 5m, 2h or 3d; a plain number is seconds."),
    ] = None,
) -> Any:
    """The LetterFilter that these options describe: its class is imported when called."""
    from mousetrap.api_client import LetterFilter

    now = time.time()
    return LetterFilter(
        queue=queue,
        reason=reason,
        error=error,
        text=text,
        run=run,
        stage=stage,
        before_ms=int((now - seconds("--older-than", older)) * 1000) if older else None,
        after_ms=int((now - seconds("--newer-than", newer)) * 1000) if newer else None,
    )


#: A command with these options before its own; the LetterFilter is the `obj` of its context.
FilteringCommand = filtering_command(letter_filter)
