"""Why a run waits, judged by its facts."""

from dataclasses import replace
from typing import Any

import pytest

from mousetrap.shapes import (
    FailureLine,
    Fan,
    LimitHolder,
    LimitKey,
    Pause,
    PutAside,
    Queue,
    RunState,
    Waiting,
    Worker,
    WorkerState,
)
from mousetrap.waiting import Facts, JobAt, LimitAt, LockAt, PlaceAt, judge

NOW_MS = 1_765_432_100_000
WHY = FailureLine(kind="FeedUnavailable", text="the feed answers 503")


def a_job(state: Any = "queued", **more: Any) -> JobAt:
    return JobAt(**{"stage": "fetch", "state": state, "id": "j1", "attempts": 5, **more})


def a_queue(**more: Any) -> Queue:
    usual: dict[str, Any] = {"stages": ("p.fetch",), "ready": 3, "running": 0, "delayed": 0, "dead": 0}
    rates: dict[str, Any] = {"oldest_seconds": 41.0, "in_per_minute": 6.0, "out_per_minute": 6.0}
    return Queue(**{"name": "fetches", "consumers": 1, "workers": 1, "slots": 2, **usual, **rates, **more})


def a_worker(state: WorkerState = "serving", running: int = 0, name: str = "w1", ago_s: int = 1) -> Worker:
    return Worker(
        name=name, host="h", pid=1, version="1", stages=("p.fetch",), queues=("fetches",), concurrency=2, state=state,
        done=0, failed=0, running=running, doing=(), started_ms=1, seen_ms=NOW_MS - 1000 * ago_s, silent=float(ago_s),
    )  # fmt: skip


def facts(job: JobAt | None = None, queue: Queue | None = None, **more: Any) -> Facts:
    place = PlaceAt(job=job or a_job(), queue_name="fetches", queue=queue or a_queue())
    usual = {"state": RunState.QUEUED, "accepted_ms": NOW_MS - 60_000, "updated_ms": NOW_MS - 50_000}
    known = {"now_ms": NOW_MS, "run_id": "r", "pipeline": "p", "places": (place,), "workers": (a_worker(),)}
    return Facts(**{**known, **usual, **more})


RETRYING = a_job("retrying", due_ms=NOW_MS + 12_000, attempt=3, failure=WHY, since_ms=NOW_MS - 4_000)
LOCK = LockAt(name="region:jp", run_id="x", worker="w2", since_ms=NOW_MS - 9_000, until_ms=NOW_MS + 20_000)
PLACES = LimitAt(
    most=3,
    stands=LimitKey(
        key="p.fetch:n:1", of="customer=acme", running=3, waiting=7,
        holders=(LimitHolder(run_id="x", job="j", worker="w2", since_ms=NOW_MS - 9_000, until_ms=NOW_MS + 20_000),
                 LimitHolder(run_id="y", job="j", until_ms=NOW_MS + 20_000)),
    ),
)  # fmt: skip
RATE = LimitAt(
    most=50,
    every="minute",
    stands=LimitKey(key="p.fetch:r", of="", running=0, waiting=1, next_ms=NOW_MS + 20_000),
)
TAKEN = a_job("running", worker="w1", since_ms=NOW_MS - 7_000, until_ms=NOW_MS + 20_000)
LETTER = PutAside(id="l", queue="fetches", reason="expired", believed=True)
FAN = Fan(job="o", stage="find", state="closed", opened=10_000, total=10_000, done=7_310, lost=3)

