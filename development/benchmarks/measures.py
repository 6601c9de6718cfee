"""All measures by name, in the order of the report."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks import chain, latency, raw_mark
from benchmarks.bench import Bench
from benchmarks.figures import Figure


@dataclass(frozen=True, slots=True)
class Measure:
    """A section of the report."""

    #: For `--only`.
    name: str
    title: str
    #: What stands under the title, before the tables.
    about: str
    #: Yields each figure as soon as it is there, so that what was measured is kept when something fails.
    run: Callable[[Bench], Iterator[Figure]]
    #: Whether it measures the contenders, whose environments it then needs.
    compares: bool = False


MEASURES = (
    Measure("chain", "Two chained no-op stages", chain.ABOUT, chain.measure, compares=True),
    Measure("loads", "Other loads", chain.ABOUT_LOADS, chain.measure_loads, compares=True),
    Measure("latency", "An idle run of two stages", latency.ABOUT, latency.measure, compares=True),
    Measure("raw", "The raw mark", raw_mark.ABOUT, raw_mark.measure),
)
