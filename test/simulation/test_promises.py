"""Tests the promises under simulated faults of every kind."""

import faulthandler
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from mousetrap.run_store.packed import sender
from mousetrap.run_store.packed.claims import Claims
from mousetrap.run_store.packed.sender import LIBRARY
from mousetrap.scheduler import Scheduler
from mousetrap.schedules import Owed, Past, Record
from mousetrap.store_client import Library
from mousetrap.testing.simulation.process import Fault
from simulation.graphs import FanOut, Fork, Step
from simulation.shrink import shrunk
from simulation.state_machine import (
    WORKERS,
    BesideMachine,
    FailingRun,
    ForgetfulGraphMachine,
    ForgetfulMachine,
    GraphMachine,
    GraphRuns,
    KeepingMachine,
    PackedGraphMachine,
    PackedMachine,
    PromiseMachine,
    SplitGraphMachine,
    SplitMachine,
)
from simulation.store_cluster import PAIRS
from simulation.timetable import POLICIES

Machine = TypeVar("Machine", bound=PromiseMachine)

#: The number of simulations. If it is set, they are new ones each time; else the choices are always the same, so that CI is
#: stable, and few: what is searched for with more time are new ones.
_ASKED = os.environ.get("MOUSETRAP_SIMULATION_EXAMPLES")
#: Otherwise: a second of processor time for each of a graph, half of one for any other.
_OF_GRAPHS, _OF_OTHERS = 10, 20


@pytest.mark.slow
def test_no_promise_breaks_whatever_goes_wrong() -> None:
    # Thousands of simulations take minutes; one that hangs is ended by its own clock.
    faulthandler.cancel_dump_traceback_later()
    broken = _first_broken(int(_ASKED or _OF_OTHERS))
    if broken is not None:
        pytest.fail(str(shrunk(broken)), pytrace=False)


@pytest.mark.slow
def test_no_promise_of_a_chain_in_place_breaks_whatever_goes_wrong() -> None:
    faulthandler.cancel_dump_traceback_later()
    broken = _first_broken(int(_ASKED or _OF_OTHERS), KeepingMachine)
    if broken is not None:
        pytest.fail(str(broken), pytrace=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "machine",
    [
        PackedMachine,
        BesideMachine,
        SplitMachine,
        ForgetfulMachine,
        GraphMachine,
        PackedGraphMachine,
        SplitGraphMachine,
        ForgetfulGraphMachine,
    ],
)
def test_no_promise_of_wire_format_5_breaks_whatever_goes_wrong(machine: type[PromiseMachine]) -> None:
    faulthandler.cancel_dump_traceback_later()
    broken = _first_broken(
        int(_ASKED or (_OF_GRAPHS if issubclass(machine, GraphRuns) else _OF_OTHERS)), machine
    )
    if broken is not None:
        pytest.fail(str(shrunk(broken, machine)), pytrace=False)


# Simulations in which a promise was broken once, as found by the test above. Each checks the promises at its end.


@pytest.fixture(params=[PromiseMachine, BesideMachine], ids=["format 2", "format 5"])
def made(request: pytest.FixtureRequest) -> type[PromiseMachine]:
    """A simulation of runs that began before wire format 5, and one of new runs."""
    machine: type[PromiseMachine] = request.param
    return machine


def test_a_claim_that_happens_after_its_asker_gave_up_loses_no_job(made: type[PromiseMachine]) -> None:
    with _machine(made) as machine:
        machine.fail_a_store_call(who="ann", fault=Fault.LATE, then=0.0)
        machine.submit_first(kinds=["slow"], then=0.02)


@pytest.mark.parametrize("begun", [0.01, 0.03, 0.06, 0.08, 0.11, 0.13, 0.16, 0.18])
@pytest.mark.parametrize("fault", [Fault.REPLY_LOST, Fault.LATE])
def test_a_yielded_value_is_kept_once_though_its_call_fails(
    made: type[PromiseMachine], begun: float, fault: Fault
) -> None:
    with _machine(made) as machine:
        machine.submit_first(kinds=["yielding"], then=begun)
        machine.fail_a_store_call(who="ann", fault=fault, then=0.0)
        machine.fail_a_store_call(who="bob", fault=fault, then=1.0)


def test_a_cluster_without_work_notes_nothing(made: type[PromiseMachine]) -> None:
    with _machine(made) as machine:
        machine.submit_first(kinds=["plain"], then=70.0)
        before = len(machine.cluster.event_log.lines)
        machine.wait(seconds=200.0)
        assert len(machine.cluster.event_log.lines) == before


