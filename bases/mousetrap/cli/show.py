"""Lists runs and shows one of them, as the API tells it."""

from collections.abc import Mapping
from datetime import datetime

from rich.text import Text

from mousetrap.api_client import Api, read_page, read_run
from mousetrap.cli.output import print_json, terminal
from mousetrap.cli.result import result_of
from mousetrap.cli.short_ids import with_run
from mousetrap.cli.tables import run_heading, runs_table, timeline_table
from mousetrap.settings import Settings


def runs(
    environ: Mapping[str, str],
    *,
    pipeline: str | None,
    state: str | None,
    limit: int,
    after: str | None,
    as_json: bool,
) -> int:
    """The command `runs`."""
    settings = Settings.from_environ(environ)
    with Api(settings.api_url, settings.api_key) as api:
        answer = api.runs_as_json(pipeline, state, limit, after)
    given = {"--pipeline": pipeline, "--state": state, "--limit": limit if limit != 20 else None}
    filters = "".join(f" {option} {value}" for option, value in given.items() if value)
    if as_json:
        print_json(answer)
    else:
        terminal().print(runs_table(read_page(answer), datetime.now().astimezone(), filters))
    return 0


def show(environ: Mapping[str, str], run_id: str, *, as_json: bool) -> int:
    """The command `show`."""
    settings = Settings.from_environ(environ)
    with Api(settings.api_url, settings.api_key) as api:
        answer = with_run(api, run_id, api.run_as_json)
    if as_json:
        print_json(answer)
        return 0
    run = read_run(answer)
    console = terminal()
    console.print(run_heading(run, datetime.now().astimezone()))
    console.print()
    console.print(timeline_table(run.timeline, run.accepted_ms))
    if run.finished_ms:
        console.print()
        console.print(result_of(run))
    if run.failure and run.failure.traceback:
        console.print(Text(f"\n{run.failure.traceback.rstrip()}", "dim"), soft_wrap=True)
    return 0
