"""Starts a run of each pipeline that takes a topic."""

from typing import Annotated

import typer

from mousetrap.cli.options import AsJson, read_input, time_of
from mousetrap.cli.session import open_api
from mousetrap.cli.start_options import Priority, start_options


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
    priority: Priority = None,
    as_json: AsJson = False,
) -> None:
    """Start a run of each pipeline that takes the topic. Exits 2 when none does, and names the topics that are taken."""
    from mousetrap.cli.output import print_reply
    from mousetrap.cli.tables.pipelines import begun_table

    options = start_options(unique=key, delay=delay, at=at, expires_in=expires_in, tag=tag, priority=priority)
    if at:
        time_of("--at", at)
    with open_api(quiet=as_json) as api:
        reply = api.publish(topic, read_input(given), options)
    print_reply(reply, as_json, begun_table)
