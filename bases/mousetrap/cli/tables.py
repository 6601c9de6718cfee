"""Draws runs, stages and timelines as tables: pure, from what the API answered and the time it is."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mousetrap.api_client import Event, Failure, Page, PutAside, Run, Worker
from mousetrap.cli.checks import Check
from mousetrap.cli.output import argument
from mousetrap.cli.progress import Stages, StageSeen
from mousetrap.settings import masked

_COLOURS = {
    "completed": "green",
    "done": "green",
    "finished": "green",
    "ok": "green",
    "failed": "bold red",
    "fail": "bold red",
    "gave_up": "bold red",
    "rejected": "red",
    "cancelled": "yellow",
    "expired": "yellow",
    "redriven": "cyan",
    "retrying": "yellow",
    "handed_back": "yellow",
    "warn": "yellow",
    "running": "cyan",
    "started": "cyan",
    "waiting": "dim",
    "serving": "green",
    "draining": "yellow",
    "stuck": "bold red",
    "stale": "bold red",
    "unreadable": "bold red",
}
_MARKS = {"waiting": "○", "retrying": "↻", "done": "✔", "failed": "✘"}
#: Jobs that the list of workers shows.
_JOBS = 20
_TURNING = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


def stages_table(stages: Stages, now: float) -> Table:
    """What each stage does at the time `now` (seconds since 1970)."""
    table = Table.grid(padding=(0, 2))
    for column in range(6):  # the last one gives way where the terminal is narrow
        table.add_column(no_wrap=column < 5, justify="right" if column == 3 else "left")
    for stage in stages:
        colour = _COLOURS[stage.state]
        table.add_row(
            Text(_MARKS.get(stage.state) or _TURNING[int(now * 10) % len(_TURNING)], colour),
            Text(stage.name, "bold"),
            Text(stage.state, colour),
            _spent(stage, now),
            f"attempt {stage.attempt}" if stage.attempt > 1 else "",
            _note(stage),
        )
    return table


def event_line(event: Event, began_ms: int) -> Text:
    """One event on one line, with the time since the run was accepted."""
    line = Text(f"{(event.at_ms - began_ms) / 1000:8.2f} s  ")
    line.append(f"{event.stage or '':<12}").append(in_words(event.kind), _COLOURS.get(event.kind, ""))
    if event.attempt and event.attempt > 1:
        line.append(f", attempt {event.attempt}")
    if event.worker and event.kind == "started":
        line.append(f" by {event.worker}")
    if event.failure:
        line.append(f": {' '.join(event.failure.words.split())}")
    return line


def runs_table(page: Page, now: datetime, filters: str = "") -> RenderableType:
    """A page of runs, newest first, and how to ask for the next with the same `filters` of the command line."""
    more = [Text(f"more: mousetrap runs{filters} --after {page.next}", "dim")] if page.next else []
    if not page.runs and (filters or more):
        return Group("no run matches" if not more else "no run matches of those that were looked at", *more)
    if not page.runs:
        return "no runs: start one with `mousetrap run PIPELINE`"
    table = table_of("run", "pipeline", "state", "accepted", "took")
    for run in page.runs:
        accepted = moment(run.accepted_ms, now)
        table.add_row(run.id, run.pipeline, _coloured(run.state, ""), accepted, _took(run))
    return Group(table, *more, *_why_failed(page.runs))


def _why_failed(runs: Iterable[Run]) -> Iterable[RenderableType]:
    """A line for each of the runs that failed, cut to the terminal's width."""
    table = table_of("run", "why")
    table.expand, why = True, table.columns[-1]
    why.ratio, why.no_wrap, why.overflow = 1, True, "ellipsis"
    for run in runs:
        if run.failure and run.finished_ms:
            table.add_row(run.id, Text(" ".join(str(failure_text(run.failure)).split()), "red"))
    return (Text(), table) if table.row_count else ()


def run_heading(run: Run, now: datetime) -> Table:
    """What run it is and where it stands."""
    facts = Table.grid(padding=(0, 2))
    facts.add_row("run", Text(run.id, "bold"))
    facts.add_row("pipeline", run.pipeline)
    if run.rerun_of:
        facts.add_row("repeats", run.rerun_of)
    facts.add_row("state", _coloured(run.state, "" if run.finished_ms else f": {run.stage}"))
    facts.add_row("input", Text(_input_of(run), no_wrap=True, overflow="ellipsis"))
    facts.add_row("accepted", moment(run.accepted_ms, now))
    if run.finished_ms:
        facts.add_row("took", _took(run))
    if run.letter:
        facts.add_row("put aside", _put_aside(run.letter))
    for what in run.unreadable:
        facts.add_row("unreadable", Text(what, "bold red"))
    return facts


