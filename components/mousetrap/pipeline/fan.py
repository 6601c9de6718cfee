"""Describes what one job opens: its children, and what joins them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from mousetrap.pipeline.after import All, needed
from mousetrap.pipeline.edges import graph_of
from mousetrap.pipeline.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Fan:
    """A fan-out: jobs of one stage, one for each item. Or a fork: one job of each of several stages, with the same output."""

    #: The stage whose job opens it.
    opener: Stage
    #: The stages of its first jobs: one, or those of a fork in the order of their index.
    children: tuple[Stage, ...]
    #: The stages that its jobs end with, each with one of them; of a fork, in the order of `children`.
    last: tuple[Stage, ...]
    #: The stage that takes their outputs; None where the last of them ends the run.
    join: Stage | None
    #: A share, or a whole number, of the jobs that must be done.
    need: float
    #: Whether the join takes their outputs, and not counts alone.
    keep: bool = True
    #: How long they may go on once it is known how many there are; None for no end.
    within: timedelta | None = None

    @property
    def is_fork(self) -> bool:
        """Whether each child is of a stage of its own."""
        return len(self.children) > 1

    def needed(self, total: int) -> int:
        """How many of so many children must be done."""
        return needed(self.need, total)


@dataclass(frozen=True, slots=True)
class Level:
    """A fan that the jobs of a stage are in."""

    #: The stage whose job opens it, and the stage of the child that leads to them.
    opener: str
    child: str
    #: Of a branch of a fork, which child that is; None where there is one for each item.
    index: int | None


def levels_of(stages: Sequence[Stage], name: str) -> tuple[Level, ...]:
    """The fans that the jobs of the stage `name` are in, the outermost first."""
    graph = graph_of(stages)
    forks = {opener: graph.fork(opener) for opener, _ in graph.opened[name]}
    return tuple(
        Level(opener, child, forks[opener].index(child) if forks[opener] else None)
        for opener, child in graph.opened[name]
    )


def fans_of(stages: Sequence[Stage]) -> tuple[Fan, ...]:
    """What the stages open, in the order of what joins it."""
    by_name = {stage.name: stage for stage in stages}
    found = []
    for fan in graph_of(stages).fans:
        join = by_name[fan.join] if fan.join else None
        after = join.after if join is not None and isinstance(join.after, All) else None
        found.append(
            Fan(
                opener=by_name[fan.opener],
                children=tuple(by_name[name] for name in fan.children),
                last=tuple(by_name[name] for name in fan.last),
                join=join,
                # What nothing joins ends its run whatever becomes of its jobs.
                need=after.need if after is not None else 0,
                keep=after is None or after.keep,
                within=after.within if after is not None else None,
            )
        )
    return tuple(found)
