"""The commands for runs: run, runs, show, cancel, rerun."""

from typing import TYPE_CHECKING, Annotated

import typer

from mousetrap.cli.options import AsJson, RunId, read_input, seconds
from mousetrap.cli.session import open_api

if TYPE_CHECKING:
    from mousetrap.api_client import Api, Reply
    from mousetrap.shapes import Accepted, Run

_LIMIT = 20


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
    span = seconds("--expires-in", expires_in) if expires_in else None
    with open_api(quiet=as_json) as api:
        reply = api.start(pipeline, read_input(given), key=key, run_id=run_id, expires_in=span)
        _show_or_follow(api, pipeline, reply, follow=follow, as_json=as_json)


def runs(
    pipeline: Annotated[str | None, typer.Option(help="Only the runs of this one.")] = None,
    state: Annotated[
        str | None, typer.Option(help="Only the runs in this state: running, completed, failed, …")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = _LIMIT,
    after: Annotated[str | None, typer.Option(help="Go on where an earlier page ended.")] = None,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first, and why the failed ones failed."""
    from mousetrap.cli.output import local_time, print_reply
    from mousetrap.cli.tables.runs import runs_table

    with open_api(quiet=as_json) as api:
        reply = api.runs(pipeline, state, limit=limit, after=after)
    given = {"--pipeline": pipeline, "--state": state, "--limit": limit if limit != _LIMIT else None}
    filters = "".join(f" {option} {value}" for option, value in given.items() if value)
    print_reply(reply, as_json, lambda page: runs_table(page, local_time(), filters))


def show(run: RunId, as_json: AsJson = False) -> None:
    """Show a run's input, its state, what happened to it, and its result."""
    from mousetrap.cli.output import print_json
    from mousetrap.cli.short_ids import with_run

    with open_api(quiet=as_json) as api:
        reply = with_run(api, run, api.run)
    if as_json:
        print_json(reply.json)
    else:
        _print_run(reply.value)


def cancel(
    run: Annotated[list[str], typer.Argument(metavar="RUN", help="The runs' ids, or their beginnings.")],
) -> None:
    """Cancel runs: no attempt of them begins any more. Exits 1 when one had ended before."""
    from mousetrap.api_client import Misused
    from mousetrap.cli.output import print_line
    from mousetrap.cli.short_ids import with_run

    failures = 0
    with open_api() as api:
        for given in run:
            try:
                run_id = with_run(api, given, api.cancel)
            except Misused as error:  # the other runs are cancelled all the same
                print_line(f"mousetrap: run {given}: {error}", error=True)
                failures += 1
            else:
                print_line(f"run {run_id} is cancelled")
    if failures:
        raise typer.Exit(1)


def rerun(
    run: RunId,
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
    from mousetrap.cli.short_ids import with_run

    with open_api(quiet=as_json) as api:
        body = None if given is None else read_input(given)
        earlier = with_run(api, run, api.run).value
        reply = api.rerun(earlier.id, begin, body, key=key)
        _show_or_follow(api, earlier.pipeline, reply, follow=follow, as_json=as_json)


def _print_run(run: "Run") -> None:
    from mousetrap.cli.output import local_time, terminal, traceback_text
    from mousetrap.cli.result import result_of
    from mousetrap.cli.tables.runs import run_heading, timeline_table

    console = terminal()
    console.print(run_heading(run, local_time()))
    console.print()
    console.print(timeline_table(run.timeline, run.accepted_ms))
    if run.finished_ms:
        console.print()
        console.print(result_of(run))
    if run.failure and run.failure.traceback:
        console.print()
        console.print(traceback_text(run.failure.traceback), soft_wrap=True)


def _show_or_follow(
    api: "Api", pipeline: str, accepted: "Reply[Accepted]", *, follow: bool, as_json: bool
) -> None:
    """Follows the new run to its end, or shows that it was accepted. Exits 1 when the run fails."""
    from mousetrap.cli.output import argument, print_json, print_line

    if follow:
        _follow(api, pipeline, accepted.value.run_id, as_json)
    elif as_json:
        print_json(accepted.json)
    else:
        run_id = accepted.value.run_id
        print_line(f"accepted as run {run_id}: `mousetrap show {argument(run_id)}`")


def _follow(api: "Api", pipeline: str, run_id: str, as_json: bool) -> None:
    from rich.text import Text

    from mousetrap.api_client import follow
    from mousetrap.cli.output import argument, print_reply, terminal
    from mousetrap.cli.result import result_of
    from mousetrap.cli.screen import run_screen

    console = terminal(quiet=as_json)
    console.print(Text.assemble("run ", (run_id, "bold")))
    try:
        with run_screen(console, api.stages(pipeline)) as show:
            for event in follow(api, run_id):
                show(event)
    except KeyboardInterrupt:
        console.print(f"the run goes on: `mousetrap show {argument(run_id)}`")
        raise
    reply = api.run(run_id)
    console.print()
    print_reply(reply, as_json, result_of)
    if reply.value.state != "completed":
        raise typer.Exit(1)
