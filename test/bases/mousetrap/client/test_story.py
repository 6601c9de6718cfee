"""Tests what a client writes of a run that failed."""

from mousetrap.client.story import story_of
from mousetrap.shapes import Event, Failure, Fan, Run, RunState

_FAILURE = Failure(kind="ValueError", text="no number", traceback="")


def a_run(**more: object) -> Run:
    facts = {"id": "r1", "pipeline": "week", "state": RunState.FAILED, "stage": "days", "accepted_ms": 0}
    gave_up = Event(id="2-0", kind="gave_up", at_ms=20, stage="clean", attempt=3, failure=_FAILURE)
    return Run(**{**facts, "updated_ms": 20, "failure": _FAILURE, "timeline": (gave_up,), **more})  # type: ignore[arg-type]


def test_a_failed_fan_out_has_the_stage_that_failed_and_the_redrive_that_repairs_it() -> None:
    fan = Fan(job="j1", stage="days", state="closed", opened=8, total=8, done=5, lost=3, needs=7)

    story = story_of(a_run(fans=(fan,)))

    assert "run r1 of week failed at stage 'clean' after 3 attempts: ValueError: no number" in story
    assert "`mousetrap dead redrive --run r1`" in story
    assert "rerun" not in story


def test_a_failed_chain_is_repeated_from_where_it_failed() -> None:
    assert 'run.rerun(begin="failed")' in story_of(a_run(stage="clean"))
