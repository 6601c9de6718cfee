"""Draws the jobs of a run as a table: pure."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mousetrap.cli.output import argument
from mousetrap.cli.progress import one_line_value, state_of
from mousetrap.cli.tables.runs import failure_text, fan_text
from mousetrap.cli.tables.style import COLOURS, duration, table_of
from mousetrap.shapes import Attempt, FailureLine, JobLine, JobPage, Run, RunState


def jobs_table(page: JobPage, run: str, filters: str = "", *, is_over: bool = False) -> RenderableType:
    """A page of a run's jobs, and the command for the next one with the same `filters`; `is_over`: a redrive changes nothing."""
    more = [Text(f"more: mousetrap jobs {run}{filters} --after {page.next}", "dim")] if page.next else []
    if not page.jobs:
        return Group("no job matches" if not more else "no job matches of those that were looked at", *more)
    has_index = any(job.index for job in page.jobs)
    table = table_of("job", "stage", *(["index"] if has_index else []), "state", "attempt", "took", "what")
    # Commands take the beginning of an id.
    table.columns[0].no_wrap, table.columns[0].overflow, table.columns[0].max_width = True, "ellipsis", 12
    table.expand, what = True, table.columns[-1]
    what.ratio, what.no_wrap, what.overflow = 1, True, "ellipsis"
    for job in page.jobs:
        word = state_of(job) if job.state == "done" else job.state.value
        state = Text(word, COLOURS.get(word, ""))
        item = [_item(job)] if has_index else []
        table.add_row(job.id, job.stage, *item, state, str(job.attempt or ""), _took(job), _what(job))
        for it in _earlier(job):
            outcome = Text(it.outcome or "lost", COLOURS.get(it.outcome, ""))
            note = _why(it.failure) if it.failure else Text(it.worker, "dim")
            table.add_row("", "", *([""] if has_index else []), outcome, str(it.number), _took(it), note)
    return Group(table, *more, *_letters(page.jobs, run, is_over=is_over))


def goes_without_lost(run: Run) -> bool:
    """Whether what a fan-out has lost comes too late for its run: its join has begun, or the run has ended otherwise."""
    if run.state in (RunState.COMPLETED, RunState.CANCELLED):
        return True
    return bool(run.fans) and all(fan.state == "fired" for fan in run.fans)


def _item(job: JobLine) -> str:
    """Which child it is: its index in each fan, and its key."""
    index = ".".join(map(str, job.index))
    return f"{index} {job.key}" if job.key is not None else index


def _earlier(job: JobLine) -> Iterable[Attempt]:
    """The attempts before the one that the job's own line has, oldest first."""
    its_own = bool(job.attempts) and job.attempts[-1].number == job.attempt
    return job.attempts[:-1] if its_own else job.attempts


def _took(job: JobLine | Attempt) -> str:
    return duration((job.ended_ms - job.began_ms) / 1000) if job.ended_ms and job.began_ms else ""


def _what(job: JobLine) -> Text:
    """What became of it, on one line, without passwords; the API's answer has all of it."""
    if job.unreadable:
        return Text(job.unreadable, "bold red")
    if job.failure:
        return _why(job.failure)
    if job.children:
        return fan_text(job.children)
    if job.output_reference:
        return Text(f"{job.output_reference.size:,} bytes, in the store of payloads", "dim")
    return Text(one_line_value(job.output) if job.state == "done" else job.worker, "dim")


def _why(failure: FailureLine) -> Text:
    return Text(" ".join(str(failure_text(failure)).split()), "red")


def _letters(jobs: Iterable[JobLine], run: str, *, is_over: bool) -> Iterable[RenderableType]:
    """How to see, and to repair, what was given up."""
    failed = [job for job in jobs if job.letter]
    if failed:
        commands = Table.grid(padding=(0, 2))
        commands.add_row("see one", f"mousetrap dead show {argument(failed[0].id[:12])}")
        if is_over:
            commands.add_row("redrive", "changes nothing: the run goes on, or has ended, without them")
        else:
            commands.add_row("redrive all", f"mousetrap dead redrive --run {run}")
        yield from (Text(), commands)
