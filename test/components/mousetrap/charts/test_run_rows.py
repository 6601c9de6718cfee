"""Rows of a run, by its timeline and its jobs."""

from typing import Any

from mousetrap.charts import Part, Rate, Span, rows_of
from mousetrap.shapes import (
    Arrow,
    Attempt,
    Event,
    FailureLine,
    Fan,
    JobLine,
    JobState,
    Pipeline,
    Run,
    RunState,
    Stage,
)

WHY = FailureLine(kind="feeds.FeedUnavailable", text="the feed answers 503")
HOUR_MS = 3_600_000


def a_run(*events: tuple[int, str, str], state: RunState = RunState.RUNNING, **more: Any) -> Run:
    timeline = tuple(
        Event(id=f"{index}-0", kind=kind, at_ms=at_ms, job=job or None)
        for index, (at_ms, kind, job) in enumerate([(100, "accepted", ""), *events])
    )
    usual = {"id": "r", "pipeline": "p", "stage": "a", "accepted_ms": 100, "updated_ms": 9_000}
    return Run(**{**usual, "state": state, "timeline": timeline, **more})


def a_job(name: str, state: JobState, *attempts: Attempt, **more: Any) -> JobLine:
    return JobLine(id=name, stage=name, state=state, attempts=attempts, attempt=len(attempts), **more)


def done(began_ms: int, ended_ms: int, outcome: str = "done", number: int = 1) -> Attempt:
    failure = WHY if outcome in ("retrying", "failed") else None
    return Attempt(number=number, began_ms=began_ms, ended_ms=ended_ms, outcome=outcome, failure=failure)


def a_pipeline(*names: str, arrows: tuple[Arrow, ...] = ()) -> Pipeline:
    stages = tuple(Stage(name=name, queue=name, input={}, output={}) for name in names)
    return Pipeline(name="p", description="", stages=stages, arrows=arrows)


def test_a_job_waits_from_what_led_to_it() -> None:
    run = a_run((150, "started", "a"), (300, "finished", "a"), (340, "started", "b"), (400, "finished", "b"))
    jobs = [a_job("a", JobState.DONE, done(150, 300)), a_job("b", JobState.DONE, done(340, 400))]

    rows = rows_of(run, jobs, None, 9_999)

    assert [(row.name, row.state, row.attempt) for row in rows] == [("a-1", "done", 1), ("b-1", "done", 1)]
    assert rows[0].parts == (Part("waited", 100, 150), Part("ran", 150, 300))
    assert rows[1].parts == (Part("waited", 300, 340), Part("ran", 340, 400))


def test_an_attempt_that_comes_again_was_delayed() -> None:
    run = a_run((150, "started", "a"), (300, "retrying", "a"), (HOUR_MS, "started", "a"))
    job = a_job("a", JobState.RUNNING, done(150, 300, "retrying"), Attempt(number=2, began_ms=HOUR_MS))

    first, second = rows_of(run, [job], None, HOUR_MS + 50)

    assert first.parts[-1] == Part("failed", 150, 300)
    assert (first.state, first.failure) == ("retrying", "FeedUnavailable: the feed answers 503")
    assert second.parts == (Part("delayed", 300, HOUR_MS), Part("ran", HOUR_MS, HOUR_MS + 50))
    assert second.state == "running"


def test_the_attempt_that_it_waits_for_has_a_row() -> None:
    run = a_run((150, "started", "a"), (300, "retrying", "a"), state=RunState.RETRYING)

    _, second = rows_of(run, [a_job("a", JobState.RETRYING, done(150, 300, "retrying"))], None, 900)

    assert (second.attempt, second.state, second.parts) == (2, "retrying", (Part("delayed", 300, 900),))


def test_a_lock_is_waited_for_from_when_it_was_asked_for() -> None:
    run = a_run((250, "waiting", "a"), (600, "started", "a"))

    (row,) = rows_of(run, [a_job("a", JobState.RUNNING, Attempt(number=1, began_ms=600))], None, 700)

    assert row.parts == (Part("waited", 100, 250), Part("locked", 250, 600), Part("ran", 600, 700))


