"""Lists runs: filters in the address, and rows that stay in place."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mousetrap.dashboard.facts import Facts, Problem, Refused
from mousetrap.dashboard.run_filter import ENDED, NAMES, OPEN, RunFilter, read_filter
from mousetrap.dashboard.view import File, Page, PageRoute, Query, View
from mousetrap.shapes import RunLine, RunPage, RunState, Worker

_LIMIT = 50
#: Rows that match no more and are asked for one by one, once a second; the others stay as `changed`.
_ASKED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """A stage as far as the form needs it."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pipeline:
    """A pipeline as far as the form needs it."""

    name: str
    stages: tuple[_Named, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A row that stays where it was."""

    id: str
    #: None where it matches no more, and too many others do neither to ask for it.
    run: RunLine | None
    matches: bool = True


@dataclass(frozen=True, slots=True)
class Completions:
    """What the form offers to complete what is typed."""

    pipelines: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Runs:
    """What the page shows."""

    filter: RunFilter
    rows: tuple[Row, ...]
    #: Where the page of older runs begins; None where there are none.
    next: str | None
    #: Whether this is a page of older runs.
    is_older: bool
    #: How many newer runs match that are not shown, and whether there are still more.
    new: int = 0
    more_new: bool = False
    completions: Completions = Completions()
    #: Conditions without which some runs would match, where none does.
    excluding: tuple[str, ...] = ()
    #: Why the API refused the filter.
    problem: Problem | None = None
    open: tuple[RunState, ...] = OPEN
    ended: tuple[RunState, ...] = ENDED

    @property
    def kept(self) -> Query:
        """The filter as pairs, for links and forms."""
        return self.filter.query()


async def show(view: View, facts: Facts) -> Page:
    """The runs that the address selects."""
    wanted = read_filter(view.query)
    if any(name == "shown" for name, _ in view.query.pairs):
        return _page(await _again(wanted, view, facts))
    try:
        page = await _ask(wanted, facts, view.query.one("after"))
    except Refused as refused:
        if refused.problem.status != 422:
            raise
        shown = Runs(
            wanted, (), None, False, completions=await _completions(facts, ()), problem=refused.problem
        )
        return Page("Runs", "runs.html", shown, status=422, part="runs")
    is_older = bool(view.query.one("after"))
    excluding = () if page.runs or page.next or is_older else tuple(await _excluding(wanted, facts))
    shown = Runs(
        filter=wanted,
        rows=tuple(Row(run.id, run) for run in page.runs),
        next=page.next,
        is_older=is_older,
        completions=await _completions(facts, page.runs),
        excluding=excluding,
    )
    return _page(shown, view.query.but("shown", "next", shown=_place(page.runs), next=page.next or ""))


def _page(shown: Runs, live: Query | None = None) -> Page:
    return Page("Runs", "runs.html", shown, ("news", "list"), part="runs", live=live)


def _place(runs: Sequence[RunLine]) -> str:
    """The rows of a page, and when the newest of them was accepted: of a damaged one that is not known."""
    newest_ms = max((run.accepted_ms for run in runs), default=0)
    return ".".join([str(newest_ms), *(run.id for run in runs)]) if runs else ""


async def _again(wanted: RunFilter, view: View, facts: Facts) -> Runs:
    """The same rows as they are now, and how many newer ones there are."""
    newest, *ids = view.query.one("shown").split(".")
    newest_ms = int(newest) if newest.isascii() and newest.isdigit() and len(newest) < 14 else 0
    after = view.query.one("after")
    top = await _ask(wanted, facts, after)
    found = {run.id: run for run in top.runs}
    new = 0
    if not after:
        new = sum(1 for run in top.runs if run.id not in ids and run.accepted_ms >= newest_ms)
        if new and top.next is not None and ids:
            page = await _ask(wanted, facts, f"{newest_ms + 1:013d}:-")
            found |= {run.id: run for run in page.runs}
    rows = await _rows(ids[:_LIMIT], found, facts)
    return Runs(
        filter=wanted,
        rows=rows,
        next=view.query.one("next") or None,
        is_older=bool(after),
        new=new,
        more_new=new == _LIMIT and top.next is not None,
        completions=Completions() if rows else Completions(await _pipelines(facts)),
    )


async def _rows(ids: Sequence[str], found: dict[str, RunLine], facts: Facts) -> tuple[Row, ...]:
    rows, left = [], _ASKED
    for run_id in ids:
        if run_id in found:
            rows.append(Row(run_id, found[run_id]))
            continue
        left -= 1
        rows.append(Row(run_id, await _one(run_id, facts) if left >= 0 else None, matches=False))
    return tuple(rows)


async def _one(run_id: str, facts: Facts) -> RunLine | None:
    page = await facts.get("/runs", RunPage, {"id": run_id, "limit": 1})
    return next((run for run in page.runs if run.id == run_id), None)


async def _ask(wanted: RunFilter, facts: Facts, after: str = "", limit: int = _LIMIT) -> RunPage:
    asked: dict[str, Any] = {**wanted.given, "limit": limit}
    return await facts.get("/runs", RunPage, asked | ({"after": after} if after else {}))


async def _excluding(wanted: RunFilter, facts: Facts) -> list[str]:
    """The conditions of which each alone keeps all runs out."""
    found = []
    for name in (each for each in NAMES if each in wanted.given):
        try:
            page = await _ask(wanted.but(name), facts, limit=1)
        except Refused:
            continue
        if page.runs:
            found.append(name)
    return found


async def _pipelines(facts: Facts) -> tuple[str, ...]:
    return tuple(it.name for it in await facts.get("/pipelines", list[_Pipeline]))


async def _completions(facts: Facts, runs: Sequence[RunLine]) -> Completions:
    pipelines = await facts.get("/pipelines", list[_Pipeline])
    workers = await facts.get("/workers", list[Worker])
    return Completions(
        pipelines=tuple(it.name for it in pipelines),
        stages=tuple(sorted({stage.name for it in pipelines for stage in it.stages})),
        workers=tuple(it.name for it in workers[:200]),
        errors=tuple(sorted({run.failure.kind.rpartition(".")[2] for run in runs if run.failure})),
    )


def export(view: View) -> File:
    """What the address selects, as a table or a line of JSON each."""
    kind = "csv" if view.query.one("format") == "csv" else "ndjson"
    return File(f"runs.{kind}", "/export/runs", {**read_filter(view.query).given, "format": kind})


ROUTES = (PageRoute("/runs", show), PageRoute("/runs/export", file=export))
