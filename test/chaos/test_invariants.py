"""Tests that every invariant finds its breach."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from chaos.calls import Entry
from chaos.claims import Asked
from chaos.effects import Effect
from chaos.history import DeadLetter, History, StoredRun
from chaos.invariants import INVARIANTS, assert_all_hold, breaches
from chaos.ledger import Line
from chaos.workload import KINDS, PAYLOAD_CANARY, SIGNING_CANARY
from mousetrap.schedules import Change, Schedule, created, run_id_of_tick, run_now

Spoil = Callable[[History], History]


def line(what: str, run: str, kind: str, at: float, **more: object) -> Line:
    return msgspec.convert({"what": what, "run": run, "kind": kind, "at": at, **more}, Line)


def attempt(run: str, kind: str, number: int, asked: float, end: str, **more: object) -> list[Line]:
    about = {
        "stage": "step1",
        "job": f"job of {run}",
        "attempt": number,
        "fence": number,
        "worker": "w",
        "asked": asked,
        **more,
    }
    about.pop("after", None)
    ended = line(end, run, kind, asked + 0.2, **about)
    return [
        line("begun", run, kind, asked + 0.1, **about),
        msgspec.structs.replace(ended, after=more.get("after")),
    ]


def taken(run: str, kind: str, at: float) -> list[Line]:
    return [line("attempted", run, kind, at), line("accepted", run, kind, at + 0.1)]


def under_lock(run: str, asked: float, **more: object) -> list[Line]:
    """An attempt that held a lock, and whose outcome counted."""
    about = {"key": "a", "job": f"locked job of {run}", "lock_fence": int(asked * 100), **more}
    lines = attempt(run, "locked", 1, asked, "done", **about)
    return [*lines, msgspec.structs.replace(lines[-1], what="recorded")]


def called(number: int, at: float, asked: Asked, answered: Asked) -> list[Entry]:
    """A call of half a second about the job of run p."""
    about = {"worker": asked.worker, "number": number, "job": "job of p", "run": "p"}
    return [Entry(at=at, asked=asked, **about), Entry(at=at + 0.5, asked=answered, **about)]  # type: ignore[arg-type]


def granted(worker: str, number: int, fence: int, at: float) -> list[Entry]:
    asked = Asked("claim", worker, 1, lease=3.0)
    return called(number, at, asked, asked._replace(answer="Granted", granted=fence))


def limited(*runs: str, at: float, until: float, lease: float = 3.0) -> Spoil:
    """Attempts of runs with a limit that all ran for that time, each with its claim."""
    lines: list[Line] = []
    calls: list[Entry] = []
    for number, run in enumerate(runs):
        about = {"stage": "step1", "job": f"limited job of {run}", "attempt": 1, "fence": 1, "worker": "w"}
        lines += [
            line("begun", run, "limited", at, asked=at - 0.1, **about),
            line("done", run, "limited", until, asked=at - 0.1, **about),
        ]
        asked = Asked("claim", "w", 1, lease=lease)
        entry = Entry(
            worker="w",
            number=int(at * 100) + number,
            at=at - 0.1,
            job=f"limited job of {run}",
            run=run,
            asked=asked,
        )
        answered = msgspec.structs.replace(entry, at=at, asked=asked._replace(answer="Granted", granted=1))
        calls += [entry, answered]
    return lambda history: replace(history, ledger=(*history.ledger, *lines), calls=(*history.calls, *calls))


def decision(worker: str, number: int, fence: int, at: float) -> list[Entry]:
    asked = Asked("decide", worker, 1, fence=fence, outcome="GiveUp" if number else "Done")
    return called(number, at, asked, asked._replace(answer="recorded"))


#: A run that fans out: what its join was given, and its effects and letters.
FAN = KINDS["fan"]
READ = FAN.children - FAN.lost
COUNTS = (FAN.children, READ, FAN.lost, READ)
CHILDREN = [Effect(f"child {index}", "f", f"read {index}", 1) for index in range(FAN.children)]
LOST = [DeadLetter(f"child {33 * number}", "f", "fan_2.dead", "max-retries") for number in range(FAN.lost)]


SCHEDULE = Schedule("all", pipeline="ticked", every=timedelta(seconds=1), missed="all")
NEVER_TICKED = created(SCHEDULE, "api", Change("chaos", 0))
TICKED_ONCE = msgspec.structs.replace(NEVER_TICKED, decided_ms=1_000)

GOOD = History(
    ledger=(
        *taken("p", "plain", 1.0),
        *attempt("p", "plain", 1, 2.0, "done"),
        *taken("d", "delayed", 1.0),
        *attempt("d", "delayed", 1, 2.0, "failed", after=3.0),
        *attempt("d", "delayed", 2, 6.0, "done"),
        *taken("x", "poison", 1.0),
        *attempt("x", "poison", 1, 2.0, "failed"),
        *attempt("x", "poison", 2, 3.0, "failed"),
        *attempt("x", "poison", 3, 4.0, "failed"),
        *taken("k", "killer", 1.0),
        *attempt("k", "killer", 1, 2.0, "stopped"),
        *under_lock("p", 30.0),
        *under_lock("d", 31.0),
        *taken("f", "fan", 1.0),
        line("attempted", "r", "plain", 1.0),
        line("refused", "r", "plain", 1.0),
    ),
    runs={
        "p": StoredRun("completed", 1, ("accepted", "started", "finished", "completed")),
        "d": StoredRun(
            "completed", 1, ("accepted", "started", "retrying", "started", "finished", "completed")
        ),
        "x": StoredRun("failed", None, ("accepted", "started", "gave_up", "failed")),
        "k": StoredRun("failed", None, ("accepted", "started", "gave_up", "failed")),
        "f": StoredRun("completed", 3, ("accepted", "started", "completed"), counts=COUNTS),
        "r": StoredRun("rejected", None, ("accepted", "rejected")),
    },
    effects=(
        *(Effect(f"job of {run}", run, "step1", 1) for run in "pdxk"),
        *(Effect(f"{stage} of f", "f", stage, 1) for stage in ("find", "sum")),
        *CHILDREN,
    ),
    dead=(
        DeadLetter("job of x", "x", "poison_1.dead", "max-retries"),
        DeadLetter("job of x", "x", "poison_1.dead", "max-retries"),
        DeadLetter("job of k", "k", "killer_1.dead", "crash-loop"),
        *LOST,
    ),
    depths={"plain_1": 0},
    calls=(*granted("w", 0, 1, 2.0), *decision("x", 0, 1, 3.0)),
    logs={"worker": ("all is well",)},
    exits=(0, 0),
)


def with_lines(*lines: Line) -> Spoil:
    return lambda history: replace(history, ledger=(*history.ledger, *lines))


def with_run(run: str, stored: StoredRun) -> Spoil:
    return lambda history: replace(history, runs={**history.runs, run: stored})


def without_run(run: str) -> Spoil:
    return lambda history: replace(history, runs={k: v for k, v in history.runs.items() if k != run})


def with_effect(key: str, run: str) -> Spoil:
    return lambda history: replace(history, effects=(*history.effects, Effect(key, run, "step1", 1)))


def with_letters(*letters: DeadLetter) -> Spoil:
    return lambda history: replace(history, dead=(*history.dead, *letters))


def with_log(text: str) -> Spoil:
    return lambda history: replace(history, logs={"worker": (text,)})


LETTER = DeadLetter("job of p", "p", "plain_1.dead", "crash-loop")

BAD: list[tuple[str, str, Spoil]] = [
    ("every_accepted_run_ended", "unknown to the store", without_run("p")),
    (
        "every_accepted_run_ended",
        "queued without end",
        with_run("p", StoredRun("queued", None, ("accepted",))),
    ),
    (
        "every_recorded_run_ended",
        "queued without end",
        with_run("r", StoredRun("queued", None, ("accepted",))),
    ),
    ("what_was_cancelled_stays_so", "it completed", with_lines(line("cancelled", "p", "plain", 9.0))),
    (
        "nothing_unexpected_happened",
        "a run without a caller",
        with_run("?", StoredRun("completed", 1, ("completed",))),
    ),
    ("nothing_unexpected_happened", "a letter without a caller", with_letters(DeadLetter("i", "", "q", "r"))),
    (
        "nothing_unexpected_happened",
        "work without a caller",
        with_lines(*attempt("?", "plain", 1, 1.0, "done")),
    ),
    ("nothing_unexpected_happened", "an effect without a caller", with_effect("another", "?")),
    ("no_effect_happened_twice", "under two keys", with_effect("another job", "p")),
    ("completed_runs_did_all_their_work", "no effect", lambda history: replace(history, effects=())),
    (
        "completed_runs_did_all_their_work",
        "half a result",
        with_run("p", StoredRun("completed", 0, ("completed",))),
    ),
    (
        "no_effect_happened_twice",
        "a child's under two keys",
        lambda history: replace(history, effects=(*history.effects, Effect("again", "f", "read 7", 1))),
    ),
    (
        "completed_runs_did_all_their_work",
        "a child without an effect",
        lambda history: replace(history, effects=tuple(set(history.effects) - {CHILDREN[7]})),
    ),
    (
        "joins_were_given_all_that_was_done",
        "one child too few",
        with_run("f", StoredRun("completed", 3, ("completed",), counts=(299, 289, 10, 289))),
    ),
    (
        "joins_were_given_all_that_was_done",
        "one output too few",
        with_run("f", StoredRun("completed", 3, ("completed",), counts=(*COUNTS[:3], READ - 1))),
    ),
    (
        "dead_letters_are_those_of_failed_runs",
        "of too many children",
        with_letters(DeadLetter("child 7", "f", "fan_2.dead", "max-retries")),
    ),
    (
        "dead_letters_are_those_of_failed_runs",
        "of too few children",
        lambda history: replace(history, dead=tuple(set(history.dead) - {LOST[7]})),
    ),
    (
        "dead_letters_are_those_of_failed_runs",
        "of a child that killed its workers",
        with_letters(DeadLetter("child 0", "f", "fan_2.dead", "crash-loop")),
    ),
    ("runs_end_as_their_kind_must", "an innocent", with_run("p", StoredRun("failed", None, ("failed",)))),
    ("runs_end_as_their_kind_must", "a guilty", with_run("x", StoredRun("completed", 1, ("completed",)))),
    ("dead_letters_are_those_of_failed_runs", "one too many", with_letters(LETTER)),
    ("dead_letters_are_those_of_failed_runs", "none", lambda history: replace(history, dead=())),
    (
        "dead_letters_are_those_of_failed_runs",
        "the wrong reason",
        with_letters(DeadLetter("job of x", "x", "poison_1.dead", "crash-loop")),
    ),
    (
        "dead_letters_are_those_of_failed_runs",
        "two under different ids",
        with_letters(DeadLetter("another", "x", "poison_1.dead", "max-retries")),
    ),
    (
        "every_payload_is_there",
        "a letter",
        with_letters(DeadLetter("i", "x", "poison_1.dead", "payload-missing")),
    ),
    (
        "every_payload_is_there",
        "a result",
        with_run("p", StoredRun("completed", 1, ("completed",), unreadable=("result: altered",))),
    ),
    (
        "payloads_are_those_of_known_runs",
        "an orphan",
        lambda history: replace(history, payloads=frozenset({"p", "?"})),
    ),
    ("nothing_was_begun_too_often", "an attempt", with_lines(*attempt("x", "poison", 4, 9.0, "failed"))),
    (
        "nothing_was_begun_too_often",
        "a killer",
        with_lines(*(l for n in range(2, 7) for l in attempt("k", "killer", 1, n * 9.0, "stopped", fence=n))),
    ),
    (
        "nothing_is_left_in_the_queues",
        "one message",
        lambda history: replace(history, depths={"mousetrap.delay.3": 1}),
    ),
    ("fences_only_grow", "used twice", with_lines(*attempt("p", "plain", 1, 9.0, "done"))),
    ("fences_only_grow", "a lower one later", with_lines(*attempt("p", "plain", 2, 9.0, "done", fence=0))),
    (
        "nothing_began_after_its_run_was_over",
        "a cancelled one",
        with_lines(line("cancelled", "p", "plain", 1.5)),
    ),
    (
        "nothing_began_after_its_run_was_over",
        "an expired one",
        with_run("p", StoredRun("completed", 1, ("completed",), 1900)),
    ),
    ("rejected_runs_did_nothing", "but it did", with_lines(*attempt("r", "plain", 1, 2.0, "done"))),
    (
        "nothing_began_too_early",
        "a second",
        with_lines(*attempt("d", "delayed", 2, 4.2, "done", fence=1)),
    ),
    (
        "no_two_held_a_lock_at_once",
        "two",
        with_lines(*under_lock("p", 20.0, job="one"), *under_lock("d", 20.05, job="two")),
    ),
    ("no_more_than_a_limit_ran_at_once", "three of two", limited("p", "d", "x", at=40.0, until=41.0)),
    (
        "limits_have_all_their_room_at_the_end",
        "a place of a dead worker",
        lambda history: replace(history, limits={"limited.step1": (1, 0)}),
    ),
    (
        "limits_have_all_their_room_at_the_end",
        "one in a line",
        lambda history: replace(history, limits={"limited.step1": (0, 1)}),
    ),
    (
        "fences_only_grow",
        "of a lock",
        with_lines(*under_lock("p", 20.0, job="one"), *under_lock("d", 22.0, job="two", lock_fence=7)),
    ),
    (
        "timelines_end_once",
        "twice",
        with_run("p", StoredRun("completed", 1, ("accepted", "completed", "completed"))),
    ),
    ("timelines_end_once", "and goes on", with_run("p", StoredRun("completed", 1, ("completed", "started")))),
    ("every_key_has_a_time_to_live", "one", lambda history: replace(history, eternal=("mousetrap:run:p",))),
    ("no_secret_is_in_a_log", "a payload", with_log(f"refused {PAYLOAD_CANARY}")),
    ("no_secret_is_in_a_log", "a key", with_log(f"keys: {SIGNING_CANARY}")),
    ("no_defect_is_in_a_log", "a traceback", with_log("Traceback (most recent call last):")),
    (
        "claims_and_decisions_are_linearizable",
        "two decisions of one job",
        lambda history: replace(history, calls=(*history.calls, *decision("w", 2, 1, 9.0))),
    ),
    (
        "claims_and_decisions_are_linearizable",
        "a claim under a fence that was granted before",
        lambda history: replace(history, calls=(*history.calls, *granted("v", 1, 1, 9.0))),
    ),
    (
        "what_was_forgotten_goes_on",
        "a run that was at work",
        lambda history: replace(
            history,
            forgotten=frozenset("p"),
            ledger=tuple(each for each in history.ledger if (each.run, each.what) != ("p", "done")),
            runs={**history.runs, "p": StoredRun("queued", None, ("accepted", "started"))},
        ),
    ),
    ("each_tick_started_one_run", "without one", lambda history: replace(history, schedules=(TICKED_ONCE,))),
    ("each_tick_started_one_run", "of no tick", with_lines(*taken("t", "ticked", 1.0))),
    (
        "each_tick_started_one_run",
        "owed",
        lambda history: replace(history, schedules=(run_now(NEVER_TICKED, "t", 0),)),
    ),
    ("workers_end_in_order", "one killed", lambda history: replace(history, exits=(0, -9))),
]


def test_a_good_history_breaks_nothing() -> None:
    assert_all_hold(GOOD)


def test_a_tick_with_its_run_breaks_nothing() -> None:
    run = run_id_of_tick(SCHEDULE, 0, 1_000)
    history = with_lines(*taken(run, "ticked", 1.0))(replace(GOOD, schedules=(TICKED_ONCE,)))
    assert "each_tick_started_one_run" not in breaches(history)


def test_as_many_as_a_limit_has_room_for_break_nothing() -> None:
    history = limited("p", "d", at=40.0, until=41.0)(limited("x", at=41.1, until=42.0)(GOOD))
    assert "no_more_than_a_limit_ran_at_once" not in breaches(history)


def test_one_whose_lease_has_ended_has_no_room_any_more() -> None:
    cut_off = limited("p", "d", at=40.0, until=49.0, lease=3.0)
    assert "no_more_than_a_limit_ran_at_once" not in breaches(
        limited("x", at=43.0, until=44.0)(cut_off(GOOD))
    )


def test_one_whose_lease_was_renewed_has_room() -> None:
    def renewed(history: History) -> History:
        asked = Asked("renew", "", 1, fence=1, lease=3.0)
        entry = Entry(worker="w", number=200, at=42.0, job="limited job of p", run="p", asked=asked)
        answered = msgspec.structs.replace(entry, at=42.1, asked=asked._replace(answer="kept"))
        return replace(history, calls=(*history.calls, entry, answered))

    both = limited("p", at=40.0, until=49.0)(limited("d", "x", at=43.5, until=44.0)(GOOD))
    assert "no_more_than_a_limit_ran_at_once" not in breaches(both)
    assert "no_more_than_a_limit_ran_at_once" in breaches(renewed(both))


def test_one_that_was_taken_over_has_no_room_any_more() -> None:
    def taken_over(history: History) -> History:
        asked = Asked("claim", "v", 1, redelivered=True, lease=3.0)
        entry = Entry(worker="v", number=0, at=40.5, job="limited job of p", run="p", asked=asked)
        answered = msgspec.structs.replace(entry, at=40.6, asked=asked._replace(answer="Granted", granted=2))
        return replace(history, calls=(*history.calls, entry, answered))

    both = limited("p", at=40.0, until=42.0)(limited("d", "x", at=41.0, until=42.0)(GOOD))
    assert "no_more_than_a_limit_ran_at_once" in breaches(both)
    assert "no_more_than_a_limit_ran_at_once" not in breaches(taken_over(both))


def test_a_run_whose_end_was_forgotten_may_stand_as_it_was() -> None:
    stands = StoredRun("queued", None, ("accepted", "started"))
    assert_all_hold(replace(with_run("p", stands)(GOOD), forgotten=frozenset("p")))


@pytest.mark.parametrize(("name", "what", "spoil"), BAD, ids=[f"{name}: {what}" for name, what, _ in BAD])
def test_an_invariant_finds_its_breach(name: str, what: str, spoil: Spoil) -> None:
    found = breaches(spoil(GOOD))

    assert found.get(name), f"{name} was blind to: {what}; found was {found}"


def test_every_invariant_is_shown_a_breach() -> None:
    assert {name for name, _, _ in BAD} == set(INVARIANTS)


def test_breaches_are_reported_by_name_and_run() -> None:
    with pytest.raises(AssertionError, match=r"every_accepted_run_ended: 1 breaches\n +run p was accepted"):
        assert_all_hold(without_run("p")(GOOD))
