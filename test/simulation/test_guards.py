"""Tests that stories find each guard of format 5 taken out."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest

from mousetrap.run_store.packed import decisions, sender
from mousetrap.run_store.packed.call import Call
from mousetrap.run_store.packed.claims import Claims, Planned
from mousetrap.run_store.packed.sender import LIBRARY
from mousetrap.store_client import Library
from simulation.state_machine import WORKERS, BesideMachine, FailingRun, PromiseMachine

Patch = pytest.MonkeyPatch
Step = Callable[[PromiseMachine], None]


class Guard(NamedTuple):
    """A guard, and what happens without it."""

    remove: Callable[[Patch], None]
    story: Step
    #: The broken promise, as a pattern.
    breach: str


def without(kept: str, instead: str = "") -> Callable[[Patch], None]:
    """Takes this text out of the store's functions."""

    def remove(patch: Patch) -> None:
        assert LIBRARY.source.count(kept) == 1
        changed = Library(LIBRARY.name, LIBRARY.source.replace(kept, instead))
        for module in (sender, decisions):
            patch.setattr(module, "LIBRARY", changed)

    return remove


def record_whatever_is_there(patch: Patch) -> None:
    add = Call.add

    def add_without_comparing(call: Call, *command: Any) -> int:
        return add(call, *(command[:3] + command[5:] if "IFEQ" in command else command))

    patch.setattr(Call, "add", add_without_comparing)


def claim_whatever_is_there(patch: Patch) -> None:
    add = Call.add

    def add_without_nx(call: Call, *command: Any) -> int:
        return add(call, *(word for word in command if word != "NX"))

    patch.setattr(Call, "add", add_without_nx)


def take_each_run_for_live(patch: Patch) -> None:
    result = Claims._result

    def without_a_look(claims: Claims, planned: Planned, replies: Sequence[Any], worker: str) -> Any:
        seen = list(replies)
        seen[planned.run] = seen[planned.run] and b"Q"
        return result(claims, planned, seen, worker)

    patch.setattr(Claims, "_result", without_a_look)


def a_worker_wakes_up_late(kind: str) -> Step:
    """Another one has done its job again by then."""

    def story(machine: PromiseMachine) -> None:
        machine.submit_first(kinds=[kind], then=0.05)
        machine.pause_worker(name="ann", seconds=25.0, then=26.0)
        machine.wait(seconds=100.0)

    return story


def connections_are_lost(kind: str, begun: float) -> Step:
    """Its message comes again while a handler, or the record of its outcome, is under way."""

    def story(machine: PromiseMachine) -> None:
        machine.submit_first(kinds=[kind], then=begun)
        for name in WORKERS:
            machine.disconnect_worker(name=name, then=1.0)
        machine.wait(seconds=150.0)

    return story


def a_run_is_cancelled_before_a_worker_is_there(machine: PromiseMachine) -> None:
    for name in WORKERS:
        machine.kill_worker(name=name, back_after=5.0, then=0.0)
    machine.submit_first(kinds=["plain"], then=0.5)
    machine.cancel(run=1, then=100.0)


GUARDS = {
    "an outcome is recorded if the claim is still the one on record": Guard(
        record_whatever_is_there, a_worker_wakes_up_late("plain"), "the fence of .* fell from 2 to 1"
    ),
    "a claim is set if no other is on record": Guard(
        claim_whatever_is_there, connections_are_lost("slow", begun=1.0), "the fence of .* fell from 2 to 1"
    ),
    "a claim looks at its run": Guard(
        take_each_run_for_live,
        a_run_is_cancelled_before_a_worker_is_there,
        "began long after the response to its cancel",
    ),
    "a claim compares its parent's fence": Guard(
        without("  if held.fence ~= fence then return false end\n"),
        a_worker_wakes_up_late("slow"),
        "began on an outcome under fence 1, and the outcome under fence 2 is recorded",
    ),
    "the last outcome is recorded if the claim is still the one on record": Guard(
        without("  if redis.call('GET', job) ~= claim then return 0 end\n"),
        connections_are_lost("plain", begun=0.06),
        "the fence of .* fell from 2 to 1",
    ),
}


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
def test_a_guard_that_is_taken_out_is_found(guard: Guard, monkeypatch: Patch) -> None:
    guard.remove(monkeypatch)

    with pytest.raises(FailingRun, match=guard.breach):
        play(guard.story)


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
def test_the_same_story_breaks_nothing_with_the_guard(guard: Guard) -> None:
    play(guard.story)


def play(story: Step) -> None:
    machine = BesideMachine()
    try:
        story(machine)
    finally:
        machine.teardown()