@pytest.mark.parametrize("calls", range(1, 8))
@pytest.mark.parametrize("happened", [False, True])
def test_a_submitter_of_delayed_runs_that_dies_at_any_call_loses_and_doubles_none(
    made: type[PromiseMachine], calls: int, happened: bool
) -> None:
    with _machine(made) as machine:
        machine.submit_first(kinds=["plain"], then=1.0)
        machine.crash_at_a_next_call(who="api", calls=calls, happened=happened, then=0.0)
        machine.submit(kinds=["later", "later", "plain"], then=1.0)
        machine.submit_again(run=1, then=100.0)


@pytest.mark.parametrize("calls", range(1, 13))
@pytest.mark.parametrize("happened", [False, True])
@pytest.mark.parametrize("after", [0.0, 5.02])
def test_a_worker_that_dies_at_any_call_while_jobs_go_to_their_line_or_leave_it_loses_none(
    calls: int, happened: bool, after: float
) -> None:
    with _machine(BesideMachine) as machine:
        machine.kill_worker(name="ann", back_after=20.0, then=0.0)
        if not after:
            machine.crash_at_a_next_call(who="bob", calls=calls, happened=happened, then=0.0)
        machine.submit_first(kinds=["limited"] * 4 + ["limited_short"], then=after)
        if after:
            machine.crash_at_a_next_call(who="bob", calls=calls, happened=happened, then=0.0)
        machine.wait(seconds=35.0)


@pytest.mark.parametrize("begun", [0.03, 5.03])
@pytest.mark.parametrize("fault", [Fault.REQUEST_LOST, Fault.REPLY_LOST, Fault.LATE])
def test_a_call_that_fails_while_jobs_go_to_their_line_or_leave_it_loses_none(
    fault: Fault, begun: float
) -> None:
    with _machine(BesideMachine) as machine:
        for name in WORKERS:
            machine.fail_a_store_call(who=name, fault=fault, then=0.0)
        machine.submit_first(kinds=["limited"] * 4 + ["limited_short"], then=begun)
        for name in WORKERS:
            machine.fail_a_store_call(who=name, fault=fault, then=0.0)
            machine.fail_a_publish(who=name, fault=fault, then=0.0)
        machine.wait(seconds=35.0)


@pytest.mark.parametrize("calls", range(1, 9))
@pytest.mark.parametrize("happened", [False, True])
@pytest.mark.parametrize("who", ["api", "ann"])
def test_who_dies_at_any_call_for_a_large_run_loses_no_payload_and_leaves_none(
    made: type[PromiseMachine], who: str, calls: int, happened: bool
) -> None:
    with _machine(made) as machine:
        machine.crash_at_a_next_call(who=who, calls=calls, happened=happened, then=0.0)
        machine.submit_first(kinds=["large_plain", "large_plain", "large_later"], then=100.0)


@pytest.mark.parametrize("who", ["api", "ann"])
@pytest.mark.parametrize("fault", [Fault.REQUEST_LOST, Fault.REPLY_LOST, Fault.LATE])
@pytest.mark.parametrize("calls", range(3))
def test_a_put_and_a_get_may_fail(made: type[PromiseMachine], who: str, fault: Fault, calls: int) -> None:
    with _machine(made) as machine:
        machine.submit_first(kinds=["large_plain"], then=0.0005 * calls)
        for _ in range(3):
            machine.fail_a_store_call(who=who, fault=fault, then=0.0)
        machine.submit(kinds=["large_plain"], then=0.0)
        machine.submit_again(run=1, then=1.0)


@pytest.mark.parametrize("altered", [False, True])
def test_a_broken_payload_reaches_no_handler_and_its_redrive_completes_the_run(
    made: type[PromiseMachine], altered: bool
) -> None:
    with _machine(made) as machine:
        machine.pause_worker(name="ann", seconds=5.0, then=0.0)
        machine.pause_worker(name="bob", seconds=5.0, then=0.0)
        machine.submit_first(kinds=["large_plain", "large_plain"], then=0.5)
        machine.damage_payloads(run=1, altered=altered, then=20.0)
        assert machine.cluster.ledger.states["run1"] == "failed"
        machine.repair_and_redrive(then=20.0)
        assert machine.cluster.ledger.states["run1"] == "completed"


