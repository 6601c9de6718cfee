"""Makes the shortest story out of one in which a promise is broken: fewer events, simpler ones, shorter pauses."""

import re
from collections.abc import Iterator, Sequence

from simulation.settle_path import Broken, SettlePath, Step

Steps = tuple[Step, ...]


def shortened(broken: Broken) -> Broken:
    """The shortest story found in which the same promise is broken."""
    best = broken
    while (shorter := _shorter(best)) is not None:
        best = shorter
    return best


def tell(steps: Sequence[Step]) -> Broken | None:
    """Tells a story; what was broken in it."""
    story: SettlePath | None = None
    try:
        story = SettlePath()
        for step in steps:
            getattr(story, step.what)(**step.how)
    except Broken as broken:
        return broken
    finally:
        if story is not None:
            broken_at_the_end = _end(story)
    return broken_at_the_end


def _end(story: SettlePath) -> Broken | None:
    try:
        story.teardown()
    except Broken as broken:
        return broken
    return None


def _shorter(broken: Broken) -> Broken | None:
    for steps in _attempts(broken.steps):
        again = tell(steps)
        if again is not None and _same(again, broken):
            return again
    return None


def _attempts(steps: Steps) -> Iterator[Steps]:
    """Stories that would be shorter: large cuts first."""
    size = max(1, len(steps) // 2)
    while size:
        yield from (steps[:place] + steps[place + size :] for place in reversed(range(len(steps) - size + 1)))
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
            yield from (
                Step(step.what, {**step.how, name: [*value[:k], "plain", *value[k + 1 :]]})
                for k in range(len(value))
                if value[k] != "plain"
            )
        elif name in ("then", "seconds", "back_after") and value > 0.0015:
            yield from (Step(step.what, {**step.how, name: less}) for less in (0.0, 0.02) if less < value)
        elif name in ("calls", "run") and value > 1:
            yield Step(step.what, {**step.how, name: value - 1})
        elif name == "hurry" and value:
            yield Step(step.what, {**step.how, name: False})


def _same(one: Broken, other: Broken) -> bool:
    return _gist(one) == _gist(other)


def _gist(broken: Broken) -> str:
    return re.sub(r"\(\w+\)|[0-9a-f]{32}|\d+|\.(add|double|turn)", "", broken.what)
