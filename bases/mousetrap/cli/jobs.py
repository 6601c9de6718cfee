"""The command jobs: lists the jobs of a run."""

from typing import Annotated

import typer

from mousetrap.cli.options import AsJson, RunId
from mousetrap.cli.session import open_api

_LIMIT = 20


def jobs(
    run: RunId,
    stage: Annotated[str | None, typer.Option(help="Only the jobs of this one.")] = None,
    state: Annotated[
        str | None,
        typer.Option(help="Only the jobs in this state: queued, running, retrying, done, failed or over."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = _LIMIT,
    after: Annotated[str | None, typer.Option(help="Go on where an earlier page ended.")] = None,
    as_json: AsJson = False,
) -> None:
    """List a run's jobs by stage, with each item's of a fan-out, and what became of them."""
    from mousetrap.api_client import JobFilter
    from mousetrap.cli.output import argument, print_reply
    from mousetrap.cli.short_ids import with_run
    from mousetrap.cli.tables.jobs import goes_without_lost, jobs_table

    wanted = JobFilter(stage=stage, state=state, after=after)
    with open_api(quiet=as_json) as api:
        reply = with_run(api, run, lambda run_id: api.jobs(run_id, wanted, limit=limit))
        # Another request only where a repair would be offered.
        lost = not as_json and any(job.letter and job.index for job in reply.value.jobs)
        is_over = lost and goes_without_lost(with_run(api, run, api.run).value)
    given = {"--stage": stage, "--state": state, "--limit": limit if limit != _LIMIT else None}
    filters = "".join(f" {option} {value}" for option, value in given.items() if value)
    print_reply(reply, as_json, lambda page: jobs_table(page, argument(run), filters, is_over=is_over))
