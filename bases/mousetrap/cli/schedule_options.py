"""Adds the members of a schedule to commands."""

from typing import Annotated, Any

import typer

from mousetrap.cli.filtering import filtering_command
from mousetrap.cli.options import read_input, seconds


def schedule_members(
    pipeline: Annotated[str | None, typer.Option(help="The pipeline that it starts.")] = None,
    cron: Annotated[
        str | None, typer.Option(metavar="'30 2 * * *'", help="Five fields; for seconds there is --every.")
    ] = None,
    tz: Annotated[
        str | None, typer.Option(metavar="ZONE", help="The zone of --cron, as Europe/Berlin.")
    ] = None,
    every: Annotated[
        str | None, typer.Option(metavar="SPAN", help="The distance: 30s, 15m, 2h or 1d.")
    ] = None,
    given: Annotated[
        str | None,
        typer.Option("--input", metavar="JSON|@FILE|-", help="The pipeline's input; - reads standard input."),
    ] = None,
    tick_as: Annotated[str | None, typer.Option(help="The member of the input that gets the tick.")] = None,
    missed: Annotated[
        str | None, typer.Option(help="Of ticks that nothing fired in time: skip, once or all of them.")
    ] = None,
    catch_up: Annotated[
        str | None, typer.Option(metavar="SPAN", help="How far back missed ticks are looked for.")
    ] = None,
    overlap: Annotated[
        str | None,
        typer.Option(help="While its last run goes on: allow, skip, queue_one or cancel_running."),
    ] = None,
    jitter: Annotated[
        str | None, typer.Option(metavar="SPAN", help="A tick fires up to so much later.")
    ] = None,
    expires_after: Annotated[
        str | None, typer.Option(metavar="SPAN", help="No job of a run begins so long after it was accepted.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="A word of your own for its runs; can be repeated.")
    ] = None,
    priority: Annotated[
        int | None,
        typer.Option(
            metavar="0..9",
            help="Of its runs: the highest goes first; 4 is the default.",
        ),
    ] = None,
) -> Any:
    """The members that these options name, as the API takes them."""
    import msgspec

    spans = {"every": every, "catch_up": catch_up, "jitter": jitter, "expires_after": expires_after}
    words = {
        "pipeline": pipeline,
        "cron": cron,
        "tz": tz,
        "tick_as": tick_as,
        "missed": missed,
        "overlap": overlap,
        "priority": priority,
    }
    members: dict[str, Any] = {name: value for name, value in words.items() if value is not None}
    for name, span in spans.items():
        if span is not None:
            members[name] = seconds(f"--{name.replace('_', '-')}", span)
    if tag:
        members["tags"] = tag
    if given is not None:
        members["input"] = msgspec.Raw(read_input(given))
    return members


#: A command with these options before its own; the members are the `obj` of its context.
WithMembers = filtering_command(schedule_members)
