"""Tests what a worker's metrics count."""

import asyncio
import platform
from collections.abc import Iterator
from itertools import count

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mousetrap.jobs import Done, GiveUp, Job, Outcome, RetryLater, first_job
from mousetrap.metrics import ENDS, OUTCOMES, REASONS, WORKER, Exposition, WorkerFacts, WorkerNumbers
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.shapes import Failure

PAIR = Pipeline(
    name="pair",
    description="Two stages.",
    stages=(
        Stage(name="fetch", queue="in", input=int, output=int),
        Stage(name="sum", queue="out", input=int, output=int),
    ),
)
JOB = first_job(run_id="r", pipeline="pair", stage="fetch", payload=b"1", accepted_ms=4_000)
LAST = JOB.following("sum", b"2", fence=1)
WHY = Failure(kind="ValueError", text="no")
DONE = Done(msgspec.Raw(b"2"))


@pytest.fixture
def ticks() -> Iterator[float]:
    return map(float, count(100))


@pytest.fixture
def counts(ticks: Iterator[float]) -> WorkerNumbers:
    """On a clock that is a second later each time that it is asked."""
    facts = WorkerFacts(
        slots=10,
        prefetched={"in": 3, "a stranger's": 1},
        hung=1,
        connected={"broker": True, "store": False},
        outages={"broker": 0, "store": 2},
        blocked=True,
        beat_s=0.25,
    )
    made = WorkerNumbers(lambda: facts, "1.2", clock=lambda: next(ticks), now=lambda: 10.0)
    for stage in PAIR.stages:
        made.declare(PAIR, stage)
    return made


