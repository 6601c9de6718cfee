"""Counts of a worker's attempts, by stage, from its events."""

import msgspec

from mousetrap.jobs import Done, Failure, GiveUp, Job, RetryLater, first_job
from mousetrap.stage_minutes import Counts, StageCounts

WHY = Failure(kind="ValueError", text="no", traceback="")
DONE = Done(msgspec.Raw(b"2"))
AGAIN = RetryLater(3.0, WHY)


def a_job(stage: str = "add", run_id: str = "r") -> Job:
    return first_job(run_id=run_id, pipeline="p", stage=stage, payload=b"1", accepted_ms=5)


class Times:
    """Both clocks of a worker."""

    def __init__(self) -> None:
        self.at = 1_000.25

    def __call__(self) -> float:
        return self.at


def counting() -> tuple[StageCounts, Times]:
    times = Times()
    counts = StageCounts(times, times)
    counts.queues = {("p", "add"): "adds"}
    return counts, times


def test_attempts_are_counted_with_how_long_they_waited_and_ran() -> None:
    counts, times = counting()
    counts.started(a_job(), 1_000_050, times.at)
    counts.ended(a_job(), DONE, 0.5)
    counts.recorded(a_job(), DONE, "recorded")

    assert counts.take() == {"p.add": Counts(begun=1, done=1, wait_ms=200, run_ms=500)}
    assert counts.take() == {}


def test_a_wait_of_whole_seconds_is_right_in_the_mean() -> None:
    counts, times = counting()
    for quarter in range(4):  # published at a quarter of a second, begun at the same one a second later
        times.at = 2_000 + quarter / 4
        counts.started(a_job(), 1_999_000, times.at)

    assert counts.take() == {"p.add": Counts(begun=4, wait_ms=4_000)}


def test_a_clock_that_is_behind_and_a_time_that_is_unknown_count_as_no_wait() -> None:
    counts, times = counting()
    counts.started(a_job(), 5_000_001, times.at)
    counts.started(a_job(), 0, times.at)

    assert counts.take() == {"p.add": Counts(begun=2)}


def test_each_end_is_counted_once_and_what_was_not_recorded_never() -> None:
    counts, _ = counting()
    fallen_back = msgspec.structs.replace(DONE, instead_of=GiveUp("max-retries", WHY))
    for outcome in (DONE, AGAIN, GiveUp("contract", WHY), fallen_back):
        counts.recorded(a_job(), outcome, "recorded")
        counts.recorded(a_job(), outcome, "stale")

    assert counts.take() == {"p.add": Counts(done=1, retried=1, failed=2)}


def test_an_attempt_that_is_stopped_has_no_end() -> None:
    counts, times = counting()
    for stopped in (counts.lease_lost, counts.cancelled):
        counts.started(a_job(), 0, times.at)
        stopped(a_job())

    assert counts.take() == {"p.add": Counts(begun=2)}


def test_each_stage_and_each_pipeline_has_counts_of_its_own() -> None:
    counts, _ = counting()
    other = msgspec.structs.replace(a_job(), pipeline="q")
    for job in (a_job(), a_job("double"), other, a_job(), other):
        counts.ended(job, DONE, 0.25)
        counts.recorded(job, DONE, "recorded")

    assert counts.take() == {
        "p.add": Counts(done=2, run_ms=500),
        "p.double": Counts(done=1, run_ms=250),
        "q.add": Counts(done=2, run_ms=500),
    }
    counts.recorded(other, DONE, "recorded")
    assert counts.take() == {"q.add": Counts(done=1)}
    assert counts.done == 6


def test_what_comes_later_is_noted_with_its_due_time() -> None:
    counts, _ = counting()
    counts.recorded(a_job(), AGAIN, "recorded")
    counts.parked(a_job(run_id="other"), "adds", 10.0)
    counts.recorded(a_job("elsewhere"), AGAIN, "recorded")  # of no queue that this worker knows

    assert counts.take_later() == {
        "adds": {a_job().id: 1_003_250, a_job(run_id="other").id: 1_010_250},
    }
    assert counts.take_later() == {}


def test_counts_that_could_not_be_sent_are_taken_once_more() -> None:
    counts, times = counting()
    counts.started(a_job(), 0, times.at)
    taken = counts.take()
    counts.recorded(a_job(), DONE, "recorded")

    counts.put_back(taken)

    assert counts.done == 1
    assert counts.take() == {"p.add": Counts(begun=1, done=1)}
    assert counts.done == 1
    counts.put_back({"p.add": Counts(done=1)})
    assert counts.done == 1
