"""Starts a run of each pipeline that takes a topic."""

from typing import Annotated

import typer

from mousetrap.cli.options import AsJson, read_input, seconds, time_of
from mousetrap.cli.session import open_api


def publish(
    topic: Annotated[str, typer.Argument(help="Words with dots between them, as orders.created.")],
    given: Annotated[
        str,
        typer.Option("--input", metavar="JSON|@FILE|-", help="The message; - reads it from standard input."),
    ] = "{}",
    key: Annotated[
        str | None,
        typer.Option("--key", help="Idempotency key: repeating it gives the first runs again."),
    ] = None,
    delay: Annotated[
        str | None, typer.Option(metavar="SPAN", help="Begin its runs after this: 90s, 5m, 2h or 3d.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Begin them then: ISO 8601 with an offset."),
    ] = None,
    expires_in: Annotated[
        str | None, typer.Option(metavar="SPAN", help="Begin no job of them after this: 90s, 5m, 2h or 3d.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="A word of your own that is shown with them; can be repeated.")
    ] = None,
    priority: Annotated[
        int | None,
        typer.Option(metavar="0..9", help="Where jobs wait, the highest goes first; 4 is the default."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start a run of each pipeline that takes the topic. Exits 2 when none does, and names the topics that are taken."""
    from mousetrap.api_client import StartOptions
    from mousetrap.cli.output import print_reply
    from mousetrap.cli.tables.pipelines import begun_table

    options = StartOptions(
        unique=key,
        delay=seconds("--delay", delay) if delay else None,
        at=at,
        expires_in=seconds("--expires-in", expires_in) if expires_in else None,
        tags=tuple(tag or ()),
        priority=priority,
    )
    if at:
        time_of("--at", at)
    with open_api(quiet=as_json) as api:
        reply = api.publish(topic, read_input(given), options)
    print_reply(reply, as_json, begun_table)
