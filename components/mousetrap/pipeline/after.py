"""Names what a stage follows, and what opens and joins its jobs."""

import math
from dataclasses import dataclass
from typing import Literal

#: How a stage takes what it follows: one output, each item of a fan-out, its outputs when all are there, or those of a fork.
Edge = Literal["one", "each", "gather", "join"]


@dataclass(frozen=True, slots=True, init=False)
class AnyOf:
    """Whichever of these stages a run comes to: the branches of one stage meet again.

    Raises ValueError for fewer than two, or for one that is named twice.
    """

    stages: tuple[str, ...]

    def __init__(self, *stages: str) -> None:
        if len(stages) < 2 or len(set(stages)) != len(stages):
            raise ValueError(
                f"AnyOf of {_listed(stages)}: name two stages or more, each once; one needs no AnyOf"
            )
        object.__setattr__(self, "stages", stages)


@dataclass(frozen=True, slots=True)
class Each:
    """Each item of what this stage gives, which is Many of them: the stage that follows has a job for every item."""

    stage: str


@dataclass(frozen=True, slots=True, init=False)
class All:
    """All of a fan-out, or all that follow one stage: its one job begins when their jobs have ended.

    `All("read")` takes Gathered outputs of the stage that the jobs of a fan-out end with; `All(AnyOf("read", "regret"))` where
    they end with one of several. `need` is the share of them that must be done, or a whole number of them, all where there are
    fewer; the rest may be given up. `All("a", "b")` takes an object with the outputs of a and b, which follow one stage and both run.

    Raises ValueError, with the fix, for names and numbers that cannot be.
    """

    stages: tuple[str, ...]
    need: float
    #: Whether it joins stages that both run, and not the jobs of a fan-out.
    is_join: bool

    def __init__(self, *stages: str | AnyOf, need: float = 1.0) -> None:
        names = tuple(
            name for each in stages for name in (each.stages if isinstance(each, AnyOf) else (each,))
        )
        mixed = len(stages) > 1 and any(isinstance(each, AnyOf) for each in stages)
        if mixed or not names or len(set(names)) != len(names):
            raise ValueError(
                f"All of {_listed(names)}: name the stage that a fan-out's jobs end with, or AnyOf such, or two stages or more that "
                "follow one, each once"
            )
        _check_need(need, is_join=len(stages) > 1)
        for field, value in (("stages", names), ("need", need), ("is_join", len(stages) > 1)):
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


def _check_need(need: float, *, is_join: bool) -> None:
    is_number = isinstance(need, int | float) and not isinstance(need, bool)
    if is_join and need != 1.0:
        raise ValueError(
            f"need is {need!r}, and it joins stages that all run: leave it out, and write on_failure='skip' at a stage whose output "
            "may be null"
        )
    if is_number and isinstance(need, int) and need == 1 and not is_join:
        raise ValueError(
            "need is 1, which is one job or all of them: write 1.0 for all, or a small share, as 0.000001, for any one"
        )
    if not is_number or need < 0 or (isinstance(need, float) and not need <= 1):
        raise ValueError(
            f"need is {need!r}: write the share of the jobs that must be done, as 0.95, or a whole number of them"
        )


def _listed(names: tuple[object, ...]) -> str:
    return ", ".join(map(repr, names)) or "nothing"
