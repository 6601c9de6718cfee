"""Shows the pipelines, and each over its live queues."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mousetrap.charts import sparkline
from mousetrap.dashboard.facts import Facts
from mousetrap.dashboard.last_hour import last_hour
from mousetrap.dashboard.stage_graph import Count, NodeView, StageGraph, flows_in, has_many, stage_graph
from mousetrap.dashboard.view import Page, PageRoute, View
from mousetrap.dashboard.words import address, number, url
from mousetrap.shapes import Minute, Pipeline, Queue, QueueMinutes, RunPage, Stage

#: Of larger pipelines no minutes are drawn: each queue's are asked for apart.
_MOST_DRAWN = 12
_TABS = ("graph", "contracts", "runs")
#: Pipelines on one page of the list: a page stays below 100 kB.
_MOST_LINES = 100
#: On the tab of its newest runs.
_MOST_RUNS = 25


@dataclass(frozen=True, slots=True)
class Line:
    """A pipeline in the list, with the sums of its queues."""

    pipeline: Pipeline
    queues: tuple[Queue, ...]
    waiting: int
    running: int
    delayed: int
    dead: int
    unserved: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lines:
    """The list."""

    lines: tuple[Line, ...]
    #: The place of the first of these, how many one page has, and how many there are.
    start: int
    most: int
    count: int


@dataclass(frozen=True, slots=True)
class StageLine:
    """A stage and its queue; none where the broker has not been asked."""

    stage: Stage
    queue: Queue | None


@dataclass(frozen=True, slots=True)
class Contract:
    """The contracts of a stage as text."""

    stage: str
    input: str
    output: str


@dataclass(frozen=True, slots=True)
class Shown:
    """One pipeline."""

    pipeline: Pipeline
    tab: str
    tabs: tuple[str, ...]
    stages: tuple[StageLine, ...]
    graph: StageGraph | None = None
    runs: RunPage | None = None
    contracts: tuple[Contract, ...] = ()


async def show_all(view: View, facts: Facts) -> Page:
    """All pipelines."""
    pipelines = sorted(await facts.get("/pipelines", list[Pipeline]), key=lambda it: it.name)
    start = view.query.place("start")
    queues = await _queues(facts)
    lines = tuple(_line(pipeline, queues) for pipeline in pipelines[start : start + _MOST_LINES])
    data = Lines(lines, start, _MOST_LINES, len(pipelines))
    return Page("Pipelines", "pipelines.html", data, ("list",), part="pipelines")


async def show(view: View, facts: Facts) -> Page:
    """One pipeline: its graph and stages, its contracts, or its runs."""
    name = view.names["pipeline"]
    pipeline = await facts.get(address("pipelines", name), Pipeline)
    tab = view.query.one("tab", _TABS[0])
    tab = tab if tab in _TABS else _TABS[0]
    queues = await _queues(facts, name)
    stages = tuple(StageLine(stage, queues.get(stage.queue)) for stage in pipeline.stages)
    graph = runs = None
    contracts: tuple[Contract, ...] = ()
    if tab == "graph":
        graph = await _graph(facts, pipeline, stages, view.now_ms)
    elif tab == "runs":
        runs = await facts.get("/runs", RunPage, {"pipeline": name, "limit": _MOST_RUNS})
    elif tab == "contracts":
        contracts = tuple(Contract(it.name, _text(it.input), _text(it.output)) for it in pipeline.stages)
    regions = () if tab == "contracts" else ("shown",)
    data = Shown(pipeline, tab, _TABS, stages, graph, runs, contracts)
    return Page(name, "pipeline.html", data, regions, is_over=not regions, part="pipelines")


def _text(schema: Any) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False)


async def _queues(facts: Facts, pipeline: str | None = None) -> Mapping[str, Queue]:
    asked = {"pipeline": pipeline} if pipeline else None
    return {queue.name: queue for queue in await facts.get("/queues", list[Queue], asked)}


def _line(pipeline: Pipeline, queues: Mapping[str, Queue]) -> Line:
    names = dict.fromkeys(stage.queue for stage in pipeline.stages)
    found = tuple(queues[name] for name in names if name in queues)
    return Line(
        pipeline,
        found,
        waiting=sum(queue.ready for queue in found),
        running=sum(queue.running for queue in found),
        delayed=sum(queue.delayed for queue in found),
        dead=sum(queue.dead for queue in found),
        unserved=tuple(queue.name for queue in found if not queue.workers and not queue.consumers),
    )


async def _graph(facts: Facts, pipeline: Pipeline, stages: Sequence[StageLine], now_ms: int) -> StageGraph:
    minutes: dict[str, tuple[Minute, ...]] = {}
    if len(stages) <= _MOST_DRAWN:
        for line in stages:
            found = await facts.get(
                address("queues", line.stage.queue, "minutes"), QueueMinutes, {"hours": 1}
            )
            name = f"{pipeline.name}.{line.stage.name}"
            minutes[line.stage.name] = next((it.minutes for it in found.stages if it.stage == name), ())
    nodes = [_node(pipeline, line, minutes.get(line.stage.name), now_ms) for line in stages]
    return stage_graph(pipeline, nodes, flows_in(pipeline, _rates(stages)))


def _rates(stages: Sequence[StageLine]) -> dict[str, float | None]:
    """What comes to the queue of each stage, where the queue is its own."""
    return {it.stage.name: it.queue.in_per_minute for it in stages if it.queue and len(it.queue.stages) == 1}


def _node(pipeline: Pipeline, line: StageLine, minutes: Sequence[Minute] | None, now_ms: int) -> NodeView:
    queue = line.queue
    alarm = ""
    if queue and queue.paused:
        alarm = f"{line.stage.queue} is paused"
    elif queue and not queue.workers and not queue.consumers:
        alarm = f"no worker serves {line.stage.queue}"
    return NodeView(
        line.stage.name,
        note=line.stage.queue,
        href=url("queues", line.stage.queue),
        state="failed" if alarm else "running" if queue and queue.running else "",
        counts=_counts(queue) if queue else (),
        spark=sparkline(last_hour(minutes, now_ms), 180, 20) if minutes else None,
        alarm=alarm,
        many=has_many(pipeline, line.stage),
    )


def _counts(queue: Queue) -> tuple[Count, ...]:
    counts = (
        ("queued", queue.ready, "ready", True),
        ("running", queue.running, "running", True),
        ("retrying", queue.delayed, "delayed", False),
        ("dead", queue.dead, "dead letters", False),
        ("worker", queue.workers, "workers", True),
    )
    return tuple(
        Count(icon, number(count), f"{number(count)} {what}")
        for icon, count, what, always in counts
        if count or always
    )


ROUTES = (PageRoute("/pipelines", show_all), PageRoute("/pipelines/{pipeline}", show))
