"""Tests that the check accepts correct histories and rejects others."""

import itertools
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.calls import Entry, by_job
from chaos.claims import Asked, Job, step
from chaos.linearizability import Operation, explain

Call = Operation[Asked]


def claim(worker: str, begin: float, end: float | None, granted: int = 0, **more: object) -> Call:
    answer = "Granted" if granted else ""
    asked = {"call": "claim", "worker": worker, "attempt": 1, "lease": 3.0, "answer": answer, **more}
    return Operation(Asked(granted=granted, **asked), begin, end)  # type: ignore[arg-type]


def follows(worker: str, begin: float, end: float | None, on: int, granted: int = 0, **more: object) -> Call:
    """A claim of a later stage's job, whose message carries its parent's outcome under the fence `on`."""
    return claim(worker, begin, end, granted, is_packed=True, parent="p", parent_fence=on, **more)


def imply(fence: int, begin: float, end: float | None) -> Call:
    answer = "implied" if end is not None else ""
    return Operation(Asked("imply", "c", attempt=1, fence=fence, answer=answer), begin, end)


def decide(
    worker: str, fence: int, begin: float, end: float | None, answer: str, outcome: str = "Done"
) -> Call:
    return Operation(
        Asked("decide", worker, attempt=1, fence=fence, outcome=outcome, answer=answer), begin, end
    )


POSSIBLE = {
    "one claim, one decision": [claim("a", 0, 1, 1), decide("a", 1, 2, 3, "recorded")],
    "a claim without an answer, and the same worker again": [
        claim("a", 0, None),
        claim("a", 1, 2, 1),
        decide("a", 1, 3, 4, "recorded"),
    ],
    "a decision without an answer, found on record": [
        claim("a", 0, 1, 1),
        decide("a", 1, 2, None, ""),
        claim("b", 9, 10, answer="Decided"),
    ],
    "a late worker is refused": [
        claim("a", 0, 1, 1),
        claim("b", 5, 6, 2),
        decide("a", 1, 7, 8, "stale"),
        decide("b", 2, 9, 10, "recorded"),
    ],
    "a takeover within the lease, because the connection is gone": [
        claim("a", 0, 1, 1),
        claim("b", 1.5, 2, 2, redelivered=True),
        decide("b", 2, 3, 4, "recorded"),
    ],
    "a decision that overtakes a claim that was asked for before it": [
        claim("a", 0, 1, 1),
        claim("b", 2, 9, answer="Decided"),
        decide("a", 1, 3, 4, "recorded"),
    ],
    "a retry, and its next attempt": [
        claim("a", 0, 1, 1),
        decide("a", 1, 2, 3, "recorded", "RetryLater"),
        claim("b", 4, 5, 2, attempt=2),
    ],
    "what follows from a lost outcome is refused, and what follows from the decided one is granted": [
        follows("b", 0, 1, on=1, answer="Over"),
        follows("a", 0, 2, on=2, granted=1),
        decide("a", 1, 3, 4, "recorded"),
    ],
    "a claim that is to be refused is on record for a moment": [
        follows("a", 0, 3, on=1, answer="Over"),
        follows("b", 1, 2, on=2, answer="Busy"),
        follows("c", 1, 2, on=2, granted=2, redelivered=True),
        decide("c", 2, 4, 5, "recorded"),
    ],
    "the claim of what follows is there before the outcome is recorded": [
        claim("a", 0, 1, 1),
        imply(1, 2, 3),
        decide("a", 1, 2, 5, "recorded"),
    ],
    "a claim of what follows records the outcome of a worker that died": [
        claim("a", 0, 1, 1),
        imply(1, 2, None),
        claim("b", 4, 5, answer="Over", redelivered=True),
    ],
}

IMPOSSIBLE = {
    "two decisions are recorded": [
        claim("a", 0, 1, 1),
        claim("b", 5, 6, 2),
        decide("a", 1, 7, 8, "recorded"),
        decide("b", 2, 9, 10, "recorded"),
    ],
    "two claims under one fence": [claim("a", 0, 1, 1), claim("b", 5, 6, 1)],
    "a fence that falls": [claim("a", 0, 1, 2), claim("b", 5, 6, 1)],
    "a claim on what is decided": [
        claim("a", 0, 1, 1),
        decide("a", 1, 2, 3, "recorded"),
        claim("b", 4, 5, 2),
    ],
    "a claim within the lease of a worker that lives": [claim("a", 0, 1, 1), claim("b", 1.5, 2, 2)],
    "a decision found that no worker made": [claim("a", 0, 1, 1), claim("b", 9, 10, answer="Decided")],
    "the newest worker is refused": [claim("a", 0, 1, 1), decide("a", 1, 2, 3, "stale")],
    "a next attempt that no retry asked for": [claim("a", 0, 1, 1), claim("b", 9, 10, 2, attempt=2)],
    "two outcomes under one claim": [
        claim("a", 0, 1, 1),
        decide("a", 1, 2, 3, "recorded"),
        decide("a", 1, 4, 5, "recorded", "GiveUp"),
    ],
    "what follows is granted on two outcomes": [
        follows("a", 0, 1, on=1, granted=1),
        follows("b", 5, 6, on=2, granted=2),
    ],
    "what follows is granted on an outcome that was refused": [
        follows("a", 0, 1, on=1, answer="Over"),
        follows("b", 2, 3, on=1, granted=1),
    ],
    "what follows is granted on the outcome of a worker that lost its claim": [
        claim("a", 0, 1, 1),
        claim("b", 5, 6, 2),
        imply(1, 7, 8),
    ],
    "an outcome is recorded although one was implied before": [
        claim("a", 0, 1, 1),
        imply(1, 2, 3),
        claim("b", 5, 6, 2),
        decide("b", 2, 7, 8, "recorded"),
    ],
}


