"""The state of each stage, derived from a run's events."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from mousetrap.cli.progress import (
    Stages,
    StageSeen,
    advance,
    counts_in_words,
    ended,
    how_far,
    open_branches,
    shown_at,
    unsettled,
    waiting,
    waiting_stages,
    with_jobs,
)
from mousetrap.shapes import Event, Failure, FailureLine, Fan, JobLine, JobState, Progress, Stage


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
        (Progress(stage="s", done=7309, total=10_000, lost=3), "7,312 of 10,000, 3 lost"),
        (Progress(stage="s", done=7312, total=10_000, lost=0), "7,312 of 10,000"),
        (Progress(stage="s", done=500, lost=0), "500 so far"),
    ],
)
def test_progress_is_shown_in_fitting_words(progress: Progress, words: str) -> None:
    assert how_far(progress) == words


def staged(*stages: Stage, events: Sequence[Event | Progress] = ()) -> Stages:
    seen = waiting_stages(stages)
    for each in events:
        seen = advance(seen, each)
    return seen


def stage(name: str, *after: str, inside: tuple[str, ...] = (), **more: Any) -> Stage:
    return Stage(name=name, queue=name, input={}, output={}, after=after, inside=inside, **more)


PAPERS = (
    stage("find"),
    stage("read", "find", inside=("find",), edge="each"),
    stage("sum", "read", inside=("find", "read")),
    stage("print", "sum", edge="gather"),
)


def of_children(*events: Event | Progress) -> Stages:
    """A run that finds, reads and sums each page of what it found, and prints."""
    return staged(*PAPERS, events=events)


def counted(done: int, lost: int) -> Progress:
    return Progress(stage="find", done=done, total=10, lost=lost)


def about_find(kind: str, at_ms: int, total: int | None = None) -> Event:
    value = {} if total is None else {"total": total}
    return Event(id=f"{at_ms}-0", kind=kind, at_ms=at_ms, stage="find", job="j1", attempt=1, value=value)


def fired(at_ms: int, job: str = "j1", **counts: int) -> Event:
    return Event(id=f"{at_ms}-0", kind="fired", at_ms=at_ms, job=job, value=counts or None)


def states(stages: Stages) -> dict[str, str]:
    return {stage.name: stage.state for stage in stages}


BEGUN = (
    about_find("started", 10),
    about_find("opened", 15),
    about_find("finished", 20),
    about_find("closed", 20, 10),
    counted(6, 1),
)
GAVE_UP = event("gave_up", 30, "read", why="no")
FAILED = Event(id="40-0", kind="failed", at_ms=40)


def test_children_are_counted_at_the_stage_that_takes_the_items() -> None:
    find, read, inner, last = of_children(*BEGUN)

    assert (find.state, find.note) == ("done", "")
    assert (read.state, read.note, read.began_ms) == ("running", "7 of 10, 1 lost", 15)
    assert (inner.state, inner.note, last.state) == ("running", "", "waiting")


def test_what_one_child_does_is_not_what_its_stage_does() -> None:
    _, read, *_ = of_children(*BEGUN, GAVE_UP)

    assert (read.state, read.note, read.ended_ms) == ("running", "7 of 10, 1 lost", None)


def test_stages_of_children_are_done_when_the_join_follows() -> None:
    lost = [event("gave_up", at_ms, "sum", why="no") for at_ms in (30, 31)]
    _, read, inner, last = of_children(*BEGUN, *lost, fired(40, total=10, done=8, lost=2))

    assert (read.state, read.note, read.ended_ms) == ("done", "8 of 10 done, 2 lost", 40)
    assert (inner.state, inner.note, last.state) == ("done", "2 given up", "waiting")


def test_a_fan_that_fires_ends_no_stage_of_another_one() -> None:
    assert states(of_children(*BEGUN, fired(40, "another")))["read"] == "running"


def test_a_stage_that_no_job_came_to_has_not_run() -> None:
    none = of_children(*BEGUN[:3], about_find("closed", 20, 0), fired(20, total=0, done=0, lost=0))
    assert states(none) == {"find": "done", "read": "not run", "sum": "not run", "print": "waiting"}

    end = fired(40, total=10, done=10, lost=0)
    seen = of_children(*BEGUN, end)
    assert unsettled(seen, end) == ["read", "sum"]
    assert states(with_jobs(seen, {"read": job(JobState.DONE), "sum": None}, decided=True)) == {
        "find": "done",
        "read": "done",
        "sum": "not run",
        "print": "waiting",
    }


def test_of_stages_of_children_those_that_lost_one_have_failed_with_their_run_until_a_redrive_goes_on() -> (
    None
):
    seen = of_children(*BEGUN, GAVE_UP, FAILED)
    assert unsettled(seen, FAILED) == ["find", "read", "sum"]
    _, read, inner, last = failed = ended(seen, FAILED)
    assert (read.state, read.note) == ("failed", "7 of 10, 1 lost")
    assert (inner.state, last.state) == ("goes on", "not run")

    _, read, *_ = advance(failed, counted(7, 0))
    assert (read.state, read.note, read.ended_ms) == ("running", "7 of 10", None)


@pytest.mark.parametrize(
    ("done", "states_of", "note"),
    [
        (5, ("failed", "goes on"), "7 of 10, 2 lost: needs 9 done"),
        (8, ("failed", "done"), "10 of 10, 2 lost: needs 9 done"),
    ],
)
def test_what_goes_on_beside_a_failure_is_what_is_not_decided_at_the_end(
    done: int, states_of: tuple[str, str], note: str
) -> None:
    """The last counts that came can be older than the end."""
    fan = Fan(job="j1", stage="find", state="closed", opened=10, total=10, done=done, lost=2, needs=9)
    opener = replace(job(JobState.DONE), children=fan)
    seen = with_jobs(of_children(*BEGUN, GAVE_UP, FAILED), {"find": opener}, decided=True)

    _, read, inner, _ = ended(seen, FAILED)
    assert ((read.state, inner.state), read.note) == (states_of, note)


# Forks


def job(state: JobState, output: Any = None, why: str = "") -> JobLine:
    failure = FailureLine(kind="Error", text=why) if why else None
    return JobLine(
        id="j",
        stage="s",
        state=state,
        attempt=2,
        worker="w1",
        began_ms=21,
        ended_ms=29,
        output=output,
        failure=failure,
    )


SHOP = (
    stage("find"),
    stage("price", "find", inside=("find",), skips=True),
    stage("stock", "find", inside=("find",)),
    stage("answer", "price", "stock", edge="join"),
)
FORKED = (about_find("started", 10), about_find("finished", 20), about_find("closed", 20, 2))


def test_a_branch_has_the_state_of_its_job_and_no_counts() -> None:
    counts = Progress(stage="find", done=1, total=2, lost=0)
    seen = staged(*SHOP, events=(*FORKED, counts))

    assert states(seen) == {"find": "done", "price": "waiting", "stock": "waiting", "answer": "waiting"}
    assert [each.note for each in seen] == ["", "", "", ""]
    assert shown_at(seen, counts) == "find"
    assert open_branches(seen) == ["price", "stock"]

    looked = with_jobs(seen, {"price": job(JobState.RUNNING), "stock": job(JobState.DONE)}, decided=False)
    assert states(looked) == {"find": "done", "price": "running", "stock": "done", "answer": "waiting"}
    assert open_branches(looked) == ["price"]


def test_branches_are_not_looked_at_before_they_have_begun() -> None:
    assert open_branches(staged(*SHOP, events=FORKED[:1])) == []


def test_a_branch_that_fails_leaves_the_others_as_they_are() -> None:
    gave_up = event("gave_up", 40, "stock", why="no")
    seen = with_jobs(
        staged(*SHOP, events=(*FORKED, gave_up, FAILED)), {"price": job(JobState.RUNNING)}, decided=True
    )

    assert states(ended(seen, FAILED)) == {
        "find": "done",
        "price": "goes on",
        "stock": "failed",
        "answer": "not run",
    }


def test_a_branch_that_is_skipped_has_its_reason() -> None:
    end = fired(40, total=2, done=2, lost=0)
    seen = staged(*SHOP, events=(*FORKED, end))
    assert unsettled(seen, end) == ["price", "stock"]

    seen = with_jobs(seen, {"price": job(JobState.DONE, why="no"), "stock": job(JobState.DONE)}, decided=True)

    _, price, stock, _ = seen
    assert (price.state, price.note, stock.state) == ("skipped", "Error: no", "done")


# The end of a run


def test_of_a_run_that_was_cancelled_what_ran_has_stopped_and_the_rest_has_not_run() -> None:
    running, cancelled = after(event("started", 10)), Event(id="40-0", kind="cancelled", at_ms=40)
    assert states(ended(running, cancelled)) == {"fetch": "stopped", "process": "not run"}
    assert [each.ended_ms for each in ended(running, cancelled)] == [40, None]

    branch = with_jobs(staged(*SHOP, events=FORKED), {"price": job(JobState.OVER)}, decided=True)
    assert states(branch)["price"] == "stopped"


@pytest.mark.parametrize(
    ("options", "state"),
    [
        ({"skips": True}, "skipped"),
        ({"skips_after": True}, "skipped"),
        ({"fallback": "b"}, "fell back"),
        ({}, "failed"),
    ],
)
def test_a_stage_that_gave_up_and_let_its_run_go_on_shows_how(options: dict[str, Any], state: str) -> None:
    gave_up = event("gave_up", 40, "a", why="no")
    stages = (stage("a", **options), stage("b"))

    (first, _) = staged(*stages, events=(gave_up,))
    assert (first.state, first.note) == (state, "Error: no")


def test_what_cannot_be_handed_on_fails_with_its_run() -> None:
    events = (event("gave_up", 40, "a", why="no"), FAILED)
    assert states(staged(stage("a", skips=True), stage("b"), events=events))["a"] == "failed"

    earlier = (event("gave_up", 30, "a", why="no"), FAILED)
    assert states(staged(stage("a", skips=True), stage("b"), events=earlier))["a"] == "skipped"


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"total": 10_000}, "10,000 children"),
        ({"total": 1}, "1 child"),
        ({"total": 3, "done": 3, "lost": 0}, "3 of 3 done"),
        ({"total": 3, "done": 2, "lost": 1}, "2 of 3 done, 1 lost"),
        ("nothing", ""),
        ({"total": "many"}, ""),
    ],
)
def test_counts_of_an_event_are_shown_in_words(counts: object, words: str) -> None:
    assert counts_in_words(counts) == words
