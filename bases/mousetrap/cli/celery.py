"""The commands `celery …`: take tasks, and read an app."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mousetrap.cli.session import environment, read_settings
from mousetrap.worker_flags import Span, WorkerFlags

if TYPE_CHECKING:
    from mousetrap.celery_messages import Declared

app = typer.Typer(help="Take tasks of Celery's clients, and write declarations of a Celery app.")

#: Nearly all that runs at once waits for another run: ten seconds of each minute while that goes on.
_CONCURRENCY = 1_000


@app.command()
def take(
    declarations: Annotated[
        Path, typer.Argument(metavar="FILE", help="A TOML file: which tasks are which pipelines.")
    ],
) -> None:
    """Take tasks from Celery's queues and start a run of each, until asked to stop.

    Any number of these may run at once. What follows a task is sent on to Celery when its run has ended; what cannot be done is a dead
    letter of `from_celery`, with its reason.
    """
    from mousetrap.catalogue import PIPELINES, SETTINGS
    from mousetrap.celery import bind_celery
    from mousetrap.job_queue import open_queue
    from mousetrap.serve_worker import serve_worker

    environ = environment()
    read_settings(environ)
    declared = _declared(declarations)
    flags = (
        WorkerFlags() if "MOUSETRAP_CONCURRENCY" in environ else WorkerFlags(concurrency=Span(_CONCURRENCY))
    )
    code = serve_worker(
        open_queue,
        [bind_celery(declared)],
        environ,
        flags,
        groups=SETTINGS,
        pipelines=PIPELINES.values(),
    )
    raise typer.Exit(code)


def _declared(path: Path) -> "Declared":
    from mousetrap.api_client import Misused
    from mousetrap.celery_messages import DeclaredWrong, read_declared

    try:
        return read_declared(_text(path))
    except DeclaredWrong as error:
        raise Misused(f"{path}: {error}") from error


@app.command()
def read(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Python files of the app.")],
    declarations: Annotated[
        bool, typer.Option("--declarations", help="Print the file of `celery take` instead of the tasks.")
    ] = False,
) -> None:
    """Print what a Celery app's source declares as tasks and schedules of ours; nothing of it is imported or run.

    Name the files as from the folder that Celery is started in. Bodies are to be moved by hand; what has no counterpart is a comment.
    """
    from mousetrap.api_client import Misused
    from mousetrap.celery_source import read_app, write_declared, write_moved
    from mousetrap.cli.output import print_line

    try:
        found = read_app({path.as_posix(): _text(path) for path in files})
    except (SyntaxError, ValueError) as error:
        raise Misused(f"no Python: {error}") from error
    print_line((write_declared(found) if declarations else write_moved(found)).rstrip("\n"))


def _text(path: Path) -> str:
    from mousetrap.api_client import Misused

    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Misused(f"cannot read {path}: {error}") from error
