"""The commands for queues: queues, and its pause and resume."""

from typing import TYPE_CHECKING, Annotated

import typer

from mousetrap.cli.operations import Why
from mousetrap.cli.options import AsJson
from mousetrap.cli.session import open_api

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mousetrap.api_client import Api, Reply
    from mousetrap.shapes import QueuePause

app = typer.Typer(
    help="List the queues: what waits in them, who takes it, and how fast; pause and resume them."
)

Names = Annotated[list[str] | None, typer.Argument(metavar="QUEUE", help="Queues, by name.")]
OfPipeline = Annotated[str | None, typer.Option("--pipeline", help="All queues of this pipeline.")]


@app.callback(invoke_without_command=True)
def _default(context: typer.Context, as_json: AsJson = False) -> None:
    if context.invoked_subcommand is None:
        list_queues(as_json=as_json)


@app.command("list")
def list_queues(as_json: AsJson = False) -> None:
    """List the queues."""
    from mousetrap.cli.output import print_reply
    from mousetrap.cli.tables.queues import queues_table

    with open_api(quiet=as_json) as api:
        reply = api.queues()
    print_reply(reply, as_json, queues_table)


@app.command()
def pause(names: Names = None, pipeline: OfPipeline = None, why: Why = "", as_json: AsJson = False) -> None:
    """Have no worker take jobs of a queue until it is resumed. What runs is finished; jobs wait without costing an attempt."""
    with open_api(quiet=as_json, why=why) as api:
        _each(_chosen(api, names, pipeline), api.pause_queue, as_json)


@app.command()
def resume(names: Names = None, pipeline: OfPipeline = None, why: Why = "", as_json: AsJson = False) -> None:
    """Have workers take jobs of a paused queue again."""
    with open_api(quiet=as_json, why=why) as api:
        _each(_chosen(api, names, pipeline), api.resume_queue, as_json)


def _chosen(api: "Api", names: "Sequence[str] | None", pipeline: str | None) -> "Sequence[str]":
    """The queues that were named. Raises Misused for none."""
    from mousetrap.api_client import Misused

    found = list(names or ())
    if pipeline:
        found += [stage.queue for stage in api.pipeline(pipeline).value.stages]
    if not found:
        raise Misused("name a queue, or a pipeline with --pipeline: `mousetrap queues` lists the queues")
    return list(dict.fromkeys(found))


def _each(names: "Sequence[str]", act: "Callable[[str], Reply[QueuePause]]", as_json: bool) -> None:
    from mousetrap.cli.output import print_json, print_line

    for name in names:
        reply = act(name)
        if as_json:
            print_json(reply.json)
            continue
        state = reply.value
        if state.paused is None:
            print_line(f"{name} is resumed" if state.changed else f"{name} is not paused")
        else:
            by = f"by {state.paused.who}" + (f": {state.paused.why}" if state.paused.why else "")
            print_line(f"{name} is paused {by}" if state.changed else f"{name} is paused already, {by}")
