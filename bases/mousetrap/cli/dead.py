"""The commands `dead …`: list, groups, show, redrive, discard, export."""

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from mousetrap.cli.letter_options import FilteringCommand
from mousetrap.cli.operations import Following, Wait, Why, check_end, follow_operation
from mousetrap.cli.options import AsJson, read_input
from mousetrap.cli.session import open_api

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mousetrap.api_client import Api, LetterFilter
    from mousetrap.cli.repairs import Repaired
    from mousetrap.shapes import Discarded, Letter

app = typer.Typer(
    help="Look at dead letters, and send them round again or discard them.", no_args_is_help=True
)

Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID", help="These letters, by their ids or the beginnings of them."),
]
All = Annotated[bool, typer.Option("--all", help="Needed when no option selects dead letters.")]


@app.command("list", cls=FilteringCommand)
def list_letters(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first."""
    from mousetrap.cli.nearest import unknown_of_letters
    from mousetrap.cli.output import local_time, print_reply
    from mousetrap.cli.tables.dead import letters_table

    with open_api(quiet=as_json) as api:
        reply = api.letters(_whole(api, context.obj), limit=limit)
        hint = "" if reply.value.letters or as_json else unknown_of_letters(api, context.obj)
    print_reply(reply, as_json, lambda page: letters_table(page, local_time(), hint))


@app.command("groups", cls=FilteringCommand)
def list_groups(context: typer.Context, as_json: AsJson = False) -> None:
    """Count dead letters by queue, reason and error."""
    from mousetrap.cli.output import local_time, print_reply
    from mousetrap.cli.tables.dead import groups_table

    with open_api(quiet=as_json) as api:
        reply = api.letter_groups(_whole(api, context.obj))
    print_reply(reply, as_json, lambda groups: groups_table(groups, local_time()))


@app.command()
def show(
    letter: Annotated[str, typer.Argument(metavar="ID", help="The letter's id, or its beginning.")],
    as_json: AsJson = False,
) -> None:
    """Show what a dead letter carries, why it died, and what happened to its run."""
    from mousetrap.cli.output import print_json
    from mousetrap.cli.short_ids import letter_place

    with open_api(quiet=as_json) as api:
        reply = api.letter(*letter_place(api, letter))
    if as_json:
        print_json(reply.json)
    else:
        _print_letter(reply.value)


@app.command(cls=FilteringCommand)
def redrive(
    context: typer.Context,
    ids: Ids = None,
    everything: All = False,
    rate: Annotated[float, typer.Option(min=0.1, max=1000, help="Letters a second, at most.")] = 100.0,
    given: Annotated[
        str | None,
        typer.Option("--input", metavar="JSON|@FILE|-", help="Another input, for one letter alone."),
    ] = None,
    wait: Wait = True,
    why: Why = "",
    as_json: AsJson = False,
) -> None:
    """Send dead letters round again: their attempts are counted from one again.

    This goes on in the server, also when the command is interrupted: `mousetrap operations` lists it.
    """
    from mousetrap.cli.output import print_line
    from mousetrap.cli.repairs import Repaired

    letters = _selected(context.obj, ids, everything)
    if given is not None:
        _redrive_edited(letters.ids, given, why)
        return
    with open_api(quiet=as_json, why=why) as api:
        letters = _whole(api, letters)
        is_late = _come_too_late(api, letters)
        done = follow_operation(api, api.redrive(letters, rate=rate), Following(wait, as_json))
    if done is None:
        return
    if not as_json:
        _print_repaired(Repaired.of_operation(done), letters.ids)
    check_end(done)
    if is_late and done.done and not as_json:
        print_line("the run stays as it is: it went on, or ended, without them before")


@app.command(cls=FilteringCommand)
def discard(
    context: typer.Context,
    ids: Ids = None,
    everything: All = False,
    sure: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    why: Why = "",
) -> None:
    """Forget dead letters for good."""
    letters = _selected(context.obj, ids, everything)
    with open_api(why=why) as api:
        letters = _whole(api, letters)
        if not sure:
            _confirm(api.letters(replace(letters, all=None), limit=1).value.matched)
        done = _repaired("discard", lambda limit: api.discard(letters, limit=limit))
    _print_repaired(done, letters.ids)


@app.command(cls=FilteringCommand)
def export(context: typer.Context) -> None:
    """Print dead letters with all that they carry, a line of JSON each."""
    from mousetrap.cli.output import print_json_line

    with open_api(quiet=True) as api:
        for line in api.export(_whole(api, context.obj)):
            print_json_line(line)


def _input_of(letter: "Letter") -> "RenderableType":
    """The input for people: one that is not shown, by where it is."""
    from mousetrap.cli.output import json_text

    if letter.payload_error:
        return letter.payload_error
    at = letter.payload_reference
    if at is None or letter.payload is not None:
        return json_text(letter.payload)
    return f"an input of {at.size} bytes, in the store of payloads as {at.key}"


def _print_letter(letter: "Letter") -> None:
    from mousetrap.cli.output import local_time, terminal, traceback_text
    from mousetrap.cli.tables.dead import letter_facts
    from mousetrap.cli.tables.runs import timeline_table

    console = terminal()
    console.print(letter_facts(letter, local_time()))
    console.print()
    console.print(_input_of(letter) if letter.body is None else letter.body)
    if letter.traceback:
        console.print()
        console.print(traceback_text(letter.traceback), soft_wrap=True)
    if letter.run:
        console.print()
        console.print(timeline_table(letter.run.timeline, letter.run.accepted_ms))


def _redrive_edited(ids: Sequence[str], given: str, why: str) -> None:
    from mousetrap.api_client import Misused
    from mousetrap.cli.repairs import Repaired
    from mousetrap.cli.short_ids import letter_place

    if len(ids) != 1:
        raise Misused("--input changes one letter: give its id, and no other")
    body = read_input(given)
    with open_api(why=why) as api:
        _print_repaired(Repaired.of(api.redrive_edited(*letter_place(api, ids[0]), body)))


def _selected(letters: "LetterFilter", ids: Sequence[str] | None, everything: bool) -> "LetterFilter":
    """The filter of a command that changes something. Raises Misused where nothing was given."""
    from mousetrap.api_client import Misused

    selected = replace(letters, ids=tuple(ids or ()), all=everything or None)
    if not selected.params():
        raise Misused("select dead letters with a filter, or pass --all")
    return selected


def _whole(api: "Api", letters: "LetterFilter") -> "LetterFilter":
    """The same filter with whole ids in place of beginnings."""
    from mousetrap.api_client import UnknownRun
    from mousetrap.cli.short_ids import whole_letter_ids, with_run

    if letters.ids:
        letters = replace(letters, ids=tuple(whole_letter_ids(api, letters.ids)))
    if letters.run:
        with suppress(UnknownRun):  # a letter may be kept for longer than its run
            letters = replace(letters, run=with_run(api, letters.run, api.run).value.id)
    return letters


def _come_too_late(api: "Api", letters: "LetterFilter") -> bool:
    """Whether these are of one run, which has no use for them any more; looked at for a run's letters, and for a single one."""
    from mousetrap.api_client import UnknownRun
    from mousetrap.cli.tables.jobs import goes_without_lost
    from mousetrap.shapes import RunState

    if letters.run is None and len(letters.ids) != 1:
        return False
    found = api.letters(letters, limit=200).value.letters
    run_id = found[0].run_id if found else None
    if run_id is None:
        return False
    try:
        run = api.run(run_id).value
    except UnknownRun:
        return False
    if not goes_without_lost(run) or run.state in (RunState.COMPLETED, RunState.CANCELLED):
        return goes_without_lost(run)
    # What failed after the join is waited for.
    inside = {stage.name for stage in api.stages(run.pipeline) if stage.inside}
    return all(letter.stage in inside for letter in found)


def _confirm(count: int) -> None:
    from mousetrap.api_client import CommandFailed, Misused

    if not sys.stdin.isatty():
        raise Misused("discarding cannot be undone: without a terminal to ask on, pass --yes")
    if input(f"Discard {count} dead letters for good? [y/N] ").strip().lower() not in ("y", "yes"):
        raise CommandFailed("nothing was discarded")


def _repaired(action: str, request: "Callable[[int], Discarded]") -> "Repaired":
    from mousetrap.cli.output import terminal
    from mousetrap.cli.repairs import in_batches

    with terminal(stderr=True).status(f"{action}: looking") as status:
        return in_batches(
            request, lambda total: status.update(f"{action}: {total.removed} of {total.matched}")
        )


def _print_repaired(done: "Repaired", ids: Sequence[str] = ()) -> None:
    """Raises Misused for `ids` that no letter has, CommandFailed for a filter that selects none of those that could be read."""
    from mousetrap.api_client import CommandFailed, Misused
    from mousetrap.cli.output import print_line

    if not done.matched and done.unseen:
        raise CommandFailed(
            f"none of those that were read matches, and {done.unseen} could not be read just now: repeat the command"
        )
    if not done.matched:
        raise (Misused if ids else CommandFailed)("no dead letter matches: `mousetrap dead list` lists them")
    print_line(
        f"{done.redriven} redriven" if done.redriven or not done.discarded else f"{done.discarded} discarded"
    )
    if done.stale:
        print_line(
            f"{done.stale} dropped: their jobs have gone on without them, or their runs are cancelled or have expired"
        )
    if done.left or done.unseen:
        print_line(f"{done.left + done.unseen} left: repeat the command for them")
