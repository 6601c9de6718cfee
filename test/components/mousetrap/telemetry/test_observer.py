"""A worker's events reach the observers that override them, and the log."""

import logging

import msgspec
import pytest

from mousetrap.jobs import Done, Failure, GiveUp, Job, Outcome, RetryLater, first_job
from mousetrap.telemetry import EventLog, Observer, Observers

JOB = first_job(run_id="r", pipeline="p", stage="add", payload=b"1", accepted_ms=5)
WHY = Failure(kind="ValueError", text="no")
DONE = Done(msgspec.Raw(b"2"))


class Claimed(Observer):
    """Notes claims alone."""

    def __init__(self) -> None:
        self.fences: list[int] = []

    def claimed(self, job: Job, fence: int) -> None:
        self.fences.append(fence)


def test_a_child_s_line_names_which_one_it_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mousetrap.worker")
    child = JOB.child("item", b"1", index=3, fence=1)

    for job in (JOB, child, child.child("part", b"1", index=0, fence=1)):
        EventLog().recorded(job, DONE, "recorded")

    assert [record.__dict__.get("index") for record in caplog.records] == [None, "3", "3.0"]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_each_observer_gets_the_events_that_it_overrides(count: int) -> None:
    noting = [Claimed() for _ in range(count)]
    observers = Observers(EventLog(), *noting)

    observers.claimed(JOB, 7)
    observers.started(JOB, 0)

    assert [each.fences for each in noting] == [[7]] * count


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
