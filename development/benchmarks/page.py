"""Writes docs/benchmarks.md from a run's figures and its host."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from benchmarks.contenders import HERE
from benchmarks.figures import Figure, Shown
from benchmarks.measures import MEASURES
from benchmarks.report import ratios, tables

HEAD = """# Benchmarks

Mousetrap beside Celery, Dramatiq, FastStream, Taskiq and streaQ: the same work, on the same broker, in turns. `make bench` made
this page, and makes it again on another machine; it sets the peers up by itself.

Read the ratios, not the rates: every figure is the median of its rounds, with the lowest and the highest in brackets, and a
ratio is taken within each round before its median is. What slows a round on a busy machine slows all who take part in it. A value
without brackets is of a single round.

![Jobs a second of each contender](benchmarks.svg)
"""


@dataclass(frozen=True, slots=True)
class Found:
    """All that a run gave: what was noted of the host, and figures by measure."""

    host: Mapping[str, str]
    figures: Mapping[str, Sequence[Figure]]

    @classmethod
    def of_json(cls, texts: Sequence[str]) -> Self:
        """As it was kept; of a measure that several runs made, the last."""
        runs = [json.loads(text) for text in texts]
        figures = {
            name: [Figure(**each) for each in some] for run in runs for name, some in run["figures"].items()
        }
        return cls(runs[-1]["host"], figures)


def page(found: Found) -> str:
    """The whole page."""
    host = "\n".join(f"| {name} | {text} |" for name, text in found.host.items())
    settings = (HERE / "settings.md").read_text()
    return f"{HEAD}\n| | |\n|---|---|\n{host}\n\n{tables_of(found)}\n{settings}"


def tables_of(found: Found) -> str:
    """What is asked for first, then a section for each measure."""
    measured = [
        (measure, found.figures[measure.name]) for measure in MEASURES if measure.name in found.figures
    ]
    shown: list[Shown] = [each for measure, figures in measured for each in measure.shown(figures)]
    first = f"## In short\n\n{ratios(shown)}\n\n" if shown else ""
    sections = [
        f"## {measure.title}\n\n{measure.about}\n\n{tables(figures)}" for measure, figures in measured
    ]
    left_out = [measure.title for measure in MEASURES if measure.name not in found.figures]
    last = f"\n## Not measured here\n\n{'; '.join(left_out)}.\n" if left_out else ""
    return first + "\n".join(sections) + last
