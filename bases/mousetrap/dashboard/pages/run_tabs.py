"""Reads what each tab of a run shows."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from mousetrap import shapes
from mousetrap.dashboard.facts import Facts, Parameters, Problem, Refused
from mousetrap.dashboard.json_tree import Tree, json_tree
from mousetrap.dashboard.view import View
from mousetrap.dashboard.words import address, number
from mousetrap.shapes import Event, JobLine, JobPage, LogLine, LogPage, RunLine, RunPage

#: Events of one page, and characters of all its tracebacks: a page stays below 100 kB.
_EVENTS, _TRACEBACKS = 100, 20_000
#: Log lines of one page. The API keeps a thousand of a run, so that one answer has all.
_LINES, _KEPT_LINES = 100, 1_000
#: Jobs of one page.
_JOBS = 50
#: Characters of an output or of a yielded value in a row.
_SHORT = 160
#: Runs that a run repeats, one by the other, that are looked at.
_ANCESTORS = 5
#: Runs that repeat a run, on its page.
_REPEATS = 50
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(shapes.Run):
    """A run whose input and result are kept as they were written."""

    # No default: with one, msgspec 0.22 takes nothing but `null` here.
    input: msgspec.Raw
    result: msgspec.Raw


@dataclass(frozen=True, slots=True)
class EventLine:
    """An event, with as much of its texts as the page has room for."""

    event: Event
    value: str
    traceback: str
    #: Whether some of the traceback is not shown.
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """Some of the events, oldest first."""

    lines: tuple[EventLine, ...]
    #: How many are before and after these.
    before: int
    after: int
    #: Where the page of earlier ones ends, and that of later ones.
    earlier: int
    later: int

    @property
    def is_cut(self) -> bool:
        """Whether some of a traceback is not shown."""
        return any(line.is_cut for line in self.lines)


@dataclass(frozen=True, slots=True)
class Value:
    """An input or a result."""

    tree: Tree
    reference: shapes.Reference | None
    #: Whether it is kept elsewhere, and not shown.
    is_left_out: bool


@dataclass(frozen=True, slots=True)
class Jobs:
    """A page of the jobs."""

    jobs: tuple[JobLine, ...]
    #: Of each job, its output as one line.
    outputs: tuple[str, ...]
    next: str | None
    stage: str
    state: str
    after: str
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Logs:
    """Some of the lines that are kept, oldest first."""

    lines: tuple[LogLine, ...]
    level: str
    dropped: int
    missed: int
    #: The number of the first line, for the page of those before it; None where there are none.
    earlier: int | None
    #: Whether there are later ones.
    is_older: bool
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Lineage:
    """The runs that a run repeats, nearest first, and those that repeat it."""

    ancestors: tuple[Run, ...]
    #: The runs that repeat it, newest first, and how many have no room.
    repeats: tuple[RunLine, ...]
    more: int
    #: The run that the last of them repeats, where the store has forgotten it.
    forgotten: str | None


Tab = Timeline | Value | Jobs | Logs | Lineage


async def read_tab(name: str, run: Run, view: View, facts: Facts) -> Tab:
    """What the tab of this name shows."""
    if name == "input":
        return _value(run.input, run.input_reference)
    if name == "result":
        return _value(run.result, run.result_reference)
    if name == "jobs":
        return await _jobs(run, view, facts)
    if name == "logs":
        return await _logs(run, view, facts)
    if name == "lineage":
        return await _lineage(run, facts)
    return _timeline(run, view)


def _timeline(run: Run, view: View) -> Timeline:
    total = len(run.timeline)
    end = min(total, _number(view.query.one("to")) or total)
    begin = max(0, end - _EVENTS)
    lines = tuple(_event_lines(run.timeline[begin:end]))
    return Timeline(lines, begin, total - end, begin, min(total, end + _EVENTS))


def _event_lines(events: tuple[Event, ...]) -> Iterator[EventLine]:
    room = _TRACEBACKS
    for event in events:
        whole = event.failure.traceback if event.failure else ""
        shown = whole[-room:] if room > 0 else ""  # the end of a traceback is where the error is
        room -= len(shown)
        value = _counts(event.value) if event.kind in ("closed", "fired") else ""
        yield EventLine(event, value or _line(event.value), shown, len(shown) < len(whole))


def _counts(value: Any) -> str:
    """The counts of a fan in words; empty where they are none of ours."""
    found = value if isinstance(value, dict) else {}
    total, done, lost = (found.get(name) for name in ("total", "done", "lost"))
    if not isinstance(total, int):
        return ""
    if not isinstance(done, int) or not isinstance(lost, int):
        return f"{number(total)} in all"
    return f"{number(done)} of {number(total)} done" + (f", {number(lost)} lost" if lost else "")


def _value(raw: msgspec.Raw, reference: shapes.Reference | None) -> Value:
    text = bytes(raw)
    left_out = text == b"null" and reference is not None and reference.size > len("null")
    return Value(json_tree(text), reference, left_out)


async def _jobs(run: Run, view: View, facts: Facts) -> Jobs:
    given = view.query.given("stage", "state", "after")
    chosen = (given.get("stage", ""), given.get("state", ""), given.get("after", ""))
    try:
        found = await facts.get(f"{_path(run)}/jobs", JobPage, {**given, "limit": _JOBS})
    except Refused as refused:
        return Jobs((), (), None, *chosen, refused.problem)
    outputs = tuple(_line(job.output) for job in found.jobs)
    return Jobs(found.jobs, outputs, found.next, *chosen)


async def _logs(run: Run, view: View, facts: Facts) -> Logs:
    level = view.query.one("level") if view.query.one("level") in LEVELS else LEVELS[0]
    asked: Parameters = {"level": level, "limit": _KEPT_LINES}
    found = await facts.get(f"{_path(run)}/logs", LogPage, asked)
    before = _number(view.query.one("before"))
    wanted = [line for line in found.lines if not before or line.number < before]
    shown = tuple(wanted[-_LINES:])
    earlier = shown[0].number if shown and len(wanted) > len(shown) else None
    return Logs(shown, level, found.dropped, found.missed, earlier, len(wanted) < len(found.lines))


async def _lineage(run: Run, facts: Facts) -> Lineage:
    ancestors: list[Run] = []
    repeats = (await facts.get(f"{_path(run)}/reruns", RunPage)).runs
    below = (repeats[:_REPEATS], max(0, len(repeats) - _REPEATS))
    wanted = run.rerun_of
    while wanted and len(ancestors) < _ANCESTORS:
        try:
            found = await facts.get(address("runs", wanted), Run)
        except Refused as refused:
            if refused.problem.status != 404:
                raise
            return Lineage(tuple(ancestors), *below, wanted)
        ancestors.append(found)
        wanted = found.rerun_of
    return Lineage(tuple(ancestors), *below, None)


def _path(run: Run) -> str:
    return address("runs", run.id)


def _number(text: str) -> int:
    """The number in an address; 0 for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0


def _line(value: Any) -> str:
    """A value as one short line of JSON; empty for none. Of a large one no more is written than is shown."""
    if value is None:
        return ""
    text = ""
    for piece in _pieces(value):
        text += piece
        if len(text) > _SHORT:
            return f"{text[:_SHORT]}…"
    return text


def _pieces(value: Any) -> Iterator[str]:
    """The text of a value, piece by piece."""
    if isinstance(value, dict):
        yield "{"
        for at, (name, each) in enumerate(value.items()):
            yield f"{', ' if at else ''}{_dumped(name)}: "
            yield from _pieces(each)
        yield "}"
    elif isinstance(value, list):
        yield "["
        for at, each in enumerate(value):
            yield ", " if at else ""
            yield from _pieces(each)
        yield "]"
    else:
        yield _dumped(value)


def _dumped(value: Any) -> str:
    return json.dumps(value[: _SHORT + 1] if isinstance(value, str) else value, ensure_ascii=False)
