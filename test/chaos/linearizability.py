"""Checks a history of concurrent calls against a sequential specification.

It knows nothing of jobs and calls nothing of ours. A history is linearizable when each call can be given one moment
between its begin and its end so that the specification, taking one call after the other, gives the same answers.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

#: States of the search after which a history counts as too large to decide.
MOST_STATES = 500_000

State = TypeVar("State", bound=Hashable)
What = TypeVar("What")


class Operation(NamedTuple, Generic[What]):
    """A call; times are seconds on one clock."""

    #: What was asked, and what was answered.
    what: What
    begin: float
    #: None for a call without an answer: it may have happened at any time since, or never.
    end: float | None


#: Gives the states that a call may lead to, none if its answer cannot be given in this state.
Step = Callable[[State, Operation[What]], Iterable[State]]


class Undecided(Exception):
    """The search met more states than it may."""


def explain(history: Sequence[Operation[What]], state: State, step: Step[State, What]) -> str | None:
    """None for a linearizable history, else the calls that fit nowhere, after the most that could be put in order.

    Raises Undecided when the search meets more than MOST_STATES.
    """
    calls = sorted(history, key=lambda call: call.begin)
    answered = sum(1 << place for place, call in enumerate(calls) if call.end is not None)
    seen = {(0, state)}
    left: list[tuple[int, State, tuple[int, ...]]] = [(0, state, ())]
    best: tuple[int, ...] = ()
    while left:
        taken, now, order = left.pop()
        if taken & answered == answered:
            return None
        best = max(best, order, key=len)
        for place in _next(calls, taken):
            for after in step(now, calls[place]):
                if calls[place].end is None and after == now:
                    continue  # as if it never happened
                if (reached := (taken | 1 << place, after)) in seen:
                    continue
                seen.add(reached)
                left.append((*reached, (*order, place)))
        if len(seen) > MOST_STATES:
            raise Undecided(f"{len(calls)} calls lead to more than {MOST_STATES} states")
    return _report(calls, best)


def _next(calls: Sequence[Operation[What]], taken: int) -> list[int]:
    """The calls that may come next: each that began before the first end of those that are left.

    Of equal calls without an answer the first: it can have happened wherever a later one can, and what it takes ends sooner. A worker
    that a store does not answer for some seconds asks again and again, and all their orders would be too many.
    """
    waiting = [place for place in range(len(calls)) if not taken >> place & 1]
    first_end = min((end for place in waiting if (end := calls[place].end) is not None), default=None)
    unanswered: set[object] = set()
    found = []
    for place in waiting:
        call = calls[place]
        if call.end is None:
            if call.what in unanswered:
                continue
            unanswered.add(call.what)
        if first_end is None or call.begin <= first_end:
            found.append(place)
    return found


def _report(calls: Sequence[Operation[What]], order: Sequence[int]) -> str:
    done = [f"  {place + 1}. {_line(calls[call])}" for place, call in enumerate(order)]
    lost = [f"  ?  {_line(call)}" for place, call in enumerate(calls) if place not in order]
    return "\n".join(["this order fits:", *done, "and then none of these:", *lost])


def _line(call: Operation[What]) -> str:
    end = "no answer" if call.end is None else f"{call.end:.6f}"
    return f"{call.begin:.6f} to {end}: {call.what}"
