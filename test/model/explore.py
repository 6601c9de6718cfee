"""Explores every state that an order can reach."""

from collections import defaultdict, deque
from typing import NamedTuple

from model.order import Breach, Order, State, check_change, ends_well


class Explored(NamedTuple):
    """What there is to reach."""

    states: int
    steps: int
    #: States that cannot end well any more.
    stuck: int
    #: The steps to the first breach, and what it is; empty where there is none.
    breach: tuple[str, ...]


def explore(order: Order, faults: int) -> Explored:
    """All states, breadth first, with at most so many faults on the way to each; it stops at the first breach."""
    start = State(faults=faults)
    came: dict[State, tuple[State, str] | None] = {start: None}
    before: defaultdict[State, list[State]] = defaultdict(list)
    waiting, steps = deque([start]), 0
    while waiting:
        state = waiting.popleft()
        try:
            for name, after in order.steps(state):
                steps += 1
                check_change(state, after)
                if not name.isupper():
                    before[after].append(state)
                if after not in came:
                    came[after] = state, name
                    waiting.append(after)
        except Breach as breach:
            return Explored(len(came), steps, 0, (*_way(came, state), str(breach)))
    return Explored(len(came), steps, len(came) - _hopeful(came, before), ())


def _hopeful(came: dict[State, tuple[State, str] | None], before: dict[State, list[State]]) -> int:
    """How many states can still end well, without another fault."""
    well = {state for state in came if ends_well(state)}
    waiting = deque(well)
    while waiting:
        for state in before.get(waiting.popleft(), ()):
            if state not in well:
                well.add(state)
                waiting.append(state)
    return len(well)


def _way(came: dict[State, tuple[State, str] | None], state: State) -> list[str]:
    names: list[str] = []
    while (origin := came[state]) is not None:
        state, name = origin
        names.append(name)
    return names[::-1]
