"""Draws workers as a table: pure."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from mousetrap.cli.tables.style import coloured, duration, table_of
from mousetrap.shapes import Worker

#: Jobs that the list of workers shows.
_JOBS = 20


def workers_table(workers: Sequence[Worker]) -> RenderableType:
    """Who serves which stages, and below that what runs."""
    table = table_of("worker", "state", "stages", "running", "done", "failed", "silent")
    jobs = table_of("run", "stage", "attempt", "for", "worker")
    for worker in workers:
        # What a silent worker ran is taken over by others: it is not doing it any more.
        is_live = worker.state != "stale"
        busy = f"{worker.running} of {worker.concurrency}" if is_live else f"had {worker.running}"
        counts = (busy, str(worker.done), str(worker.failed), duration(worker.silent))
        table.add_row(worker.name, coloured(worker.state, ""), "\n".join(worker.stages), *counts)
        for job in worker.doing[: _JOBS - jobs.row_count] if is_live else ():
            spent = duration(job.seconds)
            jobs.add_row(job.run_id, job.stage, str(job.attempt), spent, Text(worker.name, "dim"))
    if not table.row_count:
        return "no workers: start one with `mousetrap worker TARGET`"
    asked = [
        Text(
            f"{it.name} is asked to {it.asked.act} by {it.asked.who}"
            + (f": {it.asked.why}" if it.asked.why else "")
        )
        for it in workers
        if it.asked is not None
    ]
    more = sum(worker.running for worker in workers if worker.state != "stale") - jobs.row_count
    rest = (Text(f"and {more} more: mousetrap workers --json", "dim"),) if more > 0 else ()
    notes = (Text(), *asked) if asked else ()
    return Group(table, *((Text(), jobs, *rest) if jobs.row_count else ()), *notes)