def _put_aside(letter: PutAside) -> Text:
    """Where the message of a run lies that waits for nothing, and how to send it round again."""
    sure = (
        ""
        if letter.believed
        else ", which no key of ours signed and which says itself that it is of this run"
    )
    text = Text(f"its message is a dead letter of {letter.queue} ({letter.reason}){sure}", "yellow")
    return text.append(f"\nmousetrap dead show {argument(letter.id)}", "bold")


def _input_of(run: Run) -> str:
    """The input on one line, without passwords; the API's answer has all of it."""
    return masked(msgspec.json.encode(run.input).decode())


def timeline_table(events: Iterable[Event], began_ms: int) -> Table:
    """What happened to a run, with its attempts and the workers that made them."""
    table = table_of("after", "stage", "what", "attempt", "worker")
    for event in events:
        table.add_row(
            f"{(event.at_ms - began_ms) / 1000:.2f} s",
            event.stage or "",
            _coloured(event.kind, f": {event.failure.words}" if event.failure else ""),
            str(event.attempt or ""),
            Text(event.worker or "", "dim"),
        )
    return table


def workers_table(workers: Sequence[Worker]) -> RenderableType:
    """Who serves which stages, and below that what runs."""
    table = table_of("worker", "state", "stages", "running", "done", "failed", "silent")
    jobs = table_of("run", "stage", "attempt", "for", "worker")
    for worker in workers:
        busy = f"{worker.running} of {worker.concurrency}"
        counts = (busy, str(worker.done), str(worker.failed), duration(worker.silent))
        table.add_row(worker.name, _coloured(worker.state, ""), "\n".join(worker.stages), *counts)
        for job in worker.doing[: _JOBS - jobs.row_count]:
            spent = duration(job.seconds)
            jobs.add_row(job.run_id, job.stage, str(job.attempt), spent, Text(worker.name, "dim"))
    if not table.row_count:
        return "no workers: start one with `mousetrap worker STAGE`"
    more = sum(worker.running for worker in workers) - jobs.row_count
    rest = (Text(f"and {more} more: mousetrap workers --json", "dim"),) if more > 0 else ()
    return Group(table, Text(), jobs, *rest) if jobs.row_count else table


def failure_text(failure: Failure | None) -> Text:
    """Why a run failed, in one sentence."""
    return Text(failure.words if failure else "", "red")


def checks_table(checks: Iterable[Check]) -> Table:
    """What was looked at, what was found, and how to correct it."""
    table = Table.grid(padding=(0, 2))
    for check in checks:
        found = Text(check.found)
        if check.mend:
            found.append(f"\n→ {check.mend}", "bold")
        table.add_row(_coloured(check.state, ""), check.name, found)
    return table


def duration(seconds: float) -> str:
    """`0.25 s`, `12.5 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def in_words(kind: str) -> str:
    """A name of the store as people write it."""
    return kind.replace("_", " ")


def table_of(*columns: str) -> Table:
    """An empty table of these columns, as all ours look."""
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold"
    )
    for column in columns:
        right = column in ("after", "attempt", "done", "failed", "for", "running", "silent", "took")
        narrow = column in ("pipeline", "what", "worker")  # these give way where the terminal is narrow
        table.add_column(column, justify="right" if right else "left", no_wrap=not narrow, overflow="fold")
    return table


def _coloured(word: str, rest: str) -> Text:
    return Text(in_words(word), _COLOURS.get(word, "")).append(rest)


def _note(stage: StageSeen) -> Text:
    """What goes well is cut to the line; why something failed is told whole."""
    well = stage.state not in ("retrying", "failed")
    return Text(stage.note or stage.worker, "dim", no_wrap=well, overflow="ellipsis" if well else "fold")


def _spent(stage: StageSeen, now: float) -> str:
    if stage.began_ms is None:
        return ""
    return duration(max(0.0, (stage.ended_ms or now * 1000) - stage.began_ms) / 1000)


def _took(run: Run) -> str:
    return duration((run.finished_ms - run.accepted_ms) / 1000) if run.finished_ms else ""


def moment(at_ms: int, now: datetime) -> str:
    """In the time zone of `now`; today's without the day, and no year: runs are not kept that long."""
    at = datetime.fromtimestamp(at_ms / 1000, now.tzinfo)
    return f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%m-%d %H:%M}"
