"""The commands for runs: run, runs, show, cancel, rerun."""

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from mousetrap.cli.operations import Following as Staying
from mousetrap.cli.operations import Limit, Rate, Wait, Why
from mousetrap.cli.options import AsJson, RunId, read_input, seconds, time_of
from mousetrap.cli.run_options import SelectedRuns
from mousetrap.cli.session import open_api
from mousetrap.cli.start_options import (
    At,
    Batch,
    Delay,
    ExpiresIn,
    Input,
    Key,
    OwnId,
    Priority,
    Tags,
    start_options,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from mousetrap.api_client import Api, Reply, StartOptions
    from mousetrap.shapes import Accepted, Run, Waiting

_LIMIT = 20
Runs = Annotated[list[str] | None, typer.Argument(metavar="RUN", help="The runs' ids, or their beginnings.")]
All = Annotated[bool, typer.Option("--all", help="Needed when no option selects runs.")]
Sure = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
MostWait = Annotated[
    str | None,
    typer.Option(metavar="SPAN", help="Follow it for no longer than this; exits 4 when it has not ended."),
]
Follow = Annotated[bool, typer.Option("--follow/--no-follow", help="Stay until the run has ended.")]


def run(
    pipeline: Annotated[str, typer.Argument(help="Its name: the API's /pipelines lists them.")],
    given: Input = "{}",
    batch: Batch = None,
    key: Key = None,
    run_id: OwnId = None,
    delay: Delay = None,
    at: At = None,
    expires_in: ExpiresIn = None,
    tag: Tags = None,
    priority: Priority = None,
    wait: MostWait = None,
    follow: Follow = True,
    as_json: AsJson = False,
) -> None:
    """Start a run and follow it to its result. Exits 1 when the run fails, 4 when it has not ended within --wait."""
    options = start_options(
        unique=key, id=run_id, delay=delay, at=at, expires_in=expires_in, tag=tag, priority=priority
    )
    limit = seconds("--wait", wait) if wait else None
    due = time_of("--at", at) if at else None
    with open_api(quiet=as_json) as api:
        if batch is not None:
            _check_alone(options, given, wait)
            _start_batch(api, pipeline, batch, as_json)
            return
        reply = api.start(pipeline, read_input(given), options)
        _show_or_follow(api, pipeline, reply, _Following(follow, limit, as_json, _begin(options.delay, due)))


def runs(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=200)] = _LIMIT,
    after: Annotated[str | None, typer.Option(help="Go on where an earlier page ended.")] = None,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first, and why the failed ones failed. Options that are given together all hold."""
    from mousetrap.cli.nearest import unknown_of_runs
    from mousetrap.cli.output import local_time, print_reply
    from mousetrap.cli.tables.runs import runs_table

    selected: SelectedRuns = context.obj
    with open_api(quiet=as_json) as api:
        reply = api.runs(selected.filter, limit=limit, after=after)
        hint = "" if reply.value.runs or as_json else unknown_of_runs(api, selected.filter)
    words = selected.words + (f" --limit {limit}" if limit != _LIMIT else "")
    print_reply(reply, as_json, lambda page: runs_table(page, local_time(), words, hint))


def show(run: RunId, as_json: AsJson = False) -> None:
    """Show a run's input, its state, why it waits, what happened to it, and its result."""
    from mousetrap.cli.output import print_json
    from mousetrap.cli.short_ids import with_run

    with open_api(quiet=as_json) as api:
        reply = with_run(api, run, api.run)
        waiting = None if as_json or reply.value.finished_ms else _waiting(api, reply.value.id)
    if as_json:
        print_json(reply.json)
    else:
        _print_run(reply.value, waiting)


def _waiting(api: "Api", run_id: str) -> "Waiting | None":
    """Why the run waits; None where the API cannot answer that, as one of an earlier version: the run is shown all the same."""
    from mousetrap.api_client import CommandFailed

    try:
        return api.waiting(run_id).value
    except CommandFailed:
        return None


def cancel(
    context: typer.Context,
    run: Runs = None,
    everything: All = False,
    limit: Limit = None,
    rate: Rate = 100.0,
    sure: Sure = False,
    wait: Wait = True,
    why: Why = "",
    as_json: AsJson = False,
) -> None:
    """Cancel runs: no attempt of them begins any more. Exits 1 when one had ended before, 2 when there is no such run.

    One that has failed can be cancelled while other jobs of a fan-out go on.

    All runs that options select, without --state those that have not ended, are cancelled in the server.
    """
    from mousetrap.cli.bulk import Many, check_either

    many = Many(context.obj, everything, limit, rate, sure, why)
    if check_either(run or (), many):
        _cancel_each(run or (), why)
    else:
        many.cancel(Staying(wait, as_json))


def _cancel_each(runs: "Sequence[str]", why: str) -> None:
    from mousetrap.api_client import Misused, RunEnded
    from mousetrap.cli.output import print_line
    from mousetrap.cli.short_ids import with_run

    code = 0
    with open_api(why=why) as api:
        for given in runs:
            try:
                run_id = with_run(api, given, api.cancel)
            except (Misused, RunEnded) as error:  # the other runs are cancelled all the same
                print_line(f"mousetrap: run {given}: {error}", error=True)
                code = max(code, error.code)
            else:
                print_line(f"run {run_id} is cancelled")
    if code:
        raise typer.Exit(code)