def test_a_submitter_s_delay_comes_before_the_queue() -> None:
    run = a_run((900, "started", "a"), due_ms=800)

    (row,) = rows_of(run, [a_job("a", JobState.RUNNING, Attempt(number=1, began_ms=900))], None, 950)

    assert row.parts[:2] == (Part("delayed", 100, 800), Part("waited", 800, 900))


def test_a_worker_that_died_ends_where_the_next_took_over() -> None:
    run = a_run((150, "started", "a"), (500, "started", "a"))
    job = a_job("a", JobState.RUNNING, Attempt(number=1, began_ms=150), Attempt(number=1, began_ms=500))

    first, second = rows_of(run, [job], None, 600)

    assert (first.state, first.parts[-1]) == ("lost", Part("lost", 150, 500))
    assert second.parts == (Part("ran", 500, 600),)


def test_a_job_that_was_given_up_waits_from_its_redrive() -> None:
    run = a_run(
        (150, "started", "a"), (300, "gave_up", "a"), (5_000, "redriven", "a"), (5_100, "started", "a")
    )
    job = a_job("a", JobState.DONE, done(150, 300, "failed"), done(5_100, 5_200))

    _, second = rows_of(run, [job], None, 6_000)

    assert second.parts == (Part("waited", 5_000, 5_100), Part("ran", 5_100, 5_200))


def test_children_are_one_row_with_their_counts() -> None:
    fan = Fan(job="a", stage="a", state="closed", opened=3, total=3, done=1, lost=1)
    run = a_run((150, "started", "a"), (300, "finished", "a"), fans=(fan,))
    children = [
        JobLine(id="1", stage="b", state=JobState.DONE, index=(0,), began_ms=310, ended_ms=400),
        JobLine(id="2", stage="b", state=JobState.FAILED, index=(1,), began_ms=320, ended_ms=500),
        JobLine(id="3", stage="b", state=JobState.RUNNING, index=(2,), began_ms=330),
    ]
    pipeline = a_pipeline("a", "b", "c", arrows=(Arrow(source="a", target="b", kind="each"),))

    _, row, last = rows_of(run, [a_job("a", JobState.DONE, done(150, 300)), *children], pipeline, 700)

    assert row.spans == (Span(310, 400), Span(320, 500, failed=True), Span(330, 700))
    assert (row.fan, row.counts, row.state) == (fan, {"done": 1, "failed": 1, "running": 1}, "failed")
    assert (last.stage, last.parts, last.state) == ("c", (), "")


def test_a_sample_of_many_children_shows_how_fast_they_began() -> None:
    fan = Fan(job="a", stage="a", state="closed", opened=1000, total=1000, done=700, lost=0)
    found = ((0, 300), (249, 500), (499, 400), (749, None))
    children = [
        JobLine(id=str(index), stage="b", state=JobState.DONE, index=(index,), began_ms=began)
        for index, began in found
    ]
    pipeline = a_pipeline("a", "b", arrows=(Arrow(source="a", target="b", kind="each"),))

    _, row = rows_of(a_run(fans=(fan,)), children, pipeline, 900)

    assert row.rates == (Rate(300, 500, 249), Rate(400, 900, 201))
    assert (row.state, row.rates[0].per_second) == ("done", 1245)


def test_stages_that_an_ended_run_did_not_come_to_have_no_row() -> None:
    run = a_run((150, "started", "a"), (300, "gave_up", "a"), state=RunState.FAILED, finished_ms=300)

    rows = rows_of(run, [a_job("a", JobState.FAILED, done(150, 300, "failed"))], a_pipeline("a", "b"), 9_999)

    assert [row.stage for row in rows] == ["a"]


def test_of_many_attempts_the_newest_have_rows() -> None:
    attempts = [done(100 * n, 100 * n + 50, "retrying", n) for n in range(1, 61)]

    rows = rows_of(a_run(), [a_job("a", JobState.RUNNING, *attempts)], None, 9_000)

    assert len(rows) == 20
    assert (rows[0].attempt, rows[0].earlier, rows[1].earlier) == (41, 40, 0)