def test_a_stage_after_the_one_that_was_redriven_has_a_letter_of_its_own(made: type[PromiseMachine]) -> None:
    with _machine(made) as machine:
        for name in WORKERS:
            machine.pause_worker(name=name, seconds=5.0, then=0.0)
        machine.submit_first(kinds=["large_slow"], then=0.5)
        machine.damage_payloads(run=1, altered=True, then=20.0)
        machine.repair_and_redrive(repeat=False, then=35.0)
        machine.damage_payloads(run=1, altered=True, then=0.0)
        for name in WORKERS:
            machine.kill_worker(name=name, back_after=0.5, then=0.0)
        machine.wait(seconds=70.0)
        assert machine.cluster.ledger.states == {"run1": "failed"}


def test_a_call_that_is_late_is_over_before_the_last_checks(made: type[PromiseMachine]) -> None:
    with _machine(made) as machine:
        machine.fail_a_store_call(who="api", fault=Fault.LATE, then=0.0)
        machine.submit(kinds=["plain"], then=0.0015)
        machine.cancel(run=1, then=4.0)


@pytest.mark.parametrize("begun", [0.03, 0.08, 0.13])
@pytest.mark.parametrize("lost", [0.0, 0.05, 0.3, 1.0])
def test_a_worker_that_is_late_adds_no_value_to_those_of_its_successor(
    made: type[PromiseMachine], begun: float, lost: float
) -> None:
    with _machine(made) as machine:
        machine.submit_first(kinds=["yielding", "yielding"], then=begun)
        for name in ("ann", "bob"):
            machine.fail_a_store_call(who=name, fault=Fault.LATE, then=0.0)
            machine.pause_worker(name=name, seconds=35.0, then=lost)
            machine.disconnect_worker(name=name, then=0.1)


def test_a_claim_that_happens_after_another_worker_decided_loses_no_job(made: type[PromiseMachine]) -> None:
    with _machine(made) as machine:
        machine.fail_a_store_call(who="ann", fault=Fault.LATE, then=0.0)
        machine.submit(kinds=["locked"], then=0.0)
        machine.disconnect_worker(name="bob", then=0.02)


def test_a_job_sent_round_again_is_not_taken_for_the_attempt_that_still_buries_it(
    made: type[PromiseMachine],
) -> None:
    with _machine(made) as machine:
        machine.fail_a_publish(who="ann", fault=Fault.REPLY_LOST, then=0.0)
        machine.kill_worker(name="bob", back_after=45.0, then=0.02)
        machine.submit_first(kinds=["hopeless"], then=4.0)
        machine.repair_and_redrive(then=4.0)


@pytest.mark.parametrize("calls", [2, 3, 4, 5, 6, 7, 8])
def test_a_redrive_without_a_repeat_leaves_a_run_that_goes_on_or_one_that_failed_with_its_letter(
    made: type[PromiseMachine], calls: int
) -> None:
    with _machine(made) as machine:
        machine.submit_first(kinds=["hopeless"], then=4.0)
        machine.crash_at_a_next_call(who="api", calls=calls, happened=True, then=0.0)
        machine.repair_and_redrive(repeat=False, then=4.0)


def test_a_job_that_kills_workers_kills_no_more_when_one_of_them_stood_still(
    made: type[PromiseMachine],
) -> None:
    with _machine(made) as machine:
        machine.submit_first(kinds=["slow", "plain", "plain"], then=0.0)
        machine.submit(kinds=["deadly"], then=0.0)
        machine.pause_worker(name="bob", seconds=0.0, then=12.0)
        machine.pause_worker(name="bob", seconds=25.0, then=0.0)


def test_two_copies_of_a_message_convict_no_job_that_a_living_worker_has(made: type[PromiseMachine]) -> None:
    with _machine(made) as machine:
        machine.submit_first(kinds=["plain", "slow", "slow"], then=0.0015)
        machine.submit_again(run=3, then=0.02)
        machine.kill_worker(name="bob", back_after=0.5, then=0.6)
        machine.stop_worker(name="ann", hurry=True, then=0.0)
        machine.kill_worker(name="bob", back_after=0.0, then=0.0)


def test_a_suspect_whose_outcome_waits_for_the_store_does_not_die_of_the_next_suspect(
    made: type[PromiseMachine],
) -> None:
    with _machine(made) as machine:
        machine.submit(kinds=["large_locked", "falling_deadly"], then=0.02)
        machine.fail_a_publish(who="api", fault=Fault.REQUEST_LOST, then=4.0)
        machine.disconnect_worker(name="ann", then=0.02)
        machine.stop_store(seconds=25.0, then=0.0)