@pytest.mark.parametrize("history", POSSIBLE.values(), ids=POSSIBLE)
def test_what_can_happen_is_accepted(history: list[Call]) -> None:
    assert explain(history, Job(), step) is None


@pytest.mark.parametrize("history", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_what_cannot_happen_is_found(history: list[Call]) -> None:
    assert explain(history, Job(), step) is not None


def test_workers_that_ask_a_silent_store_again_and_again_are_no_matter_of_luck() -> None:
    may_end: dict[str, Any] = {"stoppable": True, "is_packed": True}
    asked = [claim(worker, at / 10, None, **may_end) for at in range(10) for worker in ("a", "b")]
    before, after = claim("c", -2, -1, answer="Over", **may_end), claim("c", 5, 6, 1, **may_end)
    done = decide("c", 1, 7, 8, "recorded")

    assert explain([before, *asked, after, done], Job(), step) is None
    assert explain([*asked[:12], after, claim("d", 7, 8, 1)], Job(), step) is not None


def test_a_call_that_was_sent_once_more_may_be_refused_for_what_it_did_itself() -> None:
    """A worker that was stopped while its decision was on its way; the reply to it was lost with the connection."""

    def calls(stale_until: float) -> list[Call]:
        granted, late = (
            Asked("claim", "a", 1, lease=3.0),
            Asked("decide", "a", 1, fence=1, outcome="RetryLater"),
        )
        found, again = granted._replace(worker="b", redelivered=True), granted._replace(worker="b", attempt=2)
        spans = (
            (0.0, 0.1, granted, granted._replace(answer="Granted", granted=1)),
            (0.2, stale_until, late, late._replace(answer="stale")),
            (0.9, 1.0, found, found._replace(answer="Decided")),
            (1.1, 1.2, again, again._replace(answer="Granted", granted=2)),
        )
        entries = [
            Entry(worker=asked.worker, number=number, at=at, job="j", run="r", asked=it)
            for number, (begin, end, asked, answered) in enumerate(spans)
            for at, it in ((begin, asked), (end, answered))
        ]
        return by_job(entries, lambda run: False)["j"]

    assert explain(calls(stale_until=4.7), Job(), step) is None
    assert explain(calls(stale_until=0.25), Job(), step) is not None


@given(seed=st.integers(0, 2**32), count=st.integers(1, 14))
def test_whatever_a_store_that_keeps_its_word_answers_is_accepted(seed: int, count: int) -> None:
    assert explain(_played(random.Random(seed), count), Job(), step) is None


@given(seed=st.integers(0, 2**32), count=st.integers(2, 6))
def test_the_search_finds_what_trying_every_order_finds(seed: int, count: int) -> None:
    chance = random.Random(seed)
    history = _played(chance, count)
    place = chance.randrange(len(history))
    asked = history[place].what
    history[place] = history[place]._replace(
        what=asked._replace(fence=asked.fence + 1) if asked.fence else asked._replace(answer="Decided")
    )
    assert (explain(history, Job(), step) is None) == _fits_in_some_order(history)


def _played(chance: random.Random, count: int) -> list[Call]:
    """Calls of three workers to a store that follows the specification, each at a moment within its call."""
    job, now, calls = Job(), 0.0, []
    for _ in range(count):
        now += chance.uniform(0.1, 4.0)
        asked = _any_call(chance, job)
        begin, end = now - chance.uniform(0, 2.0), now + chance.uniform(0, 2.0)
        possible = [
            (asked._replace(answer=answer, granted=after.fence if answer == "Granted" else 0), after)
            for answer in (
                "Granted",
                "Busy",
                "Decided",
                "Over",
                "kept",
                "lost",
                "recorded",
                "stale",
                "implied",
            )
            if answer in _OF[asked.call]
            for after in step(job, Operation(asked._replace(answer=answer), begin, end))
        ]
        if not possible:
            continue
        answered, job = chance.choice(possible)
        received = chance.random() < 0.85
        calls.append(Operation(answered if received else asked, begin, end if received else None))
    chance.shuffle(calls)
    return calls or [claim("a", 0, 1, 1)]


_OF = {
    "claim": ("Granted", "Busy", "Decided", "Over"),
    "renew": ("kept", "lost"),
    "decide": ("recorded", "stale"),
    "imply": ("implied",),
}


def _any_call(chance: random.Random, job: Job) -> Asked:
    call, worker = chance.choice(["claim", "claim", "renew", "decide", "imply"]), chance.choice("abc")
    attempt = max(1, job.attempt - (chance.random() < 0.2))
    if call == "claim":
        on = chance.choice([0, 0, 1, 2])
        redelivered = chance.random() < 0.5
        return Asked(call, worker, attempt, 0, "", redelivered, lease=3.0, parent_fence=on, is_packed=on > 0)
    fence = max(1, job.fence - (chance.random() < 0.3))
    outcome = chance.choice(["Done", "RetryLater", "GiveUp"]) if call == "decide" else ""
    return Asked(call, worker, attempt, fence=fence, outcome=outcome, lease=3.0)


def _fits_in_some_order(history: list[Call]) -> bool:
    """As `explain`, in the dullest way: all orders of all choices of the unanswered calls."""
    pending = [call for call in history if call.end is None]
    answered = [call for call in history if call.end is not None]
    return any(
        _fits(order)
        for size in range(len(pending) + 1)
        for some in itertools.combinations(pending, size)
        for order in itertools.permutations([*answered, *some])
    )


def _fits(order: tuple[Call, ...]) -> bool:
    for before, after in itertools.combinations(order, 2):
        if after.end is not None and after.end < before.begin:
            return False
    states = {Job()}
    for call in order:
        states = {after for state in states for after in step(state, call)}
    return bool(states)
