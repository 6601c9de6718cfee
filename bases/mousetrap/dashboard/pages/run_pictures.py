"""Draws a run: its stages, and its attempts over time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mousetrap.charts import Row, RunChart, rows_of, run_chart
from mousetrap.dashboard.facts import Facts, Refused
from mousetrap.dashboard.stage_graph import Count, Flow, NodeView, StageGraph, has_many, stage_graph
from mousetrap.dashboard.view import View
from mousetrap.dashboard.words import address, duration, number, url
from mousetrap.shapes import JobLine, JobPage, Pipeline, Run, Stage

#: Jobs of a stage that are drawn. Of more it is a sample from evenly spread places of their order; of the jobs for the items of a
#: fan-out, whose counts are known, one at each of so many: each is a request, of about 5 ms.
_MOST_JOBS, _PLACES, _PLACES_OF_ITEMS = 100, 5, 6
#: A chart beside the graph, and one below a wide graph.
_BESIDE, _BELOW, _NARROW, _WIDE_GRAPH = 600.0, 960.0, 370.0, 660.0
#: The states of jobs as icons have them.
_ICONS = {
    "done": "completed",
    "over": "cancelled",
    "lost": "retrying",
    "handed back": "queued",
    "not decided": "queued",
}


@dataclass(frozen=True, slots=True)
class Pictures:
    """What is drawn of a run; without its pipeline there is no graph, and without jobs no chart."""

    graph: StageGraph | None
    wide: RunChart
    narrow: RunChart
    rows: tuple[Row, ...]
    #: The names of the scales, with where they lead; None for the present one.
    scales: tuple[tuple[str, str | None], ...]
    #: Whether the chart is below the graph.
    is_stacked: bool = False
    #: Whether all jobs are drawn.
    is_whole: bool = True


async def run_pictures(view: View, facts: Facts, run: Run, pipeline: Pipeline | None) -> Pictures:
    """The pictures of this run. The query's `scale` is folded or true, and `only` names a row."""
    jobs, is_whole = await _jobs(facts, run, pipeline)
    rows = rows_of(run, jobs, pipeline, view.now_ms)
    is_true, only = view.query.one("scale") == "true", view.query.one("only")
    graph = stage_graph(pipeline, _nodes(run, pipeline, rows), _flows(pipeline, rows)) if pipeline else None
    is_stacked = graph is None or graph.right.width > _WIDE_GRAPH
    wide, narrow = (
        run_chart(rows, "true" if is_true else "folded", only, width, narrow=width == _NARROW)
        for width in (_BELOW if is_stacked else _BESIDE, _NARROW)
    )
    return Pictures(graph, wide, narrow, rows, _scales(view, rows), is_stacked, is_whole)


async def _jobs(facts: Facts, run: Run, pipeline: Pipeline | None) -> tuple[Sequence[JobLine], bool]:
    """The jobs by stage, and whether these are all."""
    stages = pipeline.stages if pipeline else ()
    try:
        if not any(stage.inside for stage in stages):
            page = await facts.get(address("runs", run.id, "jobs"), JobPage, {"limit": _MOST_JOBS})
            return page.jobs, page.next is None
        # By stage: else the first page of a large fan-out would have no job of the stages behind it.
        pages = [await _jobs_of(facts, run, stage) for stage in stages]
    except Refused as refused:
        if refused.problem.status in (
            404,
            409,
        ):  # of a pipeline that is not known here, or that workers contradict
            return (), True
        raise
    return [job for jobs, _ in pages for job in jobs], all(is_whole for _, is_whole in pages)


