"""A worker's events reach the observers that override them, and the log."""

import logging

import msgspec
import pytest

from mousetrap.jobs import Done, Failure, GiveUp, Job, Outcome, RetryLater, first_job
from mousetrap.telemetry import EventLog, Observer, Observers, waited_ms

JOB = first_job(run_id="r", pipeline="p", stage="add", payload=b"1", accepted_ms=5)
WHY = Failure(kind="ValueError", text="no")
DONE = Done(msgspec.Raw(b"2"))


class Published(Observer):
    """Notes what is published alone."""

    def __init__(self) -> None:
        self.queues: list[str] = []

    def published(self, job: Job, queue: str) -> None:
        self.queues.append(queue)


def test_a_child_s_line_names_which_one_it_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mousetrap.worker")
    child = JOB.child("item", b"1", index=3, fence=1)

    for job in (JOB, child, child.child("part", b"1", index=0, fence=1)):
        EventLog().recorded(job, DONE, "recorded")

    assert [record.__dict__.get("index") for record in caplog.records] == [None, "3", "3.0"]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_each_observer_gets_the_events_that_it_overrides(count: int) -> None:
    noting = [Published() for _ in range(count)]
    observers = Observers(EventLog(), *noting)

    observers.published(JOB, "adds")
    observers.started(JOB, 0, 1.0)

    assert [each.queues for each in noting] == [["adds"]] * count


@pytest.mark.parametrize(
    ("since_ms", "now_ms", "waited"),
    [
        (7_500, 10_000, 2_500),
        (7_000, 9_900, 2_000),  # whole seconds of both, as RabbitMQ notes no others
        (7_000, 7_900, 0),
        (7_001, 8_001, 1_000),
        (9_000, 8_000, 0),  # another's clock is ahead
        (0, 8_000, 0),  # it is unknown
    ],
)
def test_how_long_a_message_waited_follows_from_when_it_came(since_ms: int, now_ms: int, waited: int) -> None:
    assert waited_ms(JOB, since_ms, now_ms) == waited


def test_a_run_s_first_attempt_has_waited_since_its_run_was_accepted() -> None:
    job = msgspec.structs.replace(JOB, accepted_ms=7_400)

    assert waited_ms(job, 7_000, 9_900) == 2_500
    assert waited_ms(job, 8_000, 9_900) == 1_000  # it was delayed
    assert waited_ms(job.again(), 7_000, 9_900) == 2_000


@pytest.mark.parametrize(
    ("outcome", "decision", "level", "text"),
    [
        (DONE, "recorded", logging.INFO, "done"),
        (RetryLater(1.0, WHY), "recorded", logging.WARNING, "failed, again in 1.0 s: ValueError: no"),
        (
            RetryLater(1.0, WHY, False),
            "recorded",
            logging.WARNING,
            "an outage, again in 1.0 s: ValueError: no",
        ),
        (GiveUp("contract", WHY), "recorded", logging.ERROR, "gave up (contract): ValueError: no"),
        (DONE, "over", logging.INFO, "dropped an outcome: the run has ended"),
        (DONE, "stale", logging.WARNING, "dropped an outcome: another worker has taken the job over"),
        (DONE, "unlocked", logging.WARNING, "dropped an outcome: the lock was lost; the job comes again"),
    ],
)
def test_the_log_has_one_line_for_each_outcome(
    outcome: Outcome, decision: str, level: int, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mousetrap.worker")

    EventLog().recorded(JOB, outcome, decision)

    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (level, text)
    assert (record.run, record.stage, record.attempt) == ("r", "add", 1)  # type: ignore[attr-defined]
