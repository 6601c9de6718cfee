"""Adds a filter's options to commands that select runs."""

import time
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from mousetrap.cli.filtering import filtering_command
from mousetrap.cli.options import moment_ms

if TYPE_CHECKING:
    from mousetrap.api_client import RunFilter
    from mousetrap.shapes import RunState


class SelectedRuns(NamedTuple):
    """What the options of a command select."""

    filter: "RunFilter"
    #: The options as they were given, for the command of the next page.
    words: str


def run_filter(
    pipeline: Annotated[str | None, typer.Option(help="Only the runs of this one.")] = None,
    state: Annotated[
        str | None, typer.Option(help="Only the runs in this state: running, completed, failed, …")
    ] = None,
    stage: Annotated[str | None, typer.Option(help="Only those that reached this stage last.")] = None,
    worker: Annotated[
        str | None, typer.Option(help="Only those whose last job this worker has, or had.")
    ] = None,
    error: Annotated[
        str | None,
        typer.Option(help="Only those that an error of this class ended, with its module or without."),
    ] = None,
    tag: Annotated[str | None, typer.Option(help="Only those with this tag.")] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="SPAN|TIME", help="Only those accepted then or later: 2h ago, or an ISO 8601 time."
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="SPAN|TIME", help="Only those accepted before.")
    ] = None,
    beginning: Annotated[str | None, typer.Option("--id", help="Only those whose ids begin so.")] = None,
    not_repaired: Annotated[
        bool, typer.Option("--not-repaired", help="Only those that failed, and of which no re-run completed.")
    ] = False,
) -> Any:
    """The SelectedRuns that these options describe: their classes are imported when called."""
    from mousetrap.api_client import RunFilter

    now_s = time.time()
    words = {"--pipeline": pipeline, "--state": state, "--stage": stage, "--worker": worker, "--error": error}
    more = {"--tag": tag, "--since": since, "--until": until, "--id": beginning}
    filter = RunFilter(
        pipeline=pipeline,
        state=_state(state),
        stage=stage,
        worker=worker,
        error=error,
        tag=tag,
        from_ms=moment_ms("--since", since, now_s) if since else None,
        to_ms=moment_ms("--until", until, now_s) if until else None,
        id=beginning,
        repaired=False if not_repaired else None,
    )
    return SelectedRuns(filter, _written({**words, **more}) + (" --not-repaired" if not_repaired else ""))


#: A command with these options before its own; the SelectedRuns are the `obj` of its context.
SelectingRuns = filtering_command(run_filter)


def _state(given: str | None) -> "RunState | None":
    """Raises Misused for what is no state."""
    from mousetrap.api_client import Misused
    from mousetrap.shapes import RunState

    try:
        return RunState(given) if given else None
    except ValueError:
        raise Misused(f"--state {given}: it is one of {', '.join(RunState)}") from None


def _written(options: dict[str, str | None]) -> str:
    if not any(options.values()):
        return ""
    from mousetrap.cli.output import argument

    return "".join(f" {name} {argument(value)}" for name, value in options.items() if value)