def test_workers_that_were_cut_off_and_finished_their_job_did_not_die_of_it(
    made: type[PromiseMachine],
) -> None:
    with _machine(made) as machine:
        machine.submit(kinds=["slow"], then=0.0)
        machine.submit(kinds=["chained_slow"], then=12.0)
        machine.disconnect_worker(name="ann", then=0.004)
        machine.stop_store(seconds=0.02, then=0.0)
        machine.stop_broker(seconds=5.0, then=0.0)
        machine.stop_worker(name="bob", hurry=True, then=0.02)
        machine.disconnect_worker(name="ann", then=35.0)
        machine.disconnect_worker(name="bob", then=0.0)
        machine.submit_again(run=1, then=0.02)
        machine.kill_worker(name="ann", back_after=0.0, then=0.0)


def test_a_run_whose_message_was_published_twice_may_have_two_letters(made: type[PromiseMachine]) -> None:
    with _machine(made) as machine:
        machine.submit_first(kinds=["odd"], then=0.0)
        machine.submit_again(run=1, then=0.0)


def test_a_submission_that_fails_late_does_not_reject_what_its_repeat_was_accepted_for(
    made: type[PromiseMachine],
) -> None:
    with _machine(made) as machine:
        machine.fail_a_publish(who="api", fault=Fault.REPLY_LOST, then=0.0)
        machine.pause_worker(name="ann", seconds=25.0, then=0.0)
        machine.submit(kinds=["plain"], then=0.02)
        machine.submit_again(run=1, then=0.0)


@pytest.mark.parametrize("calls", range(1, 8))
@pytest.mark.parametrize("happened", [False, True])
def test_a_submitter_of_new_runs_that_dies_at_any_call_loses_and_doubles_none(
    calls: int, happened: bool
) -> None:
    with _machine(PackedMachine) as machine:
        machine.submit_first(kinds=["plain"], then=1.0)
        machine.crash_at_a_next_call(who="api", calls=calls, happened=happened, then=0.0)
        machine.submit(kinds=["plain", "later", "plain"], then=1.0)
        machine.submit_again(run=1, then=100.0)


@pytest.mark.parametrize("fault", [Fault.REQUEST_LOST, Fault.REPLY_LOST, Fault.LATE])
@pytest.mark.parametrize("repeated", [False, True])
def test_a_new_run_whose_record_got_no_reply_runs_only_if_its_repeat_was_accepted(
    fault: Fault, repeated: bool
) -> None:
    with _machine(PackedMachine) as machine:
        machine.submit_first(kinds=["plain"], then=5.0)
        machine.pause_worker(name="ann", seconds=45.0, then=0.0)
        machine.pause_worker(name="bob", seconds=45.0, then=0.0)
        machine.fail_a_store_call(who="api", fault=fault, then=0.0)
        machine.submit(
            kinds=["plain"], then=2.005
        )  # the caller has the error, and the tombstone is under way
        if repeated:
            machine.submit_again(run=2, then=0.0)
        machine.wait(seconds=100.0)
        facts, ledger = machine.cluster.ledger.facts["run2"], machine.cluster.ledger
        assert facts.accepted == repeated
        assert ledger.states["run2"] == ("completed" if repeated else "rejected")


@pytest.mark.parametrize("seconds", [0.5, 5.0, 25.0])
def test_of_runs_that_a_store_that_was_away_refused_none_is_done(seconds: float) -> None:
    with _machine(PackedMachine) as machine:
        machine.submit_first(kinds=["plain"], then=5.0)
        machine.pause_worker(name="ann", seconds=45.0, then=0.0)
        machine.pause_worker(name="bob", seconds=45.0, then=0.0)
        machine.stop_store(seconds=seconds, then=0.0)
        machine.submit(kinds=["plain", "plain"], then=0.02)
        machine.submit(kinds=["plain"], then=100.0)
        ledger = machine.cluster.ledger
        assert not any(ledger.facts[run].accepted for run in ("run2", "run3", "run4"))
        assert {ledger.states.get(run) for run in ("run2", "run3")} == {"rejected"}
        assert {call.run for call in ledger.calls} == {"run1"}


def test_a_suspect_whose_claim_got_no_answer_is_one_still(made: type[PromiseMachine]) -> None:
    with _machine(made) as machine:
        machine.submit_first(kinds=["plain"], then=0.0)
        machine.pause_worker(name="bob", seconds=45.0, then=4.0)
        machine.pause_worker(name="ann", seconds=0.0, then=35.0)
        machine.kill_worker(name="ann", back_after=5.0, then=0.0)
        machine.fail_a_store_call(who="bob", fault=Fault.REPLY_LOST, then=0.0)
        machine.submit(kinds=["deadly"], then=70.0)


