"""All measures by name, in the order of the report."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks import chain, dashboard, graph, growth, guarantees, http_rate, latency, memory, pages
from benchmarks.bench import Bench
from benchmarks.figures import Figure, Shown


def nothing(figures: Sequence[Figure]) -> list[Shown]:
    """Of a measure of which no ratio is asked."""
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A section of the report."""

    #: For `--only`.
    name: str
    title: str
    #: The text under the title, before the tables.
    about: str
    #: Yields each figure as soon as it is there, so that what was measured is kept when something fails.
    run: Callable[[Bench], Iterator[Figure]]
    #: The ratios that are asked for, made of the measure's own figures.
    shown: Callable[[Sequence[Figure]], list[Shown]] = nothing
    #: Whether it measures the contenders, whose environments it then needs.
    compares: bool = False


MEASURES = (
    Measure(
        name="chain",
        title="Two chained no-op stages",
        about=chain.ABOUT,
        run=chain.measure,
        shown=chain.shown,
        compares=True,
    ),
    Measure(
        name="loads",
        title="Other loads",
        about=chain.ABOUT_LOADS,
        run=chain.measure_loads,
        shown=chain.shown_of_loads,
        compares=True,
    ),
    Measure(
        name="latency",
        title="An idle run of two stages",
        about=latency.ABOUT,
        run=latency.measure,
        shown=latency.shown,
        compares=True,
    ),
    Measure(
        name="graph",
        title="A fan-out and its join",
        about=graph.ABOUT,
        run=graph.measure,
        shown=graph.shown,
        compares=True,
    ),
    Measure(
        name="http",
        title="Runs started by HTTP",
        about=http_rate.ABOUT,
        run=http_rate.measure,
        shown=http_rate.shown,
    ),
    Measure(
        name="dashboard",
        title="The dashboard",
        about=dashboard.ABOUT,
        run=dashboard.measure,
        shown=dashboard.shown,
    ),
    Measure(
        name="memory",
        title="The API's memory and start",
        about=memory.ABOUT,
        run=memory.measure,
        shown=memory.shown,
    ),
    Measure(
        name="guarantees",
        title="What each guarantee costs",
        about=guarantees.ABOUT,
        run=guarantees.measure,
    ),
    Measure(
        name="growth",
        title="A million runs",
        about=growth.ABOUT,
        run=growth.measure,
        shown=growth.shown,
    ),
    Measure(
        name="pages",
        title="Pages of a million runs",
        about=pages.ABOUT,
        run=pages.measure,
        shown=pages.shown,
    ),
)
