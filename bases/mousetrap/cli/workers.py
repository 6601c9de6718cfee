"""The commands for workers: worker, and workers with drain, resume and stop."""

import os
from typing import Annotated

import typer

from mousetrap.cli.operations import Why
from mousetrap.cli.options import AsJson
from mousetrap.cli.session import environment, open_api, read_settings
from mousetrap.worker_flags import (
    AUTO_KILL,
    BURST,
    CONCURRENCY,
    PREFETCH,
    PROCESSES,
    RELOAD,
    Span,
    WorkerFlags,
)

app = typer.Typer(help="List the workers: who is alive, what they serve and run; drain and stop them.")

Name = Annotated[str, typer.Argument(metavar="WORKER", help="The worker's name.")]


def worker(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TARGET",
            help="Workers of the catalogue; files, folders, modules or packages with tasks; module:object.",
        ),
    ] = None,
    concurrency: Annotated[
        Span | None,
        typer.Option(
            CONCURRENCY.option, parser=CONCURRENCY.type, metavar=CONCURRENCY.metavar, help=CONCURRENCY.help
        ),
    ] = None,
    prefetch: Annotated[
        int | None, typer.Option(PREFETCH.option, min=PREFETCH.least, help=PREFETCH.help)
    ] = None,
    burst: Annotated[bool, typer.Option(BURST.option, help=BURST.help)] = False,
    auto_kill: Annotated[
        float | None, typer.Option(AUTO_KILL.option, min=AUTO_KILL.least, help=AUTO_KILL.help)
    ] = None,
    processes: Annotated[
        int, typer.Option(PROCESSES.option, min=PROCESSES.least, metavar="N", help=PROCESSES.help)
    ] = 1,
    reload: Annotated[bool, typer.Option(RELOAD.option, help=RELOAD.help)] = False,
    list_only: Annotated[bool, typer.Option("--list", help="Only print what would be served.")] = False,
) -> None:
    """Run workers in this process until asked to stop: of the catalogue, or all tasks of files and modules.

    Without a target, those of MOUSETRAP_MODULES. Prints what was found, and what could not be loaded and why. Exits 2 when
    there is nothing to serve, or when a target itself could not be loaded.
    """
    from mousetrap.catalogue import PIPELINES, SETTINGS
    from mousetrap.cli.targets import binders_of
    from mousetrap.job_queue import open_queue
    from mousetrap.serve_worker import serve_worker

    # What would be served is a question about files: no stack is looked for.
    environ = os.environ if list_only else environment()
    flags = WorkerFlags(concurrency=concurrency, prefetch=prefetch, burst=burst, auto_kill=auto_kill)
    if (processes > 1 or reload) and not list_only:
        from mousetrap.cli.processes import run_in_processes

        raise typer.Exit(run_in_processes(targets or (), flags, environ, processes, reload=reload))
    binders = binders_of(targets or (), read_settings(environ))
    if list_only:
        return
    code = serve_worker(
        open_queue,
        binders,
        environ,
        flags,
        groups=SETTINGS,
        pipelines=PIPELINES.values(),
    )
    raise typer.Exit(code)


@app.callback(invoke_without_command=True)
def _default(context: typer.Context, as_json: AsJson = False) -> None:
    if context.invoked_subcommand is None:
        list_workers(as_json=as_json)


@app.command("list")
def list_workers(as_json: AsJson = False) -> None:
    """List the workers: who is alive, what they serve and run."""
    from mousetrap.cli.output import print_reply
    from mousetrap.cli.tables.workers import workers_table

    with open_api(quiet=as_json) as api:
        reply = api.workers()
    print_reply(reply, as_json, workers_table)


@app.command()
def drain(name: Name, why: Why = "", as_json: AsJson = False) -> None:
    """Have a worker finish what runs and take nothing new. It stays, and can be resumed."""
    from mousetrap.cli.output import print_reply

    with open_api(quiet=as_json, why=why) as api:
        reply = api.drain_worker(name)
    print_reply(reply, as_json, lambda _: f"{name} drains; it takes jobs again after `workers resume`")


@app.command()
def stop(name: Name, why: Why = "", as_json: AsJson = False) -> None:
    """Have a worker drain and end; what has not ended in its grace goes to another worker."""
    from mousetrap.cli.output import print_reply

    with open_api(quiet=as_json, why=why) as api:
        reply = api.stop_worker(name)
    print_reply(reply, as_json, lambda _: f"{name} stops")


@app.command()
def resume(name: Name, why: Why = "", as_json: AsJson = False) -> None:
    """Have a worker that drains take jobs again."""
    from mousetrap.cli.output import print_reply

    with open_api(quiet=as_json, why=why) as api:
        reply = api.resume_worker(name)
    print_reply(reply, as_json, lambda _: f"{name} serves again")