@pytest.mark.parametrize("calls", range(1, 14))
@pytest.mark.parametrize("happened", [False, True])
def test_a_worker_that_dies_at_any_call_of_a_chain_in_place_costs_no_run(calls: int, happened: bool) -> None:
    with _machine(KeepingMachine) as machine:
        machine.crash_at_a_next_call(who="ann", calls=calls, happened=happened, then=0.0)
        machine.submit_first(kinds=["chained", "chained_flaky"], then=100.0)
        assert set(machine.cluster.ledger.states.values()) == {"completed"}


@pytest.mark.parametrize("after", [0.0, 0.02, 0.06, 0.09, 0.12, 0.16])
def test_a_chain_in_place_whose_run_is_cancelled_or_whose_worker_is_cut_off_keeps_every_promise(
    after: float,
) -> None:
    with _machine(KeepingMachine) as machine:
        machine.submit_first(kinds=["chained", "chained"], then=after)
        machine.cancel(run=1, then=0.0)
        machine.disconnect_worker(name="ann", then=0.0)
        machine.disconnect_worker(name="bob", then=0.3)
        machine.stop_worker(name="ann", hurry=True, then=1.0)


@pytest.mark.parametrize("calls", range(1, 14))
@pytest.mark.parametrize("happened", [False, True])
def test_a_worker_that_dies_at_any_call_of_what_is_recorded_beside_its_publish_costs_no_run(
    calls: int, happened: bool
) -> None:
    with _machine(BesideMachine) as machine:
        machine.crash_at_a_next_call(who="ann", calls=calls, happened=happened, then=0.0)
        machine.submit_first(kinds=["plain", "plain", "flaky"], then=100.0)
        assert set(machine.cluster.ledger.states.values()) == {"completed"}


@pytest.mark.parametrize("record", [None, Fault.REQUEST_LOST, Fault.REPLY_LOST, Fault.LATE])
@pytest.mark.parametrize("publish", [None, *Fault])
def test_a_record_and_the_publish_beside_it_may_fail_in_any_pair(
    record: Fault | None, publish: Fault | None
) -> None:
    with _machine(BesideMachine) as machine:
        machine.submit_first(kinds=["plain"], then=0.04)  # its first handler is at work
        for name in ("ann", "bob"):
            if record:
                machine.fail_a_store_call(who=name, fault=record, then=0.0)
            if publish:
                machine.fail_a_publish(who=name, fault=publish, then=0.0)
        machine.wait(seconds=100.0)
        assert set(machine.cluster.ledger.states.values()) == {"completed"}


def test_a_run_goes_on_from_an_outcome_whose_claim_the_store_has_forgotten() -> None:
    """Its first worker died, the second one's claim was not with the replica, and its message is acknowledged."""
    with _machine(ForgetfulMachine) as machine:
        machine.submit_first(kinds=["slow"], then=0.05)
        machine.forget(pair=0, lag=25.0, seconds=5.0, then=0.5)
        machine.kill_worker(name="ann", back_after=5.0, then=100.0)
        assert machine.cluster.ledger.facts["run1"].forgotten
        assert machine.cluster.ledger.states == {"run1": "completed"}


@pytest.mark.parametrize("fault", [Fault.REQUEST_LOST, Fault.REPLY_LOST])
def test_a_run_that_was_accepted_after_its_rejection_is_done_though_no_replica_had_that(fault: Fault) -> None:
    with _machine(ForgetfulMachine) as machine:
        machine.submit_first(kinds=["plain"], then=5.0)
        for name in WORKERS:
            machine.kill_worker(name=name, back_after=70.0, then=0.0)
        machine.fail_a_publish(who="api", fault=fault, then=0.0)
        machine.submit(kinds=["plain"], then=35.0)
        ledger = machine.cluster.ledger
        assert ledger.states["run2"] == "rejected"
        machine.forget_run(run=2, lag=5.0, seconds=0.5, then=0.0)
        machine.submit_again(run=2, then=4.0)
        assert ledger.facts["run2"].accepted
        machine.wait(seconds=100.0)
        assert ledger.facts["run2"].forgotten
        assert ledger.states["run2"] == "completed"


def test_a_story_may_end_while_all_first_primaries_are_away() -> None:
    with _machine(SplitMachine) as machine:
        machine.submit_first(kinds=["plain"], then=1.0)
        for pair in range(PAIRS):
            machine.replace_store_server(pair=pair, seconds=25.0, then=0.0)
        machine.wait(seconds=25.5)


def test_a_story_may_end_before_a_primary_that_is_ahead_of_its_replica_dies() -> None:
    with _machine(ForgetfulMachine) as machine:
        machine.submit_first(kinds=["large_plain"], then=1.0)
        machine.forget(pair=0, lag=15.0, seconds=45.0, then=0.0)


