"""Tests that stories find each guard of format 5 taken out."""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest

from mousetrap.jobs import Job, signed_message
from mousetrap.run_store.packed import claims, decisions, sender
from mousetrap.run_store.packed.call import Call
from mousetrap.run_store.packed.claims import Claims, Planned
from mousetrap.run_store.packed.sender import LIBRARY, Sender
from mousetrap.run_store.transitions import Transition
from mousetrap.store_client import Command, Library
from mousetrap.testing.simulation.process import CrashPoint, Fault
from mousetrap.worker.send_children import ChildSender
from simulation import graphs
from simulation.state_machine import (
    WORKERS,
    BesideMachine,
    FailingRun,
    GraphMachine,
    PromiseMachine,
    SplitMachine,
)

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


def a_run_is_refused(machine: PromiseMachine, seconds: float) -> None:
    """The broker has its message, which no worker takes before the time is over."""
    machine.submit_first(kinds=["plain", "plain"], then=5.0)
    for name in WORKERS:
        machine.kill_worker(name=name, back_after=seconds, then=0.0)
    machine.fail_a_publish(who="api", fault=Fault.REPLY_LOST, then=0.0)
    machine.submit(kinds=["plain"], then=seconds)
    assert machine.cluster.ledger.states["run3"] == "rejected"


def a_refused_run_has_a_message(machine: PromiseMachine) -> None:
    a_run_is_refused(machine, 40.0)
    machine.wait(seconds=100.0)


def more_jobs_than_places_come(machine: PromiseMachine) -> None:
    machine.submit_first(kinds=["limited"] * 5, then=100.0)


GUARDS = {
    "a job over its limit is not granted": Guard(
        without(
            "  if full then return limits.wait(run, job, held, attempt, generation, worker, full, limited, is_high, ttl) end\n"
        ),
        more_jobs_than_places_come,
        "were beyond the limit of 2",
    ),
    "a place is held from the claim on": Guard(
        without("      limits.hold(of, member, until_ms)\n"),
        more_jobs_than_places_come,
        "were beyond the limit of 2",
    ),
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
        without("  if held.fence > fence then return false end\n"),
        a_worker_wakes_up_late("slow"),
        "the fence of .* fell from 2 to 1",
    ),
    "the last outcome is recorded if the claim is still the one on record": Guard(
        without("  if redis.call('GET', job) ~= claim then return 0 end\n"),
        connections_are_lost("plain", begun=0.06),
        "the fence of .* fell from 2 to 1",
    ),
    "a rejected run is opened by a message of a later submission alone": Guard(
        without("accepted_ms > (held.facts.accepted_ms", "accepted_ms >= (held.facts.accepted_ms"),
        a_refused_run_has_a_message,
        "a job of run3 was granted when the run had ended: rejected",
    ),
}


def send_names_and_records_together(patch: Patch) -> None:
    async def send_at_once(sender: Sender, first: Sequence[Command], then: Sequence[Command]) -> list[Any]:
        return (await sender.send([*first, *then]))[len(first) :]

    patch.setattr(Sender, "send_in_order", send_at_once)


def name_the_key_of_the_run_alone(patch: Patch) -> None:
    name_keys = sender.function_call

    def with_one_key(transition: Transition, fans: Sequence[str] = ()) -> Command:
        function, name, _, key, *_, blob = name_keys(transition, fans)
        return (function, name, 1, key, blob)

    for module in (sender, claims, decisions):
        patch.setattr(module, "function_call", with_one_key)


def an_api_dies_while_the_names_are_away(machine: PromiseMachine) -> None:
    """The run's own server is not away. The pair of servers of the names is 1."""
    assert isinstance(machine, SplitMachine)
    machine.submit_first(kinds=["plain"], then=1.0)
    machine.stop_store_server(pair=1, seconds=5.0, then=0.01)
    machine.crash_at_a_next_call(who="api", calls=3, happened=True, then=0.0)
    machine.submit(kinds=["later", "later"], then=100.0)


def a_message_comes_again_while_keys_move(machine: PromiseMachine) -> None:
    """Its run's record has gone to the next server, its job's not yet."""
    assert isinstance(machine, SplitMachine)
    machine.submit_first(kinds=["plain"], then=0.07)
    machine.move_slot(run=1, pair=1, seconds=0.2, then=0.04)
    for name in WORKERS:
        machine.disconnect_worker(name=name, then=0.0)
    machine.wait(seconds=1.0)
    for name in WORKERS:
        machine.disconnect_worker(name=name, then=0.0)
    machine.wait(seconds=100.0)


def name_none_again(patch: Patch) -> None:
    async def _name_again(*_: object) -> None: ...

    patch.setattr(Claims, "_name_again", _name_again)


