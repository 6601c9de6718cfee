"""The counts of a worker."""

import msgspec
import pytest

from mousetrap.jobs import Done, Failure, GiveUp, Outcome, RetryLater, first_job
from mousetrap.worker import WorkerStats

JOB = first_job(run_id="r", pipeline="p", stage="add", payload=b"1", accepted_ms=5)
WHY = Failure(kind="ValueError", text="no")


@pytest.mark.parametrize(
    ("outcome", "decision", "counts"),
    [
        (Done(msgspec.Raw(b"2")), "recorded", (1, 0)),
        (Done(msgspec.Raw(b"2")), "stale", (0, 0)),
        (RetryLater(1.0, WHY), "recorded", (0, 1)),
        (RetryLater(1.0, WHY, counted=False), "recorded", (0, 0)),
        (GiveUp("contract", WHY), "recorded", (0, 1)),
        (GiveUp("contract", WHY), "over", (0, 0)),
    ],
)
def test_an_attempt_counts_once_it_is_recorded(
    outcome: Outcome, decision: str, counts: tuple[int, int]
) -> None:
    stats = WorkerStats()

    stats.recorded(JOB, outcome, decision)

    assert (stats.done, stats.failed) == counts


def test_a_refused_message_counts_as_failed() -> None:
    stats = WorkerStats()

    stats.refused("adds", WHY)

    assert (stats.done, stats.failed) == (0, 1)
