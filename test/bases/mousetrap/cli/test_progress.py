"""The state of each stage, derived from a run's events."""

import pytest

from mousetrap.cli.progress import (
    Stages,
    StageSeen,
    advance,
    counts_in_words,
    how_far,
    waiting,
    waiting_stages,
)
from mousetrap.shapes import Event, Failure, Progress, Stage


def after(*events: Event | Progress) -> Stages:
    stages = waiting(("fetch", "process"))
    for each in events:
        stages = advance(stages, each)
    return stages


def event(kind: str, at_ms: int, stage: str | None = "fetch", attempt: int = 1, why: str = "") -> Event:
    failure = Failure(kind="Error", text=why) if why else None
    return Event(
        id=f"{at_ms}-0", kind=kind, at_ms=at_ms, stage=stage, attempt=attempt, worker="w1", failure=failure
    )


WAITING = StageSeen(name="process")


def test_a_stage_waits_until_it_starts() -> None:
    assert after() == (StageSeen(name="fetch"), WAITING)


def test_a_started_stage_runs() -> None:
    (fetch, process) = after(event("started", 10))
    assert (fetch.state, fetch.attempt, fetch.worker, fetch.began_ms) == ("running", 1, "w1", 10)
    assert process == WAITING


def test_a_retried_stage_reports_why_and_counts_from_its_first_start() -> None:
    retrying, _ = after(event("started", 10), event("retrying", 20, why="no answer"))
    assert (retrying.state, retrying.note, retrying.ended_ms) == ("retrying", "Error: no answer", None)

    again, _ = after(
        event("started", 10), event("retrying", 20, why="no answer"), event("started", 30, attempt=2)
    )
    assert (again.state, again.note, again.attempt, again.began_ms) == ("running", "", 2, 10)


def test_a_finished_stage_is_done_whatever_progress_comes_late() -> None:
    done, _ = after(event("started", 10), event("finished", 20), Progress(stage="fetch", done=3))
    assert (done.state, done.ended_ms, done.note) == ("done", 20, "")


def test_a_stage_that_gave_up_has_failed_with_its_reason() -> None:
    failed, _ = after(event("started", 10), event("gave_up", 20, why="refused"))
    assert (failed.state, failed.note, failed.ended_ms) == ("failed", "Error: refused", 20)


def test_a_stage_that_was_handed_back_waits_again() -> None:
    (fetch, _) = after(event("started", 10), event("handed_back", 20))
    assert fetch.state == "waiting"


def test_a_running_stage_reports_how_far_it_is() -> None:
    (fetch, _) = after(event("started", 10), Progress(stage="fetch", done=3, total=12, note="pages"))
    assert fetch.note == "3 of 12 pages"


def test_a_stage_without_a_place_joins_at_the_end() -> None:
    assert [stage.name for stage in after(event("started", 10, stage="extra"))] == [
        "fetch",
        "process",
        "extra",
    ]


def test_the_end_of_the_run_changes_no_stage() -> None:
    assert after(event("completed", 30, stage=None)) == after()


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (Progress(stage="s", done=0.4, total=1), "40%"),
        (Progress(stage="s", done=3, total=12, note="pages"), "3 of 12 pages"),
        (Progress(stage="s", done=3, note="pages"), "3 pages"),
        (Progress(stage="s", done=65_349, total=1_141_430), "65,349 of 1,141,430"),
        (Progress(stage="s", done=2.5, total=0), "2.5 of 0"),
        (Progress(stage="s", done=7312, total=10_000, lost=3), "7,312 of 10,000, 3 lost"),
        (Progress(stage="s", done=7312, total=10_000, lost=0), "7,312 of 10,000"),
        (Progress(stage="s", done=500, lost=0), "500 so far"),
    ],
)
def test_progress_is_shown_in_fitting_words(progress: Progress, words: str) -> None:
    assert how_far(progress) == words


def of_children(*events: Event | Progress) -> Stages:
    """A run that finds, reads and sums each page of what it found, and prints."""
    nothing: dict[str, object] = {}
    inside = {"read": ("find",), "sum": ("find", "read")}
    stages = waiting_stages(
        Stage(name=name, queue=name, input=nothing, output=nothing, inside=inside.get(name, ()))
        for name in ("find", "read", "sum", "print")
    )
    for each in events:
        stages = advance(stages, each)
    return stages


def counted(done: int, lost: int) -> Progress:
    return Progress(stage="find", done=done, total=10, lost=lost)


BEGUN = (
    event("started", 10, "find"),
    event("opened", 15, "find"),
    event("finished", 20, "find"),
    event("closed", 20, "find"),
    counted(7, 1),
)


def test_children_are_counted_at_the_stage_that_takes_the_items() -> None:
    find, read, inner, last = of_children(*BEGUN)

    assert (find.state, find.note) == ("done", "")
    assert (read.state, read.note, read.began_ms) == ("running", "7 of 10, 1 lost", 15)
    assert (inner.state, inner.note, last.state) == ("running", "", "waiting")


def test_what_one_child_does_is_not_what_its_stage_does() -> None:
    _, read, *_ = of_children(*BEGUN, event("gave_up", 30, "read", why="no"))

    assert (read.state, read.note, read.ended_ms) == ("running", "7 of 10, 1 lost", None)


def test_stages_of_children_are_done_when_the_join_follows() -> None:
    fired = Event(id="40-0", kind="fired", at_ms=40, value={"total": 10, "done": 8, "lost": 2})
    _, read, inner, last = of_children(*BEGUN, fired)

    assert (read.state, read.note, read.ended_ms) == ("done", "8 of 10 done, 2 lost", 40)
    assert (inner.state, last.state) == ("done", "waiting")


def test_stages_of_children_have_failed_with_their_run_until_a_redrive_goes_on() -> None:
    failed = Event(id="40-0", kind="failed", at_ms=40)
    _, read, *_ = of_children(*BEGUN, failed)
    assert (read.state, read.note) == ("failed", "7 of 10, 1 lost")

    _, read, *_ = of_children(*BEGUN, failed, counted(7, 0))
    assert (read.state, read.note, read.ended_ms) == ("running", "7 of 10", None)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"total": 10_000}, "10,000 children"),
        ({"total": 3, "done": 3, "lost": 0}, "3 of 3 done"),
        ({"total": 3, "done": 2, "lost": 1}, "2 of 3 done, 1 lost"),
        ("nothing", ""),
        ({"total": "many"}, ""),
    ],
)
def test_counts_of_an_event_are_shown_in_words(counts: object, words: str) -> None:
    assert counts_in_words(counts) == words