def an_api_dies_while_it_opens_a_refused_run_whose_message_comes(machine: PromiseMachine) -> None:
    """The pair of servers of the names is 1, that of the run another one."""
    assert isinstance(machine, SplitMachine)
    a_run_is_refused(machine, 40.0)
    api = machine.cluster.api
    assert machine.cluster.pair_of("run3") != 1
    api.process.crash_point = CrashPoint(1, True, re.compile("open_run"))
    machine.submit_again(run=3, then=0.003)  # it has named the run
    machine.cluster.pause(api, 0.05)
    machine.wait(seconds=100.0)


#: The same of a store that is a cluster.
GUARDS_OF_A_CLUSTER = {
    "a run is named before it is recorded": Guard(
        send_names_and_records_together,
        an_api_dies_while_the_names_are_away,
        "run3 was recorded, and stays queued",
    ),
    "a function names the keys that it judges by": Guard(
        name_the_key_of_the_run_alone,
        a_message_comes_again_while_keys_move,
        "finished was recorded 2 times",
    ),
    "a claim of a rejected run names it again": Guard(
        name_none_again,
        an_api_dies_while_it_opens_a_refused_run_whose_message_comes,
        "run3 was recorded, and stays queued",
    ),
}


def forget_what_was_not_confirmed(patch: Patch) -> None:
    async def send(sender: Any, left: dict[int, Job], queue: str) -> None:
        for child in left.values():
            sender._queue.post(queue, signed_message(child, sender._keyring), lambda _: None)
        left.clear()

    patch.setattr(ChildSender, "send", send)


#: A fan-out to two children.
_PAIR = (graphs.FanOut(2, 1.0, (graphs.Step(),)),)


def a_child_s_message_is_lost(machine: PromiseMachine) -> None:
    assert isinstance(machine, GraphMachine)
    machine.submit_first(graph=_PAIR, kinds=["graph"], then=0.06)
    for name in WORKERS:
        machine.fail_a_publish(who=name, fault=Fault.REQUEST_LOST, then=0.0)
    machine.wait(seconds=100.0)


def a_worker_dies(kind: str, at: str, happened: bool) -> Step:
    """As it makes a call that `at` finds."""

    def story(machine: PromiseMachine) -> None:
        assert isinstance(machine, GraphMachine)
        machine.submit_first(graph=_PAIR, kinds=[kind], then=0.1)
        for name in WORKERS:
            process = machine.cluster.workers[name].process
            process.crash_point = CrashPoint(1, happened, re.compile(at))
        machine.wait(seconds=100.0)

    return story


#: The same of fan-outs.
GUARDS_OF_GRAPHS = {
    "a window is over once the broker has it": Guard(
        forget_what_was_not_confirmed, a_child_s_message_is_lost, "messages are left over"
    ),
    "a child counts once": Guard(
        without(
            "if held ~= verdict and fan.state ~= 'fired' then count(at, place, fan, slot, held, verdict, packed) end",
            "if fan.state ~= 'fired' then count(at, place, fan, slot, nil, verdict, packed) end",
        ),
        a_worker_dies("graph_flaky", at="plain_decision run1.s1", happened=True),
        r"run1 \(graph_flaky\) failed",
    ),
    "who fired a fan publishes its join again": Guard(
        without("or count_decided(run, job, held, ttl)\n    or goes_on", "or goes_on"),
        a_worker_dies("graph", at="publishes run1.s2", happened=False),
        "messages are left over",
    ),
}
_CASES = [
    *((guard, BesideMachine) for guard in GUARDS.values()),
    *((guard, SplitMachine) for guard in GUARDS_OF_A_CLUSTER.values()),
    *((guard, GraphMachine) for guard in GUARDS_OF_GRAPHS.values()),
]
_NAMES = [*GUARDS, *GUARDS_OF_A_CLUSTER, *GUARDS_OF_GRAPHS]


@pytest.mark.parametrize(("guard", "made"), _CASES, ids=_NAMES)
def test_a_guard_that_is_taken_out_is_found(
    guard: Guard, made: type[PromiseMachine], monkeypatch: Patch
) -> None:
    guard.remove(monkeypatch)

    with pytest.raises(FailingRun, match=guard.breach):
        play(guard.story, made)


@pytest.mark.parametrize(("guard", "made"), _CASES, ids=_NAMES)
def test_the_same_story_breaks_nothing_with_the_guard(guard: Guard, made: type[PromiseMachine]) -> None:
    play(guard.story, made)


def play(story: Step, made: type[PromiseMachine]) -> None:
    machine = made()
    try:
        story(machine)
    finally:
        machine.teardown()
