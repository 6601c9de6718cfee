"""The commands of `mousetrap`, in the order of its help."""

import os
from typing import Annotated

import typer

from mousetrap.cli import dead, keys
from mousetrap.cli.options import AsJson
from mousetrap.cli.runs import cancel, rerun, run, runs, show
from mousetrap.cli.session import environment
from mousetrap.cli.workers import workers

app = typer.Typer(
    help="Plain Python functions as pipeline workers, chained over durable queues.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # it would print local variables, and with them secrets
    rich_markup_mode="rich",
)


@app.command()
def demo() -> None:
    """Run the earthquakes pipeline on a real week of data, in a stack of its own, and clean up."""
    from mousetrap.cli.demo import demo

    raise typer.Exit(demo(os.environ))


@app.command()
def up() -> None:
    """Start broker, store, API and workers here, and leave them running until Ctrl-C."""
    from mousetrap.cli.up import up

    raise typer.Exit(up(os.environ))


for command in (run, runs, show, cancel, rerun):
    app.command()(command)


@app.command()
def worker(
    stages: Annotated[
        list[str] | None, typer.Argument(metavar="STAGE", help="Their names; without any, all are listed.")
    ] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Jobs run at once.")] = None,
    prefetch: Annotated[int | None, typer.Option(min=0, help="Jobs held, running or waiting to.")] = None,
    burst: Annotated[bool, typer.Option("--burst", help="Leave once the queues are empty.")] = False,
    auto_kill: Annotated[
        float | None,
        typer.Option("--auto-kill-timeout", min=2, help="Seconds after which what hangs ends this process."),
    ] = None,
) -> None:
    """Serve stages in this process until asked to stop."""
    from mousetrap.cli.worker import worker

    raise typer.Exit(
        worker(
            environment(),
            stages or [],
            concurrency=concurrency,
            prefetch=prefetch,
            burst=burst,
            auto_kill=auto_kill,
        )
    )


app.command()(workers)


@app.command()
def migrate() -> None:
    """Make the queues and the database table that the other processes need. Exits 1 when something could not be made."""
    from mousetrap.cli.migrate import migrate

    raise typer.Exit(migrate(environment()))


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check settings, broker, store and API, and say how to correct what is wrong. Exits 1 when something is."""
    from mousetrap.cli.doctor import doctor

    raise typer.Exit(doctor(environment(quiet=as_json), as_json=as_json))


app.add_typer(dead.app, name="dead")
app.add_typer(keys.app, name="keys")