def samples(counts: WorkerNumbers) -> dict[tuple[str, ...], float]:
    """Each series by its name and the values of its labels."""
    text = Exposition(counts.collect).text().decode()
    return {
        (each.name, *each.labels.values()): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


@pytest.mark.parametrize(
    ("outcome", "decision", "word"),
    [
        (DONE, "recorded", "finished"),
        (Done(msgspec.Raw(b"null"), instead_of=GiveUp("contract", WHY)), "recorded", "gave_up"),
        (RetryLater(1.0, WHY), "recorded", "retrying"),
        (RetryLater(1.0, WHY, False), "recorded", "outage"),
        (GiveUp("contract", WHY), "recorded", "gave_up"),
        (DONE, "stale", "lost"),
        (DONE, "unlocked", "unlocked"),
        (DONE, "over", "over"),
    ],
)
def test_an_attempt_is_counted_by_how_it_ended(
    counts: WorkerNumbers, outcome: Outcome, decision: str, word: str
) -> None:
    counts.recorded(JOB, outcome, decision)

    found = {name: samples(counts)["mousetrap_attempts_total", name, "pair", "fetch"] for name in OUTCOMES}
    assert found == {**dict.fromkeys(OUTCOMES, 0), word: 1}


@pytest.mark.parametrize(
    ("job", "outcome", "ends"),
    [
        (JOB, DONE, (0, 0)),
        (JOB, RetryLater(1.0, WHY), (0, 0)),
        (JOB, GiveUp("contract", WHY), (0, 1)),
        (JOB, Done(msgspec.Raw(b"null"), next="", instead_of=GiveUp("contract", WHY)), (1, 0)),
        (LAST, DONE, (1, 0)),
        (LAST, Done(msgspec.Raw(b"null"), next="sum", instead_of=GiveUp("contract", WHY)), (0, 0)),
        (LAST, GiveUp("contract", WHY), (0, 1)),
        (JOB.child("sum", b"2", index=0, fence=1), GiveUp("contract", WHY), (0, 0)),
    ],
)
def test_a_run_is_counted_at_its_end(
    counts: WorkerNumbers, job: Job, outcome: Outcome, ends: tuple[int, int]
) -> None:
    counts.recorded(job, outcome, "recorded")

    found = samples(counts)
    assert tuple(found["mousetrap_runs_total", each, "pair"] for each in ("completed", "failed")) == ends
    assert found["mousetrap_run_seconds_count", "pair"] == sum(ends)
    assert found["mousetrap_run_seconds_sum", "pair"] == 6.0 * sum(ends)


def test_a_run_that_ends_in_a_fan_or_before_a_job_began_is_counted(counts: WorkerNumbers) -> None:
    child = JOB.child("sum", b"2", index=0, fence=1)
    for state in ("failed", "expired", "expired"):
        counts.run_ended(child, state)
    counts.run_ended(msgspec.structs.replace(child, stage="a stranger's"), "failed")

    found = samples(counts)
    assert [found["mousetrap_runs_total", each, "pair"] for each in ENDS] == [0, 1, 2]
    assert found["mousetrap_run_seconds_count", "pair"] == 3


def test_a_wait_and_the_time_of_a_handler_are_in_their_buckets(counts: WorkerNumbers) -> None:
    counts.started(JOB, 7_500, 1.0)
    assert samples(counts)["mousetrap_attempts_running", "pair", "fetch"] == 1
    counts.ended(JOB, DONE, 1.0)

    found = samples(counts)
    assert found["mousetrap_attempts_running", "pair", "fetch"] == 0
    for name, seconds in (("queue_wait", 2.5), ("attempt", 1.0)):
        assert found[f"mousetrap_{name}_seconds_sum", "pair", "fetch"] == seconds
    bucket = {
        le: found["mousetrap_queue_wait_seconds_bucket", le, "pair", "fetch"] for le in ("1", "2.5", "+Inf")
    }
    assert bucket == {"1": 0, "2.5": 1, "+Inf": 1}
    assert found["mousetrap_attempt_seconds_bucket", "0.5", "pair", "fetch"] == 0


def test_a_wait_that_is_not_known_or_of_a_clock_before_ours_is_no_long_one(counts: WorkerNumbers) -> None:
    counts.started(JOB, 0, 1.0)
    counts.started(LAST, 11_001, 1.0)

    found = samples(counts)
    assert found["mousetrap_queue_wait_seconds_count", "pair", "fetch"] == 0
    assert found["mousetrap_queue_wait_seconds_bucket", "0.005", "pair", "sum"] == 1


def test_an_attempt_that_is_stopped_runs_no_more(counts: WorkerNumbers) -> None:
    counts.started(JOB, 0, 1.0)
    counts.started(LAST, 0, 1.0)
    counts.lease_lost(JOB)
    counts.cancelled(LAST)

    found = samples(counts)
    assert found["mousetrap_attempts_total", "lost", "pair", "fetch"] == 1
    assert found["mousetrap_attempts_total", "cancelled", "pair", "sum"] == 1
    assert [found["mousetrap_attempts_running", "pair", each.name] for each in PAIR.stages] == [0, 0]
    assert found["mousetrap_attempt_seconds_count", "pair", "fetch"] == 0


def test_names_that_were_never_declared_make_no_series(counts: WorkerNumbers) -> None:
    before = set(samples(counts))
    for each in range(100):
        strange = first_job(run_id="r", pipeline=f"p{each}", stage="fetch", payload=b"1", accepted_ms=1)
        counts.started(strange, 1, 1.0)
        counts.ended(strange, DONE, 1.0)
        counts.recorded(strange, GiveUp("contract", WHY), "recorded")
        counts.cancelled(strange)
        counts.published(strange, f"q{each}")
        counts.buried(None, f"q{each}", "contract")
        counts.buried(JOB, "in", f"reason {each}")

    after = samples(counts)
    assert set(after) == before
    assert after["mousetrap_dead_letters_total", "in", "other"] == 100


def test_messages_are_counted_by_their_queue(counts: WorkerNumbers) -> None:
    counts.published(LAST, "out")
    counts.buried(JOB, "in", "max-retries")

    found = samples(counts)
    assert found["mousetrap_published_total", "out"] == 1
    letters = {
        key[2]: value for key, value in found.items() if key[:2] == ("mousetrap_dead_letters_total", "in")
    }
    assert letters == {**dict.fromkeys(REASONS, 0), "max-retries": 1}


def test_what_the_worker_is_stands_beside_its_counts(counts: WorkerNumbers) -> None:
    found = samples(counts)

    assert found["mousetrap_slots",] == 10
    assert {key[1]: count for key, count in found.items() if key[0] == "mousetrap_prefetched"} == {
        "in": 3,
        "out": 0,
    }
    assert found["mousetrap_broker_blocked",] == 1
    assert found["mousetrap_hung_handlers",] == 1
    assert (found["mousetrap_connected", "broker"], found["mousetrap_connected", "store"]) == (1, 0)
    assert found["mousetrap_outages_total", "store"] == 2
    assert found["mousetrap_heartbeat_seconds",] == 0.25
    assert {("1.2", platform.python_version()), (platform.python_version(), "1.2")} & {
        key[1:] for key in found if key[0] == "mousetrap_build_info"
    }
    assert found["process_cpu_seconds_total",] > 0


async def _watched(counts: WorkerNumbers) -> None:
    watching = asyncio.create_task(counts.watch_loop())
    while samples(counts)["mousetrap_loop_lag_seconds_count",] < 2:  # noqa: ASYNC110  it has no event
        await asyncio.sleep(0.05)
    watching.cancel()


def test_the_event_loop_is_watched(counts: WorkerNumbers) -> None:
    asyncio.run(asyncio.wait_for(_watched(counts), 60))


def test_every_metric_has_the_kind_and_the_labels_of_its_name(counts: WorkerNumbers) -> None:
    families = {
        family.name: family
        for family in text_string_to_metric_families(Exposition(counts.collect).text().decode())
        if family.name.startswith("mousetrap_")
    }

    assert set(families) == {name.name.removesuffix("_total") for name in WORKER}
    for name in WORKER:
        family = families[name.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (name.kind, name.about)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(name.labels)
            assert sample.name in name.series
