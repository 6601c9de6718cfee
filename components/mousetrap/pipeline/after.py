"""Names what a stage follows, and what opens and joins its jobs."""

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from mousetrap.pipeline.check_all import check_keep, check_need, check_within
from mousetrap.pipeline.names import check_names, listed, shown

#: How a stage takes what it follows: one output, each item of a fan-out, its outputs when all are there, or those of a fork.
Edge = Literal["one", "each", "gather", "join"]


@dataclass(frozen=True, slots=True, init=False)
class AnyOf:
    """Whichever of these stages a run comes to: the branches of one stage meet again.

    Raises ValueError for fewer than two, or for one that is named twice.
    """

    stages: tuple[str, ...]

    def __init__(self, *stages: str) -> None:
        check_names("AnyOf", stages)
        if len(stages) < 2 or len(set(stages)) != len(stages):
            raise ValueError(
                f"AnyOf of {listed(stages)}: name two stages or more, each once; one needs no AnyOf"
            )
        object.__setattr__(self, "stages", stages)


@dataclass(frozen=True, slots=True)
class Each:
    """Each item of what this stage gives, which is Many of them: the stage that follows has a job for every item."""

    stage: str

    def __post_init__(self) -> None:
        check_names("Each", (self.stage,))


@dataclass(frozen=True, slots=True, init=False)
class All:
    """All of a fan-out, or all that follow one stage: its one job begins when their jobs have ended.

    `All("read")` takes Gathered outputs of the stage that the jobs of a fan-out end with; `All(AnyOf("read", "regret"))` where
    they end with one of several. `need` is the share of them that must be done, or a whole number of them, all where there are
    fewer; the rest may be given up. `within` is how long they may take, from when the job that opened them is done; then the join
    begins with what is there, if that is what it needs, else that job is given up. Without `keep` their outputs are not kept, and
    the join takes Gathered[None].

    `All("a", "b")` takes an object with the outputs of a and b, which follow one stage and both run.

    Raises ValueError, with the fix, for names and numbers that cannot be.
    """

    stages: tuple[str, ...]
    need: float
    #: Whether it joins stages that both run, and not the jobs of a fan-out.
    is_join: bool
    #: Whether the outputs are kept for it.
    keep: bool
    #: None for no end.
    within: timedelta | None

    def __init__(
        self, *stages: str | AnyOf, need: float = 1.0, keep: bool = True, within: timedelta | None = None
    ) -> None:
        check_names("All", stages, allowed=(str, AnyOf))
        names = tuple(
            name for each in stages for name in (each.stages if isinstance(each, AnyOf) else (each,))
        )
        mixed = len(stages) > 1 and any(isinstance(each, AnyOf) for each in stages)
        if mixed or not names or len(set(names)) != len(names):
            raise ValueError(
                f"All of {listed(names)}: name the stage that a fan-out's jobs end with, or AnyOf such, or two stages or more that "
                "follow one, each once"
            )
        is_join, where = len(stages) > 1, f"All({listed(names)})"
        check_need(where, need, is_join=is_join)
        check_keep(where, keep, is_join=is_join)
        check_within(where, within, is_join=is_join)
        values = {"stages": names, "need": need, "is_join": is_join, "keep": keep, "within": within}
        for field, value in values.items():
            object.__setattr__(self, field, value)


After = str | AnyOf | Each | All


def named(after: After | None) -> tuple[str, ...] | None:
    """The stages that `after` names; None for the one before it."""
    if isinstance(after, AnyOf | All):
        return after.stages
    if isinstance(after, Each):
        return (after.stage,)
    return None if after is None else (after,)


def edge_of(after: After | None) -> Edge:
    """How a stage takes what it follows."""
    if isinstance(after, All):
        return "join" if after.is_join else "gather"
    return "each" if isinstance(after, Each) else "one"


def needed(need: float, total: int) -> int:
    """How many of so many jobs must be done, all of them at most: `need` is a share where it is no whole number by its type."""
    if isinstance(need, int):
        return min(need, total)
    return min(
        total, math.ceil(need * total - 1e-9)
    )  # of 0.95, ten thousand make 9,500.000000000001 at worst


def check_after(stage: str, after: Any) -> None:
    """Raises ValueError, with the fix, where a stage follows what is none of these."""
    if after is None or isinstance(after, str | AnyOf | Each | All):
        return
    if isinstance(after, type) and after in (AnyOf, Each, All):
        advice = f"name what it follows, as {after.__name__}('read')"
    elif isinstance(name := getattr(after, "name", None), str):
        advice = f"write the stage's name, as after={name!r}"
    elif (
        isinstance(after, list | tuple | set | frozenset)
        and after
        and all(isinstance(it, str) for it in after)
    ):
        names = ", ".join(map(repr, after))
        advice = (
            f"write after={names}"
            if len(after) == 1
            else f"write AnyOf({names}) where a run comes to one of them, or All({names}) where it comes to all"
        )
    else:
        advice = "write a stage's name, AnyOf('a', 'b'), Each('a') or All('a')"
    raise ValueError(f"stage {stage!r}: after is {shown(after)}: {advice}")
