"""All commands with their options; each imports what it needs when called, so that `--help` answers at once."""

import os
from typing import Annotated

import typer

from mousetrap.cli.dead_commands import AsJson, dead
from mousetrap.cli.here import environment

app = typer.Typer(
    help="Plain Python functions as pipeline workers, chained over durable queues.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # it would print local variables, and with them secrets
    rich_markup_mode="rich",
)
#: The same as `Scope` of mousetrap.api_keys, whose import would make `--help` slow.
_SCOPES = (
    "What it may do: read (see runs, results, queues, dead letters), run (start runs), operate (cancel, rerun, redrive, "
    "discard). Give it once for each; none includes another."
)
#: What a command says of the id that it takes.
_RUN = "The run's id, or its beginning: four characters or more that no other run's begins with."
keys = typer.Typer(help="Make keys for the API and for signing messages.", no_args_is_help=True)
app.add_typer(dead, name="dead")
app.add_typer(keys, name="keys")


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


@app.command()
def run(
    pipeline: Annotated[str, typer.Argument(help="Its name: the API's /pipelines lists them.")],
    given: Annotated[
        str,
        typer.Option("--input", metavar="JSON|@FILE|-", help="The input; - reads it from standard input."),
    ] = "{}",
    key: Annotated[
        str | None, typer.Option("--key", help="Idempotency key: repeating it gives the first run again.")
    ] = None,
    run_id: Annotated[str | None, typer.Option("--id", help="The id that the run will have.")] = None,
    expires_in: Annotated[
        str | None,
        typer.Option(metavar="SPAN", help="Begin no job of it after this: 90s, 5m, 2h or 3d."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Stay until the run has ended.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Start a run and follow it to its result. Exits 1 when the run fails."""
    from mousetrap.cli.run import run
    from mousetrap.cli.spans import seconds

    span = seconds("--expires-in", expires_in) if expires_in else None
    raise typer.Exit(
        run(
            environment(quiet=as_json),
            pipeline,
            given,
            key=key,
            run_id=run_id,
            expires_in=span,
            follow=follow,
            as_json=as_json,
        )
    )


@app.command()
def runs(
    pipeline: Annotated[str | None, typer.Option(help="Only the runs of this one.")] = None,
    state: Annotated[
        str | None, typer.Option(help="Only the runs in this state: running, completed, failed, …")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    after: Annotated[str | None, typer.Option(help="Go on where an earlier page ended.")] = None,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first, and why the failed ones failed."""
    from mousetrap.cli.show import runs

    raise typer.Exit(
        runs(
            environment(quiet=as_json),
            pipeline=pipeline,
            state=state,
            limit=limit,
            after=after,
            as_json=as_json,
        )
    )


@app.command()
def show(run: Annotated[str, typer.Argument(metavar="RUN", help=_RUN)], as_json: AsJson = False) -> None:
    """Show a run's input, where it stands, what happened to it, and its result."""
    from mousetrap.cli.show import show

    raise typer.Exit(show(environment(quiet=as_json), run, as_json=as_json))


@app.command()
def cancel(
    run: Annotated[list[str], typer.Argument(metavar="RUN", help="The runs' ids, or their beginnings.")],
) -> None:
    """Cancel runs: no attempt of them begins any more. Exits 1 when one had ended before."""
    from mousetrap.cli.cancel import cancel

    raise typer.Exit(cancel(environment(), run))


@app.command()
def rerun(
    run: Annotated[str, typer.Argument(metavar="RUN", help=_RUN)],
    begin: Annotated[
        str,
        typer.Option(
            "--from", metavar="start|failed|STAGE", help="Where to begin: `failed` is where it gave up."
        ),
    ] = "start",
    given: Annotated[
        str | None,
        typer.Option("--input", metavar="JSON|@FILE|-", help="Instead of what that stage was given."),
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="Idempotency key: repeating it gives the first re-run again.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Stay until the new run has ended.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Repeat a run as a new one, and follow it to its result. Exits 1 when the new run fails."""
    from mousetrap.cli.rerun import rerun

    raise typer.Exit(
        rerun(
            environment(quiet=as_json), run, begin=begin, given=given, key=key, follow=follow, as_json=as_json
        )
    )


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


@app.command()
def workers(as_json: AsJson = False) -> None:
    """List the workers: who is alive, what they serve and run."""
    from mousetrap.cli.workers import workers

    raise typer.Exit(workers(environment(quiet=as_json), as_json=as_json))


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


@keys.command("new")
def keys_new(
    name: Annotated[str, typer.Argument(help="Who will use it.")],
    scope: Annotated[list[str], typer.Option(help=_SCOPES)],
    days: Annotated[
        int | None,
        typer.Option(min=1, max=36_500, help="The key ends after so many days; else it never does."),
    ] = None,
) -> None:
    """Make a key for the API: it is shown once, the API gets its hash alone."""
    from mousetrap.cli.keys import new_api_key

    raise typer.Exit(new_api_key(name, scope, days))


@keys.command("signing")
def keys_signing() -> None:
    """Make a key that signs messages between the API and the workers."""
    from mousetrap.signing import new_signing_key

    print(new_signing_key())
