"""The commands `outbox …`: relay, create, status, failed, retry, discard."""

import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from mousetrap.cli.options import AsJson
from mousetrap.cli.session import environment, read_settings

if TYPE_CHECKING:
    from mousetrap.outbox import Database

app = typer.Typer(help="Submit the runs that committed transactions left in an outbox table.")

RowIds = Annotated[
    list[int] | None,
    typer.Argument(metavar="ROW", help="These rows, by the numbers that `failed` shows."),
]
All = Annotated[bool, typer.Option("--all", help="All rows that were set aside.")]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an outbox is."""

    url: str
    table: str


@app.callback(invoke_without_command=True)
def relay(
    context: typer.Context,
    database: Annotated[
        str,
        typer.Option(
            metavar="URL", help="sqlite:///FILE or postgresql://…; else MOUSETRAP_OUTBOX_URL has it."
        ),
    ] = "",
    table: Annotated[str, typer.Option(help="The outbox table.")] = "mousetrap_outbox",
) -> None:
    """Submit the runs that committed transactions left in an outbox table, until asked to stop.

    Any number of these may run at once. A row whose run is refused is set aside, and blocks the later rows of its key.
    """
    context.obj = Place(database, table)
    if context.invoked_subcommand is None:
        from mousetrap.cli.outbox_relay import run_relay

        settings = read_settings(environment())
        with _misused():
            raise typer.Exit(run_relay(settings, database or _given(settings.outbox_url), table))


@app.command()
def create(context: typer.Context) -> None:
    """Make the table, unless it is there."""
    from mousetrap.cli.output import print_line
    from mousetrap.outbox import create_table, place_of

    with _open(context) as (engine, table):
        create_table(engine, table)
    print_line(f"table {table} is at {place_of(engine)}")


@app.command()
def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Count the rows, and show how long the oldest has waited."""
    import msgspec

    from mousetrap.cli.output import local_time, print_json, terminal
    from mousetrap.cli.tables.outbox import status_table
    from mousetrap.outbox import count_rows

    with _open(context, quiet=as_json) as (engine, table):
        counted = count_rows(engine, table)
    if as_json:
        print_json(msgspec.json.encode(counted._asdict()))
    else:
        terminal().print(status_table(counted, local_time()))


@app.command()
def failed(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    as_json: AsJson = False,
) -> None:
    """List the rows that were set aside, oldest first, with the error of each."""
    import msgspec

    from mousetrap.cli.output import local_time, print_json, terminal
    from mousetrap.cli.tables.outbox import set_aside_list
    from mousetrap.outbox import list_set_aside

    with _open(context, quiet=as_json) as (engine, table):
        rows = list_set_aside(engine, table, limit=limit)
    if as_json:
        print_json(msgspec.json.encode(rows))
    else:
        terminal().print(set_aside_list(rows, local_time()))


@app.command()
def retry(context: typer.Context, rows: RowIds = None, everything: All = False) -> None:
    """Let rows that were set aside wait again; a relay submits them under the same run ids."""
    from mousetrap.outbox import retry_set_aside

    _repair(context, "retried", _selected(rows, everything), retry_set_aside)


@app.command()
def discard(
    context: typer.Context,
    rows: RowIds = None,
    everything: All = False,
    sure: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete rows that were set aside: their runs never begin."""
    from mousetrap.outbox import discard_set_aside

    selected = _selected(rows, everything)
    if not sure:
        _confirm("all rows that were set aside" if selected is None else f"{len(selected)} rows")
    _repair(context, "discarded", selected, discard_set_aside)


def _repair(
    context: typer.Context,
    done: str,
    selected: Collection[int] | None,
    act: "Callable[[Database, str, Collection[int] | None], int]",
) -> None:
    from mousetrap.api_client import CommandFailed, Misused
    from mousetrap.cli.output import print_line

    with _open(context) as (engine, table):
        count = act(engine, table, selected)
    if not count:
        raise (CommandFailed if selected is None else Misused)(
            "no such row was set aside: `mousetrap outbox failed` lists them"
        )
    print_line(f"{count} {done}")


def _selected(rows: list[int] | None, everything: bool) -> Collection[int] | None:
    """The rows; None for all. Raises Misused where nothing, or both, is given."""
    from mousetrap.api_client import Misused

    if bool(rows) == everything:
        raise Misused("give the numbers of rows, or --all")
    return rows or None


def _confirm(what: str) -> None:
    from mousetrap.api_client import CommandFailed, Misused

    if not sys.stdin.isatty():
        raise Misused("discarding cannot be undone: without a terminal to ask on, pass --yes")
    if input(f"Discard {what} for good? [y/N] ").strip().lower() not in ("y", "yes"):
        raise CommandFailed("nothing was discarded")


@contextmanager
def _open(context: typer.Context, *, quiet: bool = False) -> "Iterator[tuple[Database, str]]":
    from mousetrap.outbox import open_engine

    place: Place = context.obj
    url = place.url or _given(read_settings(environment(quiet=quiet)).outbox_url)
    with _misused(), open_engine(url) as engine:
        yield engine, place.table


def _given(url: str) -> str:
    from mousetrap.api_client import Misused

    if not url:
        raise Misused("where is the outbox? Give --database URL, or set MOUSETRAP_OUTBOX_URL")
    return url


@contextmanager
def _misused() -> Iterator[None]:
    """Raises Misused for an address that cannot be used."""
    from mousetrap.api_client import Misused

    try:
        yield
    except ValueError as error:
        raise Misused(f"--database or MOUSETRAP_OUTBOX_URL: {error}") from error