def rerun(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="The run's id, or its beginning.")] = None,
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
    everything: All = False,
    limit: Limit = None,
    rate: Rate = 100.0,
    sure: Sure = False,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Stay until the new run, or all, are done.")
    ] = True,
    why: Why = "",
    as_json: AsJson = False,
) -> None:
    """Repeat a run as a new one, and follow it to its result. Exits 1 when the new run fails.

    All runs that options select, without --state those that have ended, are repeated in the server.
    """
    from mousetrap.api_client import Misused
    from mousetrap.cli.bulk import Many, check_either
    from mousetrap.cli.short_ids import with_run

    many = Many(context.obj, everything, limit, rate, sure, why)
    if not check_either([run] if run else (), many):
        if given is not None:
            raise Misused("--input is for one run alone")
        many.rerun(begin, key, Staying(follow, as_json))
        return
    assert run is not None
    with open_api(quiet=as_json, why=why) as api:
        body = None if given is None else read_input(given)
        earlier = with_run(api, run, api.run).value
        reply = api.rerun(earlier.id, begin, body, key=key)
        _show_or_follow(api, earlier.pipeline, reply, _Following(follow, None, as_json))


def _print_run(run: "Run", waiting: "Waiting | None" = None) -> None:
    from mousetrap.cli.output import local_time, terminal, traceback_text
    from mousetrap.cli.result import result_of
    from mousetrap.cli.tables.runs import repair_hints, run_heading, timeline_table
    from mousetrap.cli.tables.waiting import waiting_lines, waits_at

    console = terminal()
    console.print(run_heading(run, local_time(), waits_at(waiting) if waiting else ""))
    if waiting is not None and waiting.headline.kind != "ended":
        console.print(waiting_lines(waiting))
    console.print()
    console.print(timeline_table(run.timeline, run.accepted_ms))
    if run.finished_ms:
        console.print()
        console.print(result_of(run))
    if run.failure and run.failure.traceback:
        console.print()
        console.print(traceback_text(run.failure.traceback), soft_wrap=True)
    if run.state == "failed":
        console.print(repair_hints(run, with_story=False))


def _start_batch(api: "Api", pipeline: str, batch: str, as_json: bool) -> None:
    from mousetrap.cli.batch import start_batch

    start_batch(api, pipeline, batch, as_json=as_json)


def _check_alone(options: "StartOptions", given: str, wait: str | None) -> None:
    """Raises Misused for what each line of a batch has for itself."""
    from mousetrap.api_client import Misused, StartOptions

    if options != StartOptions() or given != "{}" or wait:
        raise Misused(
            "--batch takes inputs and options from its lines: leave out --input, --key, --id, --delay, --at, --expires-in, "
            "--priority, --tag and --wait"
        )


class _Following(NamedTuple):
    """How a command stays with the run that it started."""

    follow: bool
    #: Seconds; None for as long as it takes.
    limit: float | None
    as_json: bool
    #: When the run begins, in words; empty for at once.
    begins: str = ""


def _begin(delay: float | None, at: "datetime | None") -> str:
    """When a run with these options begins, in words; empty for at once."""
    from mousetrap.cli.output import local_time
    from mousetrap.cli.tables.style import about, moment

    now = local_time()
    due_s = at.timestamp() if at else now.timestamp() + (delay or 0.0)
    left_s = due_s - now.timestamp()
    return f"begins in {about(left_s)}, at {moment(int(due_s * 1000), now)}" if left_s > 0 else ""


def _show_or_follow(api: "Api", pipeline: str, accepted: "Reply[Accepted]", how: _Following) -> None:
    """Follows the new run to its end, or shows that it was accepted. Exits 1 when the run fails, 4 when the time is over."""
    from mousetrap.cli.output import argument, print_json, print_line
    from mousetrap.cli.time_limit import TimeOver, time_limit

    run_id = accepted.value.run_id
    if how.follow:
        if how.begins and not how.as_json:
            print_line(f"the run {how.begins}; this stays until it has ended, and --no-follow leaves at once")
        try:
            with time_limit(how.limit):
                _follow(api, pipeline, run_id, how.as_json)
        except TimeOver:
            raise TimeOver(
                f"run {run_id} has not ended within {how.limit:g} s, and goes on: `mousetrap show {argument(run_id)}`"
            ) from None
    elif how.as_json:
        print_json(accepted.json)
    else:
        begins = f", which {how.begins}" if how.begins else ""
        print_line(f"accepted as run {run_id}{begins}: `mousetrap show {argument(run_id)}`")


def _follow(api: "Api", pipeline: str, run_id: str, as_json: bool) -> None:
    from rich.text import Text

    from mousetrap.api_client import follow
    from mousetrap.cli.output import argument, print_reply, terminal
    from mousetrap.cli.progress import waiting_stages
    from mousetrap.cli.result import result_of
    from mousetrap.cli.screen import first_jobs, run_screen
    from mousetrap.cli.tables.runs import repair_hints

    console = terminal(quiet=as_json)
    console.print(Text.assemble("run ", (run_id, "bold")))
    try:
        with run_screen(console, waiting_stages(api.stages(pipeline)), first_jobs(api, run_id)) as show:
            for event in follow(api, run_id):
                show(event)
    except KeyboardInterrupt:
        console.print(f"the run goes on: `mousetrap show {argument(run_id)}`")
        raise
    reply = api.run(run_id)
    console.print()
    print_reply(reply, as_json, result_of)
    if reply.value.state != "completed":
        if reply.value.state == "failed" and not as_json:
            console.print(repair_hints(reply.value, with_story=True))
        raise typer.Exit(1)
