"""Shows what needs a person first, the last hour and runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mousetrap.charts import Sparkline, sparkline
from mousetrap.dashboard.attention import Attention, Known, attention, ended
from mousetrap.dashboard.facts import Facts, Parameters, Refused
from mousetrap.dashboard.last_hour import last_hour
from mousetrap.dashboard.view import Page, PageRoute, View
from mousetrap.shapes import (
    Cluster,
    LetterGroups,
    Queue,
    RunLine,
    RunPage,
    SchedulePage,
    StageLoad,
    Worker,
)

_MINUTE_MS = 60_000
#: What the sparklines show, and what counts as now.
_HOUR, _NOW = 60, 5
#: Stages and runs of one page, and names of pipelines that were quiet.
_STAGES, _RUNS, _QUIET = 40, 8, 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Named:
    """A pipeline by its name and its stages, without their contracts."""

    name: str
    stages: tuple["Named", ...] = ()
    #: Of a stage.
    queue: str = ""


@dataclass(frozen=True, slots=True)
class Strip:
    """A stage in the last hour."""

    load: StageLoad
    #: Attempts that ended in each minute.
    counts: tuple[int, ...]
    #: Attempts that ended in a minute, now.
    per_minute: float
    done: int
    failed: int
    #: The mean of the hour, in seconds.
    run_s: float | None

    @property
    def most(self) -> int:
        """Of one minute."""
        return max(self.counts)

    @property
    def spark(self) -> Sparkline:
        """Drawn where it is shown: of two hundred stages forty are."""
        return sparkline(self.counts)


@dataclass(frozen=True, slots=True)
class Line:
    """A pipeline with its stages."""

    name: str
    strips: tuple[Strip, ...]

    @property
    def order(self) -> tuple[float, ...]:
        """What puts one before another: failures, then what waits and what is done."""
        counts = [(it.failed, it.load.waiting, it.per_minute, it.most) for it in self.strips]
        return tuple(-sum(each) for each in zip(*counts, strict=True))

    @property
    def ran(self) -> bool:
        """Whether a job of it runs, or ended in the last hour. What waits in its queues can be of others."""
        return any(it.most or it.load.running for it in self.strips)

    @property
    def is_busy(self) -> bool:
        """Whether something of it waits, runs or ended in the last hour."""
        return any(self.order) or any(it.load.running for it in self.strips)


@dataclass(frozen=True, slots=True)
class Overview:
    """What the page shows."""

    attention: tuple[Attention, ...]
    #: None while it cannot be known.
    cluster: Cluster | None
    #: Of all stages in the last hour.
    done: int
    failed: int
    lines: tuple[Line, ...]
    #: Pipelines that did nothing in the last hour, and how many have no room at all.
    quiet: tuple[str, ...]
    more: int
    runs: tuple[RunLine, ...]
    #: What to do where nothing ran yet: a pipeline to start with, or none.
    first: str | None


async def show(view: View, facts: Facts) -> Page:
    """All at one look."""
    known = await _look(view, facts)
    runs = await _known(facts, "/runs", RunPage, {"limit": _RUNS})
    pipelines = await _known(facts, "/pipelines", list[Named]) or []
    lines = _lines(known.cluster.stages if known.cluster else (), pipelines, view.now_ms)
    twins = _twins(pipelines)
    lines = [line for line in lines if line.ran or line.name not in twins]
    busy = tuple(_within([line for line in lines if line.is_busy]))
    quiet = tuple(line.name for line in lines if not line.is_busy)[:_QUIET]
    shown = Overview(
        attention=attention(known),
        cluster=known.cluster,
        done=sum(strip.done for line in lines for strip in line.strips),
        failed=sum(strip.failed for line in lines for strip in line.strips),
        lines=busy,
        quiet=quiet,
        more=len(lines) - len(busy) - len(quiet),
        runs=runs.runs if runs else (),
        first=_first(pipelines) if runs is not None and not runs.runs else None,
    )
    return Page("Overview", "overview.html", shown, ("needs", "counts", "stages", "last"), part="overview")


async def _look(view: View, facts: Facts) -> Known:
    """What is known of queues, workers and letters."""
    cluster = await _known(facts, "/cluster", Cluster)
    queues = await _known(facts, "/queues", list[Queue]) or []
    workers = await _known(facts, "/workers", list[Worker]) or []
    schedules = await _known(facts, "/schedules", SchedulePage)
    letters = None
    # To look at letters takes them off their queues: where there is none, it is not done.
    if cluster is None or cluster.dead:
        after_ms = view.now_ms // _MINUTE_MS * _MINUTE_MS - _HOUR * _MINUTE_MS
        letters = await _known(facts, "/dead/groups", LetterGroups, {"after_ms": after_ms})
    groups = letters.groups if letters else ()
    return Known(cluster, queues, workers, groups, view.now_ms, schedules.schedules if schedules else ())


async def _known(facts: Facts, path: str, shape: type[T], query: Parameters | None = None) -> T | None:
    """The answer; None while what it needs is away and was never asked before: the rest is shown all the same."""
    try:
        return await facts.get(path, shape, query)
    except Refused as refused:
        if refused.problem.away:
            return None
        raise


def _twins(pipelines: Sequence[Named]) -> frozenset[str]:
    """Tasks that are a pipeline of their own beside a longer one that has the same stage: quiet, they are no news."""
    longer = {(stage.name, stage.queue) for it in pipelines if len(it.stages) > 1 for stage in it.stages}
    single = (it for it in pipelines if len(it.stages) == 1)
    return frozenset(it.name for it in single if (it.stages[0].name, it.stages[0].queue) in longer)


def _first(pipelines: Sequence[Named]) -> str:
    """A pipeline that a first run can be started of; empty for none."""
    return pipelines[0].name if pipelines else ""


def _lines(stages: Sequence[StageLoad], pipelines: Sequence[Named], now_ms: int) -> Sequence[Line]:
    """The pipelines: those with failures first, then the busiest; of each its stages in their order."""
    orders = {it.name: [stage.name for stage in it.stages] for it in pipelines}
    found: dict[str, dict[str, Strip]] = {}
    for load in stages:
        pipeline, _, stage = load.stage.partition(".")
        found.setdefault(pipeline, {})[stage] = _strip(load, now_ms)
    lines = [Line(name, tuple(_in_order(strips, orders.get(name, [])))) for name, strips in found.items()]
    return sorted(lines, key=lambda line: (*line.order, line.name))


def _in_order(strips: Mapping[str, Strip], order: Sequence[str]) -> Iterator[Strip]:
    places = {name: place for place, name in enumerate(order)}
    yield from (strips[name] for name in sorted(strips, key=lambda name: places.get(name, len(places))))


def _within(lines: Sequence[Line]) -> Iterator[Line]:
    """As many as there is room for."""
    room = _STAGES
    for line in lines:
        room -= len(line.strips)
        if room < 0:
            return
        yield line


def _strip(load: StageLoad, now_ms: int) -> Strip:
    counts = last_hour(load.minutes, now_ms)
    sums = ended(load.minutes, 0)
    total = sum(sums.values())
    run_ms = sum(minute.run_ms for minute in load.minutes)
    # The minute that goes on has not all of its counts.
    per_minute = sum(counts[-1 - _NOW : -1]) / _NOW
    run_s = round(run_ms / total / 1000, 3) if total else None  # counted in whole milliseconds
    return Strip(load, tuple(counts), per_minute, sums["done"], sums["failed"], run_s)


ROUTES = (PageRoute("/", show),)
