"""Draws runs, stages and timelines as tables: pure."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mousetrap.cli.output import argument
from mousetrap.cli.progress import Stages, StageSeen, counts_in_words, how_far, one_line_value, shown_at
from mousetrap.cli.tables.style import COLOURS, about, coloured, duration, in_words, moment, table_of
from mousetrap.settings import masked
from mousetrap.shapes import (
    DEFAULT_PRIORITY,
    Event,
    FailureLine,
    Fan,
    Progress,
    PutAside,
    Run,
    RunLine,
    RunPage,
)

_MARKS = {
    "waiting": "○",
    "retrying": "↻",
    "done": "✔",
    "failed": "✘",
    "skipped": "✘",
    "fell back": "✘",
    "stopped": "■",
    "goes on": "▸",
    "not run": "·",
}
#: Of a list; `mousetrap show` has all of them.
_TAGS_WIDTH = 16
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


def stages_table(stages: Stages, now: float) -> Table:
    """The state of each stage at the time `now` (seconds since 1970)."""
    table = Table.grid(padding=(0, 2))
    for column in range(6):  # only the last one is cut on a narrow terminal
        table.add_column(no_wrap=column < 5, justify="right" if column == 3 else "left")
    for stage in stages:
        colour = COLOURS[stage.state]
        table.add_row(
            Text(_MARKS.get(stage.state) or _SPINNER[int(now * 10) % len(_SPINNER)], colour),
            Text(stage.name, "bold"),
            Text(stage.state, colour),
            _spent(stage, now),
            f"attempt {stage.attempt}" if stage.attempt > 1 else "",
            _note(stage),
        )
    return table


def event_line(event: Event, began_ms: int) -> Text:
    """One event on one line, with the time since the run was accepted."""
    line = Text(f"{_since(began_ms, event):8.2f} s  ")
    line.append(f"{event.stage or '':<12}").append(in_words(event.kind), COLOURS.get(event.kind, ""))
    if event.attempt and event.attempt > 1:
        line.append(f", attempt {event.attempt}")
    if event.worker and event.kind == "started":
        line.append(f" by {event.worker}")
    return line.append(_what_of(event))


def with_opener(event: Event, stages: dict[str, str]) -> Event:
    """The event; one that a fan has fired with the stage whose job opened it. `stages` has those of the jobs of earlier events."""
    if event.job and event.stage:
        stages[event.job] = event.stage
    return replace(event, stage=stages.get(event.job or "")) if event.kind == "fired" else event


def _since(began_ms: int, event: Event) -> float:
    """Seconds; the clocks of API and store can differ by some milliseconds, and an event can seem to come before the first."""
    return max(0, event.at_ms - began_ms) / 1000


def progress_line(stages: Stages, progress: Progress) -> Text:
    """How many children are decided, on one line below those of events."""
    return Text(f"{'':8}    {shown_at(stages, progress):<12}{how_far(progress)}")


def runs_table(page: RunPage, now: datetime, filters: str = "", hint: str = "") -> RenderableType:
    """A page of runs, newest first, and the command for the next page with the same `filters`; `hint` is why none may match."""
    more = [Text(f"more: mousetrap runs{filters} --after {page.next}", "dim")] if page.next else []
    if not page.runs and (filters or more):
        hints = [Text(hint)] if hint else []
        return Group(
            "no run matches" if not more else "no run matches of those that were looked at", *hints, *more
        )
    if not page.runs:
        return "no runs: start one with `mousetrap run PIPELINE`"
    tags = ["tags"] if any(run.tags for run in page.runs) else []
    table = table_of("run", "pipeline", "state", "accepted", "took", *tags)
    # The longest of these is cut where a line would not fit; commands take the beginning of an id.
    for column in (*table.columns[:2], *table.columns[5:]):
        column.no_wrap, column.overflow = False, "ellipsis"
    for column in table.columns[5:]:
        column.max_width = _TAGS_WIDTH
    for run in page.runs:
        accepted = moment(run.accepted_ms, now)
        table.add_row(
            run.id,
            run.pipeline,
            _state_or_begin(run, now),
            accepted,
            _took(run),
            *([",".join(run.tags)] if tags else []),
        )
    return Group(table, *more, *_why_failed(page.runs))


def _why_failed(runs: Iterable[RunLine]) -> Iterable[RenderableType]:
    """A line for each of the runs that failed, cut to the terminal's width."""
    table = table_of("run", "why")
    table.expand, why = True, table.columns[-1]
    why.ratio, why.no_wrap, why.overflow = 1, True, "ellipsis"
    for run in runs:
        if run.failure and run.finished_ms:
            table.add_row(run.id, Text(" ".join(str(failure_text(run.failure)).split()), "red"))
    return (Text(), table) if table.row_count else ()


