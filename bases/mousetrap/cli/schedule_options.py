"""Adds the members of a schedule to commands."""

from typing import Annotated, Any

import typer

from mousetrap.cli.filtering import filtering_command
from mousetrap.cli.options import read_input, seconds

Pipeline = Annotated[str | None, typer.Option(help="The pipeline that it starts.")]
Cron = Annotated[
    str | None, typer.Option(metavar="'30 2 * * *'", help="Five fields; for seconds there is --every.")
]
Zone = Annotated[str | None, typer.Option(metavar="ZONE", help="The zone of --cron, as Europe/Berlin.")]
Every = Annotated[str | None, typer.Option(metavar="SPAN", help="The distance: 30s, 15m, 2h or 1d.")]
Input = Annotated[
    str | None,
    typer.Option("--input", metavar="JSON|@FILE|-", help="The pipeline's input; - reads standard input."),
]
TickAs = Annotated[str | None, typer.Option(help="The member of the input that gets the tick.")]
Missed = Annotated[
    str | None, typer.Option(help="Of ticks that nothing fired in time: skip, once or all of them.")
]
CatchUp = Annotated[
    str | None, typer.Option(metavar="SPAN", help="How far back missed ticks are looked for.")
]
Overlap = Annotated[
    str | None, typer.Option(help="While its last run goes on: allow, skip, queue_one or cancel_running.")
]
Jitter = Annotated[str | None, typer.Option(metavar="SPAN", help="A tick fires up to so much later.")]
ExpiresAfter = Annotated[
    str | None, typer.Option(metavar="SPAN", help="No job of a run begins so long after it was accepted.")
]
Tags = Annotated[list[str] | None, typer.Option(help="A word of your own for its runs; can be repeated.")]
Priority = Annotated[
    int | None, typer.Option(metavar="0..9", help="Of its runs: the highest goes first; 4 is the default.")
]


def schedule_members(
    pipeline: Pipeline = None,
    cron: Cron = None,
    tz: Zone = None,
    every: Every = None,
    given: Input = None,
    tick_as: TickAs = None,
    missed: Missed = None,
    catch_up: CatchUp = None,
    overlap: Overlap = None,
    jitter: Jitter = None,
    expires_after: ExpiresAfter = None,
    tag: Tags = None,
    priority: Priority = None,
) -> Any:
    """The members that these options name, as the API takes them."""
    words = {"pipeline": pipeline, "cron": cron, "tz": tz, "tick_as": tick_as, "missed": missed}
    more = {"overlap": overlap, "priority": priority, "tags": tag or None}
    spans = {"every": every, "catch_up": catch_up, "jitter": jitter, "expires_after": expires_after}
    members: dict[str, Any] = {**words, **more, **_in_seconds(spans), "input": _read(given)}
    return {name: value for name, value in members.items() if value is not None}


def _in_seconds(spans: dict[str, str | None]) -> dict[str, float]:
    """Raises Misused, which names the option."""
    return {
        name: seconds(f"--{name.replace('_', '-')}", span) for name, span in spans.items() if span is not None
    }


def _read(given: str | None) -> Any:
    """The input as JSON, as it is; None where none is given."""
    import msgspec

    return None if given is None else msgspec.Raw(read_input(given))


#: A command with these options before its own; the members are the `obj` of its context.
WithMembers = filtering_command(schedule_members)
