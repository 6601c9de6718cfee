"""The commands `mousetrap dead …` with their options."""

import inspect
import time
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from mousetrap.cli.here import environment

dead = typer.Typer(
    help="Look at dead letters, and send them round again or discard them.", no_args_is_help=True
)

Wish = dict[str, Any]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID", help="These letters, by their ids or the beginnings of them."),
]
All = Annotated[bool, typer.Option("--all", help="Needed when nothing else says which are meant.")]


def _wish(
    queue: Annotated[str | None, typer.Option(help="Only those that this queue gave up.")] = None,
    reason: Annotated[
        str | None, typer.Option(help="Only those of this reason: max-retries, contract, …")
    ] = None,
    error: Annotated[str | None, typer.Option(help="Only those of this error's class.")] = None,
    run: Annotated[str | None, typer.Option(help="Only those of this run: its id, or its beginning.")] = None,
    stage: Annotated[str | None, typer.Option(help="Only those of this stage.")] = None,
    older: Annotated[
        str | None, typer.Option("--older-than", metavar="SPAN", help="As 90s, 5m, 2h or 3d.")
    ] = None,
    newer: Annotated[
        str | None, typer.Option("--newer-than", metavar="SPAN", help="As 90s, 5m, 2h or 3d.")
    ] = None,
) -> Wish:
    """What the API is told of the letters that are meant."""
    from mousetrap.cli.spans import seconds

    now = time.time()
    return {
        "queue": queue,
        "reason": reason,
        "error": error,
        "run": run,
        "stage": stage,
        "before_ms": int((now - seconds("--older-than", older)) * 1000) if older else None,
        "after_ms": int((now - seconds("--newer-than", newer)) * 1000) if newer else None,
    }


def _of_letters(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options of `_wish`, whose answer it gets as its first argument."""
    options = inspect.signature(_wish).parameters
    _, *own = inspect.signature(command).parameters.values()

    @wraps(command)
    def carry_out(**given: Any) -> None:
        wish = _wish(**{name: given.pop(name) for name in options})
        command(wish, **given)

    # Typer asks these two what to offer.
    both = [*options.values(), *own]
    carry_out.__annotations__ = {option.name: option.annotation for option in both}
    vars(carry_out)["__signature__"] = inspect.Signature(both)
    return carry_out


@dead.command("list")
@_of_letters
def dead_list(
    wish: Wish, limit: Annotated[int, typer.Option(min=1, max=200)] = 20, as_json: AsJson = False
) -> None:
    """List dead letters, newest first."""
    from mousetrap.cli.dead import list_letters

    raise typer.Exit(list_letters(environment(quiet=as_json), wish, limit=limit, as_json=as_json))


@dead.command("groups")
@_of_letters
def dead_groups(wish: Wish, as_json: AsJson = False) -> None:
    """Count dead letters by queue, reason and error."""
    from mousetrap.cli.dead import list_groups

    raise typer.Exit(list_groups(environment(quiet=as_json), wish, as_json=as_json))


@dead.command("show")
def dead_show(
    letter: Annotated[str, typer.Argument(metavar="ID", help="The letter's id, or its beginning.")],
    as_json: AsJson = False,
) -> None:
    """Show what a dead letter carries, why it died, and what happened to its run."""
    from mousetrap.cli.dead import show

    raise typer.Exit(show(environment(quiet=as_json), letter, as_json=as_json))


@dead.command("redrive")
@_of_letters
def dead_redrive(
    wish: Wish,
    ids: Ids = None,
    everything: All = False,
    rate: Annotated[float, typer.Option(min=0.1, max=1000, help="Letters a second, at most.")] = 100.0,
    given: Annotated[
        str | None,
        typer.Option("--input", metavar="JSON|@FILE|-", help="Another input, for one letter alone."),
    ] = None,
) -> None:
    """Send dead letters round again: their attempts are counted anew."""
    from mousetrap.api_client import Misused
    from mousetrap.cli.dead import redrive, redrive_edited

    meant = _meant(wish, ids, everything)
    if given is None:
        raise typer.Exit(redrive(environment(), meant, rate=rate))
    if len(ids or []) != 1:
        raise Misused("--input changes one letter: give its id, and no other")
    raise typer.Exit(redrive_edited(environment(), meant["ids"][0], given))


@dead.command("discard")
@_of_letters
def dead_discard(
    wish: Wish,
    ids: Ids = None,
    everything: All = False,
    sure: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Forget dead letters for good."""
    from mousetrap.cli.dead import discard

    raise typer.Exit(discard(environment(), _meant(wish, ids, everything), sure=sure))


@dead.command("export")
@_of_letters
def dead_export(wish: Wish) -> None:
    """Print dead letters with all that they carry, a line of JSON each."""
    from mousetrap.cli.dead import export

    raise typer.Exit(export(environment(quiet=True), wish))


def _meant(wish: Wish, ids: list[str] | None, everything: bool) -> Wish:
    """The same, for commands that change something."""
    from mousetrap.api_client import Misused

    if not (everything or ids or any(wish.values())):
        raise Misused("say which dead letters are meant, or --all")
    return {**wish, "ids": ids or [], "all": everything or None}
