"""The commands `schedules …`."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from mousetrap.cli.operations import Why
from mousetrap.cli.options import AsJson, moment_ms
from mousetrap.cli.schedule_options import WithMembers
from mousetrap.cli.session import open_api

if TYPE_CHECKING:
    from mousetrap.api_client import Reply
    from mousetrap.shapes import Schedule

app = typer.Typer(help="Look at what starts pipelines by itself; make, change, pause and fire it.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.")]


@app.callback(invoke_without_command=True)
def _default(context: typer.Context, as_json: AsJson = False) -> None:
    if context.invoked_subcommand is None:
        list_schedules(as_json=as_json)


@app.command("list")
def list_schedules(
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    after: Annotated[str | None, typer.Option(help="Go on where an earlier page ended.")] = None,
    as_json: AsJson = False,
) -> None:
    """List schedules: when each fires next, and what became of its last tick."""
    from mousetrap.cli.output import local_time, print_reply
    from mousetrap.cli.tables.schedules import schedules_table

    with open_api(quiet=as_json) as api:
        reply = api.schedules.page(limit=limit, after=after)
    print_reply(reply, as_json, lambda page: schedules_table(page, local_time()))


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show when a schedule fires, what became of its last ticks, and why it does not go on."""
    with open_api(quiet=as_json) as api:
        _print(api.schedules.one(name), as_json)


@app.command(cls=WithMembers)
def add(context: typer.Context, name: Name, why: Why = "", as_json: AsJson = False) -> None:
    """Make a schedule: a pipeline, and --cron or --every."""
    with open_api(quiet=as_json, why=why) as api:
        _print(api.schedules.make(name, context.obj), as_json)


@app.command(cls=WithMembers)
def change(context: typer.Context, name: Name, why: Why = "", as_json: AsJson = False) -> None:
    """Change what the options name, and nothing else."""
    with open_api(quiet=as_json, why=why) as api:
        _print(api.schedules.change(name, context.obj), as_json)


@app.command()
def remove(name: Name, why: Why = "") -> None:
    """Remove a schedule; its runs go on."""
    from mousetrap.cli.output import print_line

    with open_api(why=why) as api:
        api.schedules.remove(name)
    print_line(f"schedule {name} is removed")


@app.command()
def run(name: Name, why: Why = "", as_json: AsJson = False) -> None:
    """Start a run of it now, beside its ticks."""
    from mousetrap.cli.output import print_json, print_line

    with open_api(quiet=as_json, why=why) as api:
        reply = api.schedules.run(name)
    if as_json:
        print_json(reply.json)
    else:
        print_line(f"run {reply.value.run_id} is started: mousetrap show {reply.value.run_id}")


@app.command()
def pause(name: Name, why: Why = "", as_json: AsJson = False) -> None:
    """Pause a schedule: no tick of it fires until it is resumed."""
    with open_api(quiet=as_json, why=why) as api:
        _print(api.schedules.pause(name), as_json)


@app.command()
def resume(
    name: Name,
    make_up: Annotated[
        bool, typer.Option("--make-up", help="Ticks that came meanwhile count as missed ones.")
    ] = False,
    why: Why = "",
    as_json: AsJson = False,
) -> None:
    """Resume a schedule: ticks after now fire."""
    with open_api(quiet=as_json, why=why) as api:
        _print(api.schedules.resume(name, make_up=make_up), as_json)


@app.command()
def backfill(
    name: Name,
    since: Annotated[
        str, typer.Option("--from", metavar="SPAN|TIME", help="Ticks from then on: 2d ago, or a time.")
    ],
    until: Annotated[str, typer.Option("--to", metavar="SPAN|TIME", help="Ticks before that.")] = "0s",
    why: Why = "",
    as_json: AsJson = False,
) -> None:
    """Fire the ticks of a span of the past; those whose runs are there are left out."""
    from mousetrap.cli.output import print_json, print_line

    now_s = time.time()
    from_ms, to_ms = moment_ms("--from", since, now_s), moment_ms("--to", until, now_s)
    with open_api(quiet=as_json, why=why) as api:
        reply = api.schedules.backfill(name, from_ms=from_ms, to_ms=to_ms)
    if as_json:
        print_json(reply.json)
    else:
        count = reply.value.ticks
        print_line(f"{count} tick{'' if count == 1 else 's'}: mousetrap runs --tag schedule:{name}")


def _print(reply: "Reply[Schedule]", as_json: bool) -> None:
    from mousetrap.cli.output import local_time, print_reply
    from mousetrap.cli.tables.schedules import schedule_facts

    print_reply(reply, as_json, lambda shown: schedule_facts(shown, local_time()))
