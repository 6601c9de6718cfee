"""Finds runs, letters, workers, queues, pipelines, errors and tags."""

import asyncio
import re
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from mousetrap.dashboard.facts import Facts, Refused
from mousetrap.dashboard.view import Elsewhere, Page, PageRoute, View
from mousetrap.dashboard.words import url
from mousetrap.shapes import LetterGroups, LetterPage, RunPage, Worker

#: Answers of each kind that the page shows.
_MOST = 10
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """A stage as far as it is searched."""

    name: str
    queue: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pipeline:
    """A pipeline as far as it is searched."""

    name: str
    stages: tuple[_Stage, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer."""

    label: str
    to: str
    about: str = ""
    #: A run's state.
    state: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """The answers of one kind."""

    kind: str
    hits: tuple[Hit, ...] = ()
    #: All of them, where the page shows the first ones.
    more: str = ""
    #: Why it could not be looked at.
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Search:
    """What the page shows."""

    asked: str
    found: tuple[Found, ...] = ()

    @property
    def count(self) -> int:
        """How many answers there are."""
        return sum(len(each.hits) for each in self.found)


async def show(view: View, facts: Facts) -> Page:
    """All that the words lead to; where that is one answer, its page."""
    asked = view.query.one("q")[:200]
    if not asked:
        return _page(Search(""))
    runs = await _look("Runs", _runs(facts, asked))
    if [hit.label for hit in runs.hits] == [asked]:  # a whole id: no dead letter needs to be looked at for it
        raise Elsewhere(runs.hits[0].to)
    kinds = {
        "Dead letters": _letters(facts, asked),
        "Pipelines, stages and queues": _named(facts, asked),
        "Workers": _workers(facts, asked),
        "Errors": _errors(facts, asked),
        "Tags": _tags(facts, asked),
    }
    found = (runs, *await asyncio.gather(*(_look(kind, look) for kind, look in kinds.items())))
    search = Search(asked, found)
    if search.count == 1 and not any(each.more or each.missing for each in found):
        raise Elsewhere(next(hit.to for each in found for hit in each.hits))
    return _page(search)


def _page(search: Search) -> Page:
    return Page(f"Search {search.asked}".strip(), "search.html", search)


async def _look(kind: str, look: Coroutine[Any, Any, Found]) -> Found:
    try:
        return await look
    except Refused as refused:
        return Found(kind, missing=refused.problem.detail)


async def _runs(facts: Facts, asked: str) -> Found:
    if not _ID.fullmatch(asked):
        return Found("Runs")
    page = await facts.get("/runs", RunPage, {"id": asked, "limit": _MOST})
    hits = tuple(Hit(run.id, url("runs", run.id), run.pipeline, run.state) for run in page.runs)
    return Found("Runs", hits, url("runs", id=asked) if page.next else "")


async def _letters(facts: Facts, asked: str) -> Found:
    page = await facts.get("/dead", LetterPage, {"ids": asked, "limit": _MOST})
    return Found(
        "Dead letters",
        tuple(Hit(it.id, url("dead", it.queue, it.id), f"{it.queue}: {it.reason}") for it in page.letters),
    )


async def _named(facts: Facts, asked: str) -> Found:
    known = await facts.get("/pipelines", tuple[_Pipeline, ...])
    hits = [Hit(it.name, url("pipelines", it.name), "pipeline") for it in _like(known, asked)]
    hits += [
        Hit(f"{pipeline.name}.{stage.name}", url("pipelines", pipeline.name, tab="stages"), "stage")
        for pipeline in known
        for stage in _like(pipeline.stages, asked)
    ]
    queues = dict.fromkeys(stage.queue for pipeline in known for stage in pipeline.stages)
    hits += [Hit(name, url("queues", name), "queue") for name in queues if asked.lower() in name.lower()]
    hits.sort(key=lambda hit: hit.label != asked)
    return Found(
        "Pipelines, stages and queues", tuple(hits[:_MOST]), url("pipelines") if len(hits) > _MOST else ""
    )


async def _workers(facts: Facts, asked: str) -> Found:
    found = [it for it in await facts.get("/workers", tuple[Worker, ...]) if asked.lower() in it.name.lower()]
    hits = tuple(Hit(it.name, url("workers", it.name), f"{it.state} on {it.host}") for it in found[:_MOST])
    return Found("Workers", hits, url("workers") if len(found) > _MOST else "")


async def _errors(facts: Facts, asked: str) -> Found:
    """Kinds of errors of dead letters, and the runs that ended with one."""
    groups = (await facts.get("/dead/groups", LetterGroups)).groups
    kinds: dict[str, int] = {}
    for group in groups:
        if asked.lower() in group.error_kind.lower():
            kinds[group.error_kind] = kinds.get(group.error_kind, 0) + group.count
    hits = [Hit(kind, url("dead", error=kind), f"{count:,} dead letters") for kind, count in kinds.items()]
    runs = (await facts.get("/runs", RunPage, {"error": asked, "limit": 1})).runs
    hits += [Hit(asked, url("runs", error=asked), "runs that it ended")] if runs else []
    return Found("Errors", tuple(hits[:_MOST]), url("dead") if len(hits) > _MOST else "")


async def _tags(facts: Facts, asked: str) -> Found:
    if len(asked) > 64:
        return Found("Tags")
    runs = (await facts.get("/runs", RunPage, {"tag": asked, "limit": 1})).runs
    return Found("Tags", (Hit(asked, url("runs", tag=asked), "runs with this tag"),) if runs else ())


def _like(named: Iterable[Any], asked: str) -> list[Any]:
    return [each for each in named if asked.lower() in each.name.lower()]


ROUTES = (PageRoute("/search", show),)
