"""The commands for workers: worker, workers."""

from typing import Annotated

import typer

from mousetrap.cli.options import AsJson
from mousetrap.cli.session import environment, open_api
from mousetrap.worker_flags import AUTO_KILL, BURST, CONCURRENCY, PREFETCH, WorkerFlags


def worker(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="WORKER", help="Their names; without any, all are listed.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(CONCURRENCY.option, min=CONCURRENCY.least, help=CONCURRENCY.help)
    ] = None,
    prefetch: Annotated[
        int | None, typer.Option(PREFETCH.option, min=PREFETCH.least, help=PREFETCH.help)
    ] = None,
    burst: Annotated[bool, typer.Option(BURST.option, help=BURST.help)] = False,
    auto_kill: Annotated[
        float | None, typer.Option(AUTO_KILL.option, min=AUTO_KILL.least, help=AUTO_KILL.help)
    ] = None,
) -> None:
    """Run workers of the catalogue in this process until asked to stop."""
    from mousetrap.api_client import Misused
    from mousetrap.catalogue import SETTINGS, WORKERS
    from mousetrap.catalogue_entries import load
    from mousetrap.job_queue import open_queue
    from mousetrap.serve_worker import serve_worker

    known = ", ".join(WORKERS)
    if not names:
        raise Misused(f"name the workers to run: {known}")
    if unknown := [name for name in names if name not in WORKERS]:
        raise Misused(f"there is no worker {unknown[0]!r}: choose from {known}")
    code = serve_worker(
        open_queue,
        [load(WORKERS[name].binder) for name in dict.fromkeys(names)],
        environment(),
        WorkerFlags(concurrency=concurrency, prefetch=prefetch, burst=burst, auto_kill=auto_kill),
        groups=SETTINGS,
    )
    raise typer.Exit(code)


def workers(as_json: AsJson = False) -> None:
    """List the workers: who is alive, what they serve and run."""
    from mousetrap.cli.output import print_reply
    from mousetrap.cli.tables.workers import workers_table

    with open_api(quiet=as_json) as api:
        reply = api.workers()
    print_reply(reply, as_json, workers_table)