def run_heading(run: Run, now: datetime, waits_at: str = "") -> Table:
    """A run: its pipeline, state, input and times. A queued one shows the stage that it `waits_at`: its own is the last that began."""
    facts = Table.grid(padding=(0, 2))
    facts.add_row("run", Text(run.id, "bold"))
    facts.add_row("pipeline", run.pipeline)
    if run.rerun_of:
        facts.add_row("repeats", run.rerun_of)
    stage = waits_at if run.state == "queued" else run.stage
    facts.add_row("state", coloured(run.state, f": {stage}" if stage and not run.finished_ms else ""))
    if _begins_in(run, now) > 0:
        facts.add_row("begins", f"in {about(_begins_in(run, now))}, at {moment(run.due_ms or 0, now)}")
    if run.priority != DEFAULT_PRIORITY:
        facts.add_row("priority", str(run.priority))
    if run.tags:
        facts.add_row("tags", ", ".join(run.tags))
    facts.add_row("input", Text(_input_of(run), no_wrap=True, overflow="ellipsis"))
    facts.add_row("accepted", moment(run.accepted_ms, now))
    if run.trace_id:
        facts.add_row("trace", run.trace_url or run.trace_id)
    for fan in run.fans:
        facts.add_row(fan.stage, fan_text(fan))
    if run.finished_ms:
        facts.add_row("took", _took(run))
    if run.letter:
        facts.add_row("put aside", _put_aside(run.letter))
    for what in run.unreadable:
        facts.add_row("unreadable", Text(what, "bold red"))
    return facts


def fan_text(fan: Fan) -> Text:
    """How far the children of a job are: `7 of 9 children, 2 lost: needs 8 done`."""
    whole = f"{fan.total:,} children" if fan.total is not None else f"{fan.opened:,} children so far"
    text = Text(f"{fan.done + fan.lost:,} of {whole}")
    text.append(f", {fan.lost:,} lost" if fan.lost else "", "red")
    return text.append(f": needs {fan.needs:,} done", "red") if fan.is_short else text


def _begins_in(run: RunLine, now: datetime) -> float:
    """Seconds until the run may begin; 0 or less for one that may now, or has ended."""
    return 0.0 if run.finished_ms or not run.due_ms else run.due_ms / 1000 - now.timestamp()


def _state_or_begin(run: RunLine, now: datetime) -> Text:
    left = _begins_in(run, now)
    return Text(f"begins in {about(left)}", "dim") if left > 0 else coloured(run.state, "")


def _put_aside(letter: PutAside) -> Text:
    """Which dead letter a waiting run has, and the command that shows it."""
    doubt = "" if letter.believed else "; no key of ours signed it, so it may not belong to this run"
    text = Text(f"its message is a dead letter of {letter.queue} ({letter.reason}){doubt}", "yellow")
    return text.append(f"\nmousetrap dead show {argument(letter.id)}", "bold")


def _input_of(run: Run) -> str:
    """The input on one line, without passwords; the API's answer has all of it."""
    return masked(msgspec.json.encode(run.input).decode())


def timeline_table(events: Iterable[Event], began_ms: int) -> Table:
    """The events of a run, with attempts and workers."""
    table = table_of("after", "stage", "what", "attempt", "worker")
    stages: dict[str, str] = {}
    for event in (with_opener(each, stages) for each in events):
        table.add_row(
            f"{_since(began_ms, event):.2f} s",
            event.stage or "",
            coloured(event.kind, _what_of(event)),
            str(event.attempt or ""),
            Text(event.worker or "", "dim"),
        )
    return table


def _what_of(event: Event) -> str:
    """The failure or the value of an event on one line, without passwords; the API's answer has all of it."""
    if event.failure:
        return f": {' '.join(event.failure.summary.split())}"
    if event.kind == "late":
        return ": its join had begun before"
    if event.kind in ("closed", "fired") and (counts := counts_in_words(event.value)):
        return f": {counts}"
    return f": {one_line_value(event.value)}" if event.kind == "yielded" else ""


def failure_text(failure: FailureLine | None) -> Text:
    """Why a run failed, in one sentence."""
    return Text(failure.summary if failure else "", "red")


def repair_hints(run: Run, *, with_story: bool) -> RenderableType:
    """Why the join of a run that failed has not begun, and what to do."""
    hints, name = Table.grid(padding=(0, 2)), argument(run.id)
    if with_story:
        hints.add_row("its story", f"mousetrap show {name}", style="dim")
    for fan in run.fans:
        if fan.is_short:
            hints.add_row(f"{fan.stage}'s lost jobs", f"mousetrap jobs {name} --state failed", style="dim")
            break
    hints.add_row("redrive it", f"mousetrap dead redrive --run {name}", style="dim")
    # The heading of `show` has them already.
    shown = run.fans if with_story else ()
    short = [Text.assemble(f"{fan.stage}: ", fan_text(fan)) for fan in shown if fan.is_short]
    return Group(*short, Text(), hints)


def _note(stage: StageSeen) -> Text:
    """The note of a stage: cut to the line, unless it is an error."""
    cut = stage.state not in ("retrying", "failed", "skipped", "fell back")
    return Text(stage.note or stage.worker, "dim", no_wrap=cut, overflow="ellipsis" if cut else "fold")


def _spent(stage: StageSeen, now: float) -> str:
    if stage.began_ms is None:
        return ""
    return duration(max(0.0, (stage.ended_ms or now * 1000) - stage.began_ms) / 1000)


def _took(run: RunLine) -> str:
    return duration(max(0, run.finished_ms - run.accepted_ms) / 1000) if run.finished_ms else ""