@pytest.mark.parametrize("begun", [0.0, 0.03])
def test_a_dead_letter_is_redriven_of_a_run_whose_end_the_store_has_forgotten(begun: float) -> None:
    with _machine(ForgetfulMachine) as machine:
        machine.submit_first(kinds=["hopeless"], then=begun)
        machine.forget(pair=0, lag=1.0, seconds=0.5, then=100.0)
        assert machine.cluster.ledger.facts["run1"].end_forgotten
        machine.repair_and_redrive(then=60.0)
        assert machine.cluster.ledger.states == {"run1": "completed"}


def test_what_follows_from_the_outcome_of_a_worker_that_lost_its_claim_is_refused() -> None:
    with _machine(BesideMachine) as machine:
        _publish_what_another_worker_does_again(machine)
        assert machine.cluster.ledger.states == {"run1": "completed"}


def test_a_claim_that_does_not_look_at_its_parent_breaks_a_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The story before this one depends on that look, and so does each job that left before its parent's record."""
    look = "local held = load_job(run, parent)"
    assert LIBRARY.source.count(look) == 1
    blind = Library(LIBRARY.name, LIBRARY.source.replace(look, "local held = nil"))
    monkeypatch.setattr(sender, "LIBRARY", blind)
    monkeypatch.setattr(Claims, "_follows", lambda *_: True)

    breach = "began on an outcome under fence 1, and no outcome is recorded"
    with pytest.raises(FailingRun, match=breach), _machine(BesideMachine) as machine:
        _publish_what_another_worker_does_again(machine)


def _publish_what_another_worker_does_again(machine: PromiseMachine) -> None:
    """A paused worker wakes, publishes what follows from its outcome, and learns that it has lost the job."""
    machine.submit_first(kinds=["slow"], then=0.05)
    machine.pause_worker(name="ann", seconds=25.0, then=26.0)
    lines = [line.split(maxsplit=1)[1] for line in machine.cluster.event_log.lines]
    done, published = "ann1    asks the store to done run1.add run1: stale", "ann1    publishes run1.double#1"
    assert any(line.startswith(done) for line in lines)
    assert any(line.startswith(published) for line in lines)
    machine.wait(seconds=100.0)


def test_a_pause_holds_the_jobs_of_a_queue_and_its_end_lets_them_go_on(made: type[PromiseMachine]) -> None:
    with _machine(made) as machine:
        for number in range(len(machine.cluster.queues)):
            machine.pause_queue(number=number, seconds=45.0, then=0.0)
        machine.wait(seconds=4.0)
        machine.submit_first(kinds=["plain"], then=35.0)
        assert machine.cluster.ledger.states == {"run1": "queued"}
        machine.wait(seconds=35.0)
        assert machine.cluster.ledger.states == {"run1": "completed"}


def test_a_worker_that_is_deaf_to_pauses_breaks_a_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    async def deaf(*_: object) -> None:
        pass

    monkeypatch.setattr("mousetrap.worker.subscriptions.Subscriptions._pause", deaf)
    with pytest.raises(FailingRun, match="which is paused"), _machine(BesideMachine) as machine:
        machine.submit_first(kinds=["plain"], then=0.02)
        machine.pause_queue(number=0, seconds=45.0, then=35.0)


@pytest.mark.parametrize("calls", range(1, 16))
@pytest.mark.parametrize("happened", [False, True])
@pytest.mark.parametrize("policy", POLICIES)
def test_where_an_api_dies_another_one_fires_each_tick_once(
    made: type[PromiseMachine], calls: int, happened: bool, policy: str
) -> None:
    with _machine(made) as machine:
        machine.schedule(every_s=15, policy=policy, then=12.0)
        machine.crash_at_a_next_call(who="api", calls=calls, happened=happened, then=35.0)
        assert machine.cluster.schedule_runs()


def test_ticks_of_a_paused_queue_wait_and_complete(made: type[PromiseMachine]) -> None:
    with _machine(made) as machine:
        machine.schedule(every_s=15, policy="all", then=4.0)
        for number in range(len(machine.cluster.queues)):
            machine.pause_queue(number=number, seconds=45.0, then=0.0)
        machine.wait(seconds=35.0)
        ledger = machine.cluster.ledger
        assert {ledger.states[run] for run in machine.cluster.schedule_runs()} == {"queued"}