CASES = {
    "a free slot": (
        facts(),
        "queue",
        "It is in fetches, or a worker holds it already: 0 of 2 slots are busy and 3 wait, so it is to begin soon.",
    ),
    "busy": (
        facts(queue=a_queue(oldest_seconds=360.0), workers=(a_worker(running=2),)),
        "slot",
        (
            "All 2 slots of the workers of fetches are busy; 3 wait there, this one among them or held by a worker, the oldest for 6 min; at the rate of "
            "the last five minutes they take 30 s."
        ),
    ),
    "busy for less than the rate is a mean of": (
        facts(workers=(a_worker(running=2),)),
        "slot",
        "All 2 slots of the workers of fetches are busy; 3 wait there, this one among them or held by a worker, the oldest for 41 s.",
    ),
    "busy, and none began": (
        facts(queue=a_queue(out_per_minute=0.0), workers=(a_worker(running=2),)),
        "slot",
        "All 2 slots of the workers of fetches are busy; 3 wait there, this one among them or held by a worker, the oldest for 41 s.",
    ),
    "busy, and a worker holds it": (
        facts(queue=a_queue(ready=0), workers=(a_worker(running=2),)),
        "slot",
        "All 2 slots of the workers of fetches are busy, and a worker holds it until one is free.",
    ),
    "paused": (
        facts(queue=a_queue(paused=Pause(who="anna", since_ms=NOW_MS - 180_000, why="the feed lies"))),
        "paused",
        "anna paused fetches 3 min ago: the feed lies.",
    ),
    "paused without a reason, and no worker serves it": (
        facts(queue=a_queue(paused=Pause(who="anna", since_ms=NOW_MS - 5_000), consumers=0), workers=()),
        "paused",
        "anna paused fetches 5.0 s ago.",
    ),
    "no worker": (
        facts(queue=a_queue(consumers=0), workers=()),
        "worker",
        "No worker serves fetches; none is listed: one that was stopped leaves the list at once.",
    ),
    "a stale worker": (
        facts(queue=a_queue(consumers=0), workers=(a_worker("stale", ago_s=180),)),
        "worker",
        "No worker serves fetches; the last one, w1, is stale and was seen 3 min ago.",
    ),
    "no queue": (
        facts(queue=a_queue(consumers=0, missing=True), workers=()),
        "worker",
        "No worker serves fetches; none is listed: one that was stopped leaves the list at once. The broker does not even have that queue.",
    ),
    "consumers without a heartbeat": (
        facts(workers=()),
        "queue",
        "It is in fetches; 1 take from it, and none of them sends a heartbeat.",
    ),
    "retry": (
        facts(RETRYING),
        "retry",
        "Attempt 3 of 5 of fetch begins at 2025-12-11 05:48:32 UTC, in 12 s, after FeedUnavailable: the feed answers 503.",
    ),
    "retry without a limit": (
        facts(replace(RETRYING, attempts=None)),
        "retry",
        "Attempt 3 of fetch begins at 2025-12-11 05:48:32 UTC, in 12 s, after FeedUnavailable: the feed answers 503.",
    ),
    "retry that is due": (facts(replace(RETRYING, due_ms=NOW_MS - 1)), "queue", None),
    "outage": (
        facts(replace(RETRYING, state="outage")),
        "outage",
        "Attempt 3 of fetch waits for an outage to end (FeedUnavailable: the feed answers 503); it is made again at 2025-12-11 05:48:32 UTC, in 12 s.",
    ),
    "outage of which no attempt is noted": (
        facts(replace(RETRYING, state="outage", due_ms=0)),
        "outage",
        "Attempt 3 of fetch waits for an outage to end (FeedUnavailable: the feed answers 503), and is made again until it has.",
    ),
    "due": (
        facts(due_ms=NOW_MS + 7_200_000),
        "due",
        "Its submitter has it begin at 2025-12-11 07:48:20 UTC, in 2 h.",
    ),
    "lock": (
        facts(a_job("locked", lock=LOCK)),
        "lock",
        (
            "fetch waits for the lock region:jp, which run x holds at worker w2 since 9.0 s; it loses it at 2025-12-11 05:48:40 UTC "
            "unless it renews it."
        ),
    ),
    "a limit": (
        facts(a_job("limited", limit=PLACES)),
        "limit",
        (
            "fetch waits for one of 3 places of customer=acme, held by x since 9.0 s, y (begins now); 7 wait in its line."
        ),
    ),
    "a rate": (
        facts(a_job("limited", limit=RATE)),
        "limit",
        "fetch waits for its turn: 50 may begin in a minute, the next at 2025-12-11 05:48:40 UTC.",
    ),
    "a lock that is free by now": (facts(a_job("locked", lock=LockAt(name="region:jp"))), "queue", None),
    "runs": (
        facts(TAKEN, state=RunState.RUNNING),
        "running",
        "It does not wait: worker w1 has attempt 1 of fetch since 7.0 s.",
    ),
    "a silent worker": (
        facts(TAKEN, state=RunState.RUNNING, workers=(a_worker("stale", ago_s=20),)),
        "takeover",
        (
            "Worker w1 took fetch 7.0 s ago and is silent since 20 s; another takes it over once the broker delivers its message again, "
            "at the latest after 2025-12-11 05:48:40 UTC."
        ),
    ),
    "a worker that is gone": (
        facts(replace(TAKEN, until_ms=NOW_MS - 1), state=RunState.RUNNING, workers=()),
        "takeover",
        "Worker w1 took fetch 7.0 s ago and is not listed any more; another takes it over once the broker delivers its message again.",
    ),
    "a suspect": (
        facts(replace(TAKEN, suspect=True, starts=3), state=RunState.RUNNING),
        "alone",
        (
            "fetch was started 3 times without an end, so worker w1 runs it alone: it begins once nothing else runs there, or runs "
            "already."
        ),
    ),
    "put aside": (facts(letter=LETTER), "put-aside", "Its message is a dead letter of fetches (expired)."),
    "put aside by a stranger": (
        facts(letter=replace(LETTER, believed=False)),
        "put-aside",
        "Its message is a dead letter of fetches (expired); no key of ours signed it, so it may not belong to this run.",
    ),
    "not published": (facts(unpublished_ms=NOW_MS - 30_000), "publish", None),
    "noted a moment ago": (facts(unpublished_ms=NOW_MS - 500), "queue", None),
    "broker": (
        facts(broker="RabbitMQ at here cannot be used"),
        "broker",
        "RabbitMQ at here cannot be used.",
    ),
    "children": (
        facts(places=(), fan=FAN, state=RunState.RUNNING),
        "children",
        "It waits for the jobs that find opened: 7,310 of 10,000 done, 3 failed.",
    ),
    "children, not all opened": (
        facts(places=(), fan=replace(FAN, total=None, lost=0), state=RunState.RUNNING),
        "children",
        "It waits for the jobs that find opened: 7,310 of the 10,000 so far done.",
    ),
    "an unknown pipeline": (
        facts(places=(PlaceAt(job=a_job()),)),
        "worker",
        "No pipeline p with a stage fetch is known here, and so not its queue: no worker with it is up.",
    ),
    "completed": (
        facts(state=RunState.COMPLETED, finished_ms=NOW_MS - 300_000),
        "ended",
        "It does not wait: it completed 5 min ago.",
    ),
    "damaged": (
        facts(state=RunState.UNREADABLE, unreadable=("state: no word",), places=()),
        "unreadable",
        "What the store holds of it is damaged: state: no word.",
    ),
    "nothing is known": (facts(places=()), "queue", None),
}


