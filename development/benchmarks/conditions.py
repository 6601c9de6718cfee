"""Notes the machine's load and stolen time during a round."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.figures import Figure

TABLE = "The machine during the rounds"


@dataclass(frozen=True, slots=True)
class Ticks:
    """What the kernel has counted of all cores since the start, in its ticks."""

    total: int
    idle: int
    #: Time that the machine below this one gave to others.
    stolen: int

    @classmethod
    def now(cls) -> Self:
        """As of now."""
        return cls.read(Path("/proc/stat").read_text())

    @classmethod
    def read(cls, text: str) -> Self:
        """Of the first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal, then guests, which user includes."""
        ticks = list(map(int, text.partition("\n")[0].split()[1:9]))
        return cls(sum(ticks), ticks[3] + ticks[4], ticks[7])


@dataclass(frozen=True, slots=True)
class Condition:
    """What the machine did during one round."""

    round: int
    #: Processes that ran or waited to, over the last minute.
    load: float
    #: Per cent of all cores' time.
    stolen: float
    idle: float

    @classmethod
    def since(cls, before: Ticks, number: int) -> Self:
        """From `before` until now."""
        return cls.between(before, Ticks.now(), number, os.getloadavg()[0])

    @classmethod
    def between(cls, before: Ticks, after: Ticks, number: int, load: float) -> Self:
        """Of two readings."""
        passed = max(1, after.total - before.total)
        return cls(
            number,
            load,
            (after.stolen - before.stolen) / passed * 100,
            (after.idle - before.idle) / passed * 100,
        )

    def __str__(self) -> str:
        return f"load {self.load:.1f}, {self.stolen:.1f} % stolen, {self.idle:.0f} % idle"


def figures_of(conditions: Iterable[Condition]) -> Iterator[Figure]:
    """A row for a measure's section of the report."""
    for each in conditions:
        for column, value in (
            ("load average of a minute", each.load),
            ("% of the CPU stolen", each.stolen),
            ("% idle", each.idle),
        ):
            yield Figure(TABLE, "all rounds", column, value, "", each.round)
