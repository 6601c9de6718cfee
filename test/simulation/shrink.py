"""Shrinks a failing run: fewer steps, simpler ones, shorter pauses."""

import re
from collections.abc import Iterator, Sequence

from simulation.state_machine import FailingRun, PromiseMachine, Step

Steps = tuple[Step, ...]


def shrunk(broken: FailingRun, made: type[PromiseMachine] = PromiseMachine) -> FailingRun:
    """The shortest run found in which the same promise is broken."""
    best = broken
    while (shorter := _one_step_smaller(best, made)) is not None:
        best = shorter
    return best


def replay(steps: Sequence[Step], made: type[PromiseMachine]) -> FailingRun | None:
    """Replays the steps. Returns the failing run; None if no promise is broken."""
    machine: PromiseMachine | None = None
    try:
        machine = made()
        for step in steps:
            getattr(machine, step.what)(**step.how)
    except FailingRun as broken:
        return broken
    finally:
        if machine is not None:
            broken_at_the_end = _end(machine)
    return broken_at_the_end


def _end(machine: PromiseMachine) -> FailingRun | None:
    try:
        machine.teardown()
    except FailingRun as broken:
        return broken
    return None


def _one_step_smaller(broken: FailingRun, made: type[PromiseMachine]) -> FailingRun | None:
    for steps in _attempts(broken.steps):
        again = replay(steps, made)
        if again is not None and _same(again, broken):
            return again
    return None


def _attempts(steps: Steps) -> Iterator[Steps]:
    """Shorter lists of steps, those with large cuts first."""
    size = max(1, len(steps) // 2)
    first = 1 if "graph" in steps[0].how else 0  # without its graph there is no cluster
    while size:
        cuts = reversed(range(first, len(steps) - size + 1))
        yield from (steps[:place] + steps[place + size :] for place in cuts)
        size //= 2
    for place, step in enumerate(steps):
        for simpler in _simpler(step):
            yield (*steps[:place], simpler, *steps[place + 1 :])


def _simpler(step: Step) -> Iterator[Step]:
    for name, value in step.how.items():
        if name == "kinds":
            yield from (
                Step(step.what, {**step.how, name: value[:k] + value[k + 1 :]}) for k in range(len(value))
            )
            plain = "graph" if value and value[0].startswith("graph") else "plain"
            yield from (
                Step(step.what, {**step.how, name: [*value[:k], plain, *value[k + 1 :]]})
                for k in range(len(value))
                if value[k] != plain
            )
        elif name in ("then", "seconds", "back_after") and value > 0.0015:
            yield from (Step(step.what, {**step.how, name: less}) for less in (0.0, 0.02) if less < value)
        elif name in ("calls", "run") and value > 1:
            yield Step(step.what, {**step.how, name: value - 1})
        elif name in ("hurry", "in_place") and value:
            yield Step(step.what, {**step.how, name: False})


def _same(one: FailingRun, other: FailingRun) -> bool:
    return _gist(one) == _gist(other)


def _gist(broken: FailingRun) -> str:
    return re.sub(r"\(\w+\)|[0-9a-f]{32}|\d+|\.(add|double|turn)", "", broken.what)