@pytest.mark.parametrize("name", CASES)
def test_a_run_waits_for_what_comes_first_on_its_way(name: str) -> None:
    given, kind, text = CASES[name]

    found = judge(given)

    assert found.headline.kind == kind
    assert text is None or found.headline.text == text
    assert found.headline.text.endswith(".")
    assert found.waits == (kind not in ("ended", "running", "unreadable"))
    assert not text or found.headline.age_seconds is None or found.headline.age_seconds >= 0


def kinds(found: Waiting) -> list[str]:
    return [found.headline.kind, *(each.kind for each in found.also)]


def test_what_it_meets_later_is_listed_in_the_order_of_its_way() -> None:
    all_at_once = facts(
        RETRYING,
        a_queue(consumers=0),
        broker="the broker is away",
        letter=LETTER,
        unpublished_ms=NOW_MS - 30_000,
        fan=FAN,
        workers=(),
    )

    assert kinds(judge(all_at_once)) == ["broker", "put-aside", "publish", "retry", "worker", "children"]


def test_of_the_jobs_of_a_fan_out_those_that_wait_are_named_and_those_that_run_are_not() -> None:
    jobs = (a_job("queued"), RETRYING, TAKEN)
    places = tuple(PlaceAt(job=job, queue_name="fetches", queue=a_queue()) for job in jobs)

    found = judge(facts(places=places, fan=FAN, state=RunState.RUNNING, workers=(a_worker(running=2),)))

    assert kinds(found) == ["retry", "slot", "children"]
    assert found.waits


def test_the_age_and_the_evidence_are_those_of_the_facts() -> None:
    found = judge(facts(RETRYING)).headline

    assert (found.since_ms, found.age_seconds) == (NOW_MS - 4_000, 4.0)
    assert found.evidence == {
        "stage": "fetch", "queue": "fetches", "job": "j1", "due_ms": NOW_MS + 12_000, "attempt": 3, "attempts": 5,
        "error_kind": "FeedUnavailable", "error": "the feed answers 503",
    }  # fmt: skip


def test_a_job_that_runs_leads_to_what_its_handler_logged() -> None:
    found = judge(facts(TAKEN, state=RunState.RUNNING))

    assert found.headline.advice == "mousetrap logs r"
