"""The command logs: prints the lines that a run's handlers logged."""

from collections.abc import Iterator
from dataclasses import replace
from time import sleep
from typing import TYPE_CHECKING, Annotated

import typer

from mousetrap.cli.options import AsJson, RunId
from mousetrap.cli.session import open_api

if TYPE_CHECKING:
    from mousetrap.api_client import Api
    from mousetrap.shapes import LogLine, LogPage

#: All lines that are kept of a run fit into one page.
_LIMIT = 1_000
#: Between two questions for further lines; a worker writes them twice a second.
_POLL_S = 1.0


def logs(
    run: RunId,
    level: Annotated[
        str, typer.Option(help="Only lines from this level up: DEBUG, INFO, WARNING or ERROR.")
    ] = "DEBUG",
    stage: Annotated[str | None, typer.Option(help="Only lines of this stage's jobs.")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print further lines until the run has ended.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=_LIMIT)] = _LIMIT,
    after: Annotated[int, typer.Option(min=0, help="Go on after the line of this number.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Print what a run's handlers logged, also by other libraries; with --follow --json, a line of JSON each."""
    import msgspec

    from mousetrap.cli.output import argument, print_json, print_json_line, terminal
    from mousetrap.cli.short_ids import with_run
    from mousetrap.cli.tables.logs import gone, shown

    with open_api(quiet=as_json) as api:
        run_id = with_run(api, run, api.run).value.id
        reply = api.logs(run_id, level=level.upper(), after=after, limit=limit)
        if as_json and not follow:
            print_json(reply.json if stage is None else msgspec.json.encode(_of_stage(reply.value, stage)))
            return
        out, page = terminal(wrap=False), reply.value
        for notice in [] if as_json else gone(page, argument(run), is_over=not follow):
            out.print(notice)
        for line in _followed(api, run_id, level, page) if follow else page.lines:
            if stage not in (None, line.stage):
                continue
            if as_json:
                print_json_line(msgspec.json.encode(line))
            else:
                out.print(shown(line))


def _of_stage(page: "LogPage", stage: str) -> "LogPage":
    return replace(page, lines=tuple(line for line in page.lines if line.stage == stage))


def _followed(api: "Api", run_id: str, level: str, page: "LogPage") -> "Iterator[LogLine]":
    """The lines of this page and those that follow, until the run has ended and its workers have written what they had."""
    from mousetrap.shapes import ENDS

    after, was_over = 0, False
    while True:
        yield from page.lines
        after = page.lines[-1].number if page.lines else after
        if page.next is None:
            if was_over:
                return
            was_over = api.run(run_id).value.state in ENDS
            sleep(_POLL_S)
        page = api.logs(run_id, level=level.upper(), after=after, limit=_LIMIT).value