@pytest.mark.parametrize("lag", [0.003, 5.0, 45.0])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_replica_that_lacks_what_was_last_decided_starts_no_run_twice_and_loses_no_tick(
    lag: float, policy: str
) -> None:
    with _machine(ForgetfulMachine) as machine:
        machine.schedule(every_s=15, policy=policy, then=35.0)
        split = machine.cluster.split
        assert split is not None
        machine.forget(pair=split.pair_with("mousetrap:{schedules}"), lag=lag, seconds=0.5, then=70.0)
        assert machine.cluster.ledger.schedules_forgotten or lag < 15
        assert len(machine.cluster.schedule_runs()) >= 4


def test_a_scheduler_that_settles_what_it_did_not_submit_breaks_a_promise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def lost(_: Scheduler, record: Record, owed: Owed, now_ms: int) -> Past:
        return Past(tick_ms=owed.tick_ms, became="fired", at_ms=now_ms, run_id=owed.run_id)

    monkeypatch.setattr(Scheduler, "_fire", lost)
    with pytest.raises(FailingRun, match="did not run"), _machine(BesideMachine) as machine:
        machine.schedule(every_s=15, policy="all", then=35.0)


@contextmanager
def _machine(made: type[Machine]) -> Iterator[Machine]:
    machine = made()
    try:
        yield machine
    finally:
        machine.teardown()


def _first_broken(simulations: int, machine: type[PromiseMachine] = PromiseMachine) -> FailingRun | None:
    try:
        run_state_machine_as_test(machine, settings=_settings(simulations))
    except FailingRun as broken:
        return broken
    return None


def _settings(simulations: int) -> settings:
    return settings(
        max_examples=simulations,
        stateful_step_count=30,
        derandomize=_ASKED is None,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),  # we shrink in seconds, Hypothesis in minutes
    )


def test_a_job_that_its_worker_claims_again_keeps_its_lock_for_as_long(made: type[PromiseMachine]) -> None:
    """Its lock's time was over 30 s after the claim that came late, while the job ran on under the one after that."""
    with _machine(made) as machine:
        machine.submit_first(kinds=["locked", "large_locked"], priority=4, then=0.02)
        machine.fail_a_store_call(fault=Fault.LATE, who="bob", then=0.0)
        machine.disconnect_worker(name="ann", then=0.02)


def test_a_claim_asked_again_after_the_expiry_begins_nothing(made: type[PromiseMachine]) -> None:
    with _machine(made) as machine:
        machine.submit_first(kinds=["plain"], then=0.0)
        machine.fail_a_store_call(who="bob", fault=Fault.REPLY_LOST, then=0.0)
        machine.submit(kinds=["expiring"], then=0.0015)
        machine.pause_worker(name="ann", seconds=0.0, then=0.02)
        machine.stop_store(seconds=25.0, then=0.0)


def test_an_inner_join_leaves_a_run_failed_that_has_lost_what_its_outer_join_needs() -> None:
    graph = (FanOut(3, 1.0, (FanOut(0, 0.5, (Step(),)),)),)
    with _machine(PackedGraphMachine) as machine:
        machine.submit_first(graph=graph, kinds=["graph_lossy"], then=100.0)
        assert machine.cluster.ledger.states["run1"] == "failed"


def test_a_child_that_a_fallback_took_over_goes_on_through_a_join_of_its_own() -> None:
    graph = (FanOut(2, 2, (Step("fallback"), FanOut(3, 2, (Step(), Step("skip", locked=True))))),)
    with _machine(GraphMachine) as machine:
        machine.submit_first(graph=graph, kinds=["graph_lossy"], then=100.0)
        assert machine.cluster.ledger.states["run1"] == "completed"


@pytest.mark.parametrize(("need", "state"), [(0.0, "completed"), (1.0, "failed")])
def test_a_run_whose_jobs_are_late_goes_on_without_them_or_has_failed(need: float, state: str) -> None:
    """Each works for ten seconds, and has three."""
    graph = (FanOut(3, need, (Step(),), within=3.0),)
    with _machine(PackedGraphMachine) as machine:
        machine.submit_first(graph=graph, kinds=["graph_slow"], then=100.0)
        lines = machine.cluster.event_log.lines
        assert any("'late'" in line for line in lines) == (state == "failed")
        assert machine.cluster.ledger.states["run1"] == state


_LONG_WAY = (Step(),) * 8