async def _jobs_of(facts: Facts, run: Run, stage: Stage) -> tuple[Sequence[JobLine], bool]:
    """The jobs of a stage; of many an even sample, and whether these are all."""
    fan = next((fan for fan in run.fans if (fan.stage,) == stage.inside), None)
    count = (fan.total or fan.opened) if fan is not None else 0
    if count <= _MOST_JOBS:
        page = await facts.get(
            address("runs", run.id, "jobs"), JobPage, {"stage": stage.name, "limit": _MOST_JOBS}
        )
        return page.jobs, page.next is None
    places = _PLACES_OF_ITEMS if stage.edge == "each" else _PLACES
    limit = 1 if stage.edge == "each" else _MOST_JOBS // places
    jobs: list[JobLine] = []
    for place in range(places):
        after = f"{stage.name}:{(count - 1) * place // (places - 1)}"
        query = {"stage": stage.name, "limit": limit, "after": after}
        page = await facts.get(address("runs", run.id, "jobs"), JobPage, query)
        jobs += page.jobs
    return jobs, False


def _nodes(run: Run, pipeline: Pipeline, rows: Sequence[Row]) -> list[NodeView]:
    by_stage: dict[str, list[Row]] = {}
    for row in rows:
        by_stage.setdefault(row.stage, []).append(row)
    return [
        NodeView(
            stage.name,
            href=url("runs", run.id, tab="jobs", stage=stage.name),
            note=_note(by_stage.get(stage.name, [])),
            state=_state(by_stage.get(stage.name, [])),
            counts=tuple(_counts(by_stage.get(stage.name, []))),
            many=has_many(pipeline, stage),
        )
        for stage in pipeline.stages
    ]


def _state(rows: Sequence[Row]) -> str:
    state = rows[-1].state if rows else ""
    return _ICONS.get(state, state)


def _note(rows: Sequence[Row]) -> str:
    if not rows or not rows[-1].state:
        return "not begun" if rows else "not taken"
    last = rows[-1]
    if last.fan is not None:
        return f"{number(last.fan.done)} of {number(last.fan.total or last.fan.opened)}"
    number_of = f"attempt {last.attempt}" if last.attempt and last.attempt > 1 else ""
    ran_s = [(it.end_ms - it.begin_ms) / 1000 for it in last.parts if it.kind in ("ran", "failed")]
    return " \N{MIDDLE DOT} ".join(filter(None, (number_of, duration(ran_s[-1]) if ran_s else "")))


def _counts(rows: Sequence[Row]) -> list[Count]:
    if not rows or not rows[-1].state:
        return []
    last = rows[-1]
    if last.fan is not None:
        fan = last.fan
        open_ = max(fan.opened - fan.done - fan.lost, 0)
        found: Mapping[str, int] = {"done": fan.done, "failed": fan.lost, "not decided": open_}
    elif last.counts is not None:
        found = last.counts
    else:
        return [Count(_state(rows), last.state, last.state)]
    return [
        Count(_ICONS.get(state, state), number(count), f"{number(count)} {state}")
        for state, count in found.items()
        if count
    ]


def _flows(pipeline: Pipeline, rows: Sequence[Row]) -> dict[tuple[str, str], Flow]:
    """The ways that the run took: where the stage that they lead to has a job."""
    begun = {row.stage for row in rows if row.state}
    return {
        (it.source, it.target): Flow(taken=True) for it in pipeline.arrows if {it.source, it.target} <= begun
    }


def _scales(view: View, rows: Sequence[Row]) -> tuple[tuple[str, str | None], ...]:
    is_true, only = view.query.one("scale") == "true", view.query.one("only")
    kept = view.query.but("scale", "only")
    parts = [view.names.get(part.strip("{}"), part) for part in view.path.split("/") if part]

    def to(**more: str) -> str:
        query = str(kept.but(**more))
        return url(*parts) + (f"?{query}" if query else "")

    attempts = [row for row in rows if row.parts] if 1 < len(rows) <= 12 else []
    return (
        ("folded", to() if is_true or only else None),
        ("true", to(scale="true") if not is_true or only else None),
        *((row.name, to(only=row.name) if only != row.name else None) for row in attempts),
    )
