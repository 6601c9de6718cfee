"""The commands of `mousetrap`, in the order of its help."""

from typing import Annotated

import typer

from mousetrap.cli import (
    celery,
    contracts,
    dead,
    keys,
    new,
    operations,
    outbox,
    pipelines,
    queues,
    remove,
    schedules,
    workers,
)
from mousetrap.cli.audit import audit
from mousetrap.cli.dead_test import write_test
from mousetrap.cli.debug import debug
from mousetrap.cli.doctor import doctor
from mousetrap.cli.jobs import jobs
from mousetrap.cli.limits import limits
from mousetrap.cli.logs import logs
from mousetrap.cli.migrate import migrate
from mousetrap.cli.publish import publish
from mousetrap.cli.run_options import SelectingRuns
from mousetrap.cli.runs import cancel, rerun, run, runs, show
from mousetrap.cli.stack import demo, up
from mousetrap.cli.version import print_version
from mousetrap.cli.workers import worker

app = typer.Typer(
    help="Plain Python functions as pipeline workers, chained over durable queues.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # it would print local variables, and with them secrets
    rich_markup_mode="rich",
)


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=print_version, help="Print the version, and end."),
    ] = False,
) -> None:
    pass


for command in (
    demo,
    up,
    run,
    publish,
    runs,
    show,
    jobs,
    logs,
    cancel,
    rerun,
    debug,
    worker,
    limits,
    audit,
    migrate,
    doctor,
):
    app.command(cls=SelectingRuns if command in (runs, cancel, rerun) else None)(command)
app.add_typer(workers.app, name="workers")
app.add_typer(queues.app, name="queues")
app.add_typer(pipelines.app, name="pipelines")
dead.app.command("test")(write_test)
app.add_typer(dead.app, name="dead")
app.add_typer(operations.app, name="operations")
app.add_typer(schedules.app, name="schedules")
app.add_typer(contracts.app, name="contracts")
app.add_typer(outbox.app, name="outbox")
app.add_typer(celery.app, name="celery")
app.add_typer(keys.app, name="keys")
app.add_typer(new.app, name="new")
app.add_typer(remove.app, name="remove")