@pytest.mark.parametrize(
    ("inner", "kind"),
    [
        (FanOut(1, 2, (Step(),), within=3.0), "graph_flaky"),
        (FanOut(3, 1.0, _LONG_WAY), "graph_lossy"),
        (FanOut(2, 0.0, (FanOut(3, 1.0, _LONG_WAY[2:]),)), "graph_lossy"),
        (FanOut(2, 1.0, (Fork((Step(),), _LONG_WAY[2:]),)), "graph_lossy"),
    ],
    ids=["late", "lost", "deeper", "fork"],
)
def test_nothing_of_what_a_join_goes_on_without_begins_when_its_run_has_completed(
    inner: FanOut | Fork, kind: str
) -> None:
    with _machine(PackedGraphMachine) as machine:
        machine.submit_first(graph=(FanOut(2, 0.0, (inner,)),), kinds=[kind], then=100.0)
        assert machine.cluster.ledger.states["run1"] == "completed"


def test_a_run_that_has_failed_for_its_time_is_cancelled_while_its_late_jobs_go_on() -> None:
    graph = (Step("skip"), FanOut(7, 2, (Step(locked=True),), within=3.0, keep=False))
    with _machine(GraphMachine) as machine:
        machine.submit_first(graph=graph, kinds=["graph_expiring"], then=12.0)
        assert machine.cluster.ledger.states["run1"] == "failed"
        machine.cancel(run=1, then=100.0)
        assert machine.cluster.ledger.states["run1"] == "cancelled"


@pytest.mark.parametrize("happened", [False, True])
def test_a_worker_that_dies_as_it_leaves_the_broker_keeps_no_message(
    made: type[PromiseMachine], happened: bool
) -> None:
    """Its second call is to leave, for the first one to the store is lost."""
    with _machine(made) as machine:
        machine.crash_at_a_next_call(who="ann", calls=2, happened=happened, then=0.0)
        machine.fail_a_store_call(who="ann", fault=Fault.REQUEST_LOST, then=0.0)
        machine.submit_first(kinds=["plain"], then=0.02)
        machine.pause_worker(name="ann", seconds=5.0, then=0.0)
        machine.stop_worker(name="ann", hurry=True, then=0.0)
        machine.submit_again(run=1, then=35.0)


@pytest.mark.parametrize("calls", range(1, 16))
@pytest.mark.parametrize("happened", [False, True])
def test_a_worker_that_dies_at_any_call_of_stages_in_place_that_lead_to_a_fork_costs_no_branch(
    calls: int, happened: bool
) -> None:
    """The other one cannot go on in place, as its first call fails: the message of who forks is a new one."""
    graph = (Step(), Fork((Step(),), (Step(),)))
    with _machine(GraphMachine) as machine:
        machine.submit_first(graph=graph, kinds=["graph"], then=0.0055, in_place=True)
        machine.crash_at_a_next_call(who="ann", calls=calls, happened=happened, then=0.0)
        machine.fail_a_store_call(who="bob", fault=Fault.REQUEST_LOST, then=100.0)
        assert machine.cluster.ledger.states == {"run1": "completed"}


@pytest.mark.slow
def test_a_branch_whose_decision_is_forgotten_with_its_message_fails_within_days_and_is_redriven() -> None:
    """Between two failovers a branch was decided, and another copy of what followed from its sibling lived on."""
    graph = (Fork((Step(),), (Step("fallback"),)),)
    with _machine(ForgetfulGraphMachine) as machine:
        machine.submit_first(graph=graph, kinds=["graph", "graph_slow"], then=0.0)
        machine.forget(pair=1, lag=25.0, seconds=0.0, then=0.0)
        machine.forget(pair=0, lag=5.0, seconds=0.0, then=12.0)
        machine.forget(pair=1, lag=45.0, seconds=0.0, then=35.0)
        machine.forget(pair=1, lag=5.0, seconds=0.0, then=0.0)
        machine.forget(pair=0, lag=0.5, seconds=0.0, then=8 * 86_400.0)
        assert machine.cluster.ledger.states["run2"] == "failed"
        machine.repair_and_redrive(then=100.0)
        assert machine.cluster.ledger.states["run2"] == "completed"


@pytest.mark.slow
def test_a_copy_of_a_join_whose_completed_run_is_forgotten_ends_within_days() -> None:
    graph = (Step("skip"), Fork((Step(locked=True), Step(locked=True)), (Step(locked=True),)))
    with _machine(ForgetfulGraphMachine) as machine:
        machine.submit_first(graph=graph, kinds=["graph", "graph"], then=0.02)
        machine.submit(kinds=["graph"], then=0.06)
        machine.stop_broker(seconds=0.0, then=0.6)
        machine.stop_store_server(pair=0, seconds=5.0, then=0.0)
        machine.forget(pair=1, lag=25.0, seconds=0.0, then=0.0)
        machine.stop_worker(hurry=False, name="bob", then=0.6)
        machine.fail_a_publish(fault=Fault.REQUEST_LOST, who="ann", then=35.0)
