"""The commands `mousetrap dead …` with their options."""

import os
import time
from typing import Annotated, Any

import typer

dead = typer.Typer(
    help="Look at dead letters, and send them round again or discard them.", no_args_is_help=True
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="These letters.")]
All = Annotated[bool, typer.Option("--all", help="Needed when nothing else says which are meant.")]
Queue = Annotated[str | None, typer.Option(help="Only those that this queue gave up.")]
Reason = Annotated[str | None, typer.Option(help="Only those of this reason: max-retries, contract, …")]
Error = Annotated[str | None, typer.Option(help="Only those of this error's class.")]
Run = Annotated[str | None, typer.Option(help="Only those of this run.")]
Stage = Annotated[str | None, typer.Option(help="Only those of this stage.")]
Older = Annotated[str | None, typer.Option("--older-than", metavar="SPAN", help="As 90s, 5m, 2h or 3d.")]
Newer = Annotated[str | None, typer.Option("--newer-than", metavar="SPAN", help="As 90s, 5m, 2h or 3d.")]


@dead.command("list")
def dead_list(
    queue: Queue = None,
    reason: Reason = None,
    error: Error = None,
    run: Run = None,
    stage: Stage = None,
    older: Older = None,
    newer: Newer = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first."""
    from mousetrap.cli.dead import list_letters

    wish = _wish(queue, reason, error, run, stage, older, newer)
    raise typer.Exit(list_letters(os.environ, wish, limit=limit, as_json=as_json))


@dead.command("groups")
def dead_groups(
    queue: Queue = None,
    reason: Reason = None,
    error: Error = None,
    run: Run = None,
    stage: Stage = None,
    older: Older = None,
    newer: Newer = None,
    as_json: AsJson = False,
) -> None:
    """Count dead letters by queue, reason and error."""
    from mousetrap.cli.dead import list_groups

    wish = _wish(queue, reason, error, run, stage, older, newer)
    raise typer.Exit(list_groups(os.environ, wish, as_json=as_json))


@dead.command("show")
def dead_show(
    letter: Annotated[str, typer.Argument(metavar="ID", help="The letter's id.")], as_json: AsJson = False
) -> None:
    """Show what a dead letter carries, why it died, and what happened to its run."""
    from mousetrap.cli.dead import show

    raise typer.Exit(show(os.environ, letter, as_json=as_json))


@dead.command("redrive")
def dead_redrive(
    ids: Ids = None,
    queue: Queue = None,
    reason: Reason = None,
    error: Error = None,
    run: Run = None,
    stage: Stage = None,
    older: Older = None,
    newer: Newer = None,
    everything: All = False,
    rate: Annotated[float, typer.Option(min=0.1, max=1000, help="Letters a second, at most.")] = 100.0,
    given: Annotated[
        str | None,
        typer.Option("--input", metavar="JSON|@FILE|-", help="Another input, for one letter alone."),
    ] = None,
) -> None:
    """Send dead letters round again: their attempts are counted anew."""
    from mousetrap.cli.dead import redrive, redrive_edited
    from mousetrap.cli.failures import Misused

    wish = _meant(_wish(queue, reason, error, run, stage, older, newer, ids), everything)
    if given is None:
        raise typer.Exit(redrive(os.environ, wish, rate=rate))
    if len(ids or []) != 1:
        raise Misused("--input changes one letter: give its id, and no other")
    raise typer.Exit(redrive_edited(os.environ, wish["ids"][0], given))


@dead.command("discard")
def dead_discard(
    ids: Ids = None,
    queue: Queue = None,
    reason: Reason = None,
    error: Error = None,
    run: Run = None,
    stage: Stage = None,
    older: Older = None,
    newer: Newer = None,
    everything: All = False,
    sure: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Forget dead letters for good."""
    from mousetrap.cli.dead import discard

    wish = _meant(_wish(queue, reason, error, run, stage, older, newer, ids), everything)
    raise typer.Exit(discard(os.environ, wish, sure=sure))


@dead.command("export")
def dead_export(
    queue: Queue = None,
    reason: Reason = None,
    error: Error = None,
    run: Run = None,
    stage: Stage = None,
    older: Older = None,
    newer: Newer = None,
) -> None:
    """Print dead letters with all that they carry, a line of JSON each."""
    from mousetrap.cli.dead import export

    raise typer.Exit(export(os.environ, _wish(queue, reason, error, run, stage, older, newer)))


def _wish(
    queue: str | None,
    reason: str | None,
    error: str | None,
    run: str | None,
    stage: str | None,
    older: str | None,
    newer: str | None,
    ids: list[str] | None = None,
) -> dict[str, Any]:
    """What the API is told of the letters that are meant."""
    from mousetrap.cli.spans import seconds

    now = time.time()
    return {
        "queue": queue,
        "reason": reason,
        "error": error,
        "run": run,
        "stage": stage,
        "ids": ids or [],
        "before_ms": int((now - seconds("--older-than", older)) * 1000) if older else None,
        "after_ms": int((now - seconds("--newer-than", newer)) * 1000) if newer else None,
    }


def _meant(wish: dict[str, Any], everything: bool) -> dict[str, Any]:
    """The same, for commands that change something."""
    from mousetrap.cli.failures import Misused

    if not everything and not any(wish.values()):
        raise Misused("say which dead letters are meant, or --all")
    return {**wish, "all": everything or None}
