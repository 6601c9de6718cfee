"""Why a run waits, on a terminal of 80 columns."""

from dataclasses import replace

from mousetrap.cli.tables.waiting import waiting_lines, waits_at
from mousetrap.shapes import Reason, RunState, Waiting, WaitsFor
from support.terminal import shown

NO_WORKER = Reason(
    kind=WaitsFor.WORKER,
    text="No worker serves data_processing; the last one, host-4711-9f3c, is stale and was seen 3 min ago.",
    since_ms=1,
    age_seconds=184.0,
    evidence={},
    advice="mousetrap worker TARGET, with the handler of earthquakes.process",
)
CHILDREN = Reason(
    kind=WaitsFor.CHILDREN,
    text="It waits for the jobs that find opened: 7 of 10 done.",
    evidence={},
    advice="mousetrap jobs r",
)


def waiting(*reasons: Reason, waits: bool = True) -> Waiting:
    return Waiting(run_id="r", state=RunState.QUEUED, waits=waits, headline=reasons[0], also=reasons[1:])


def test_a_run_that_waits_shows_why_and_what_to_do() -> None:
    assert shown(waiting_lines(waiting(NO_WORKER, CHILDREN))) == (
        "waits     No worker serves data_processing; the last one, host-4711-9f3c, is\n"
        "          stale and was seen 3 min ago. (for 3 min)\n"
        "          mousetrap worker TARGET, with the handler of earthquakes.process\n"
        "also      It waits for the jobs that find opened: 7 of 10 done.\n"
        "          mousetrap jobs r"
    )


def test_a_run_that_a_worker_has_is_shown_as_that() -> None:
    runs = Reason(
        kind=WaitsFor.RUNNING,
        text="It does not wait: worker w1 has attempt 1 of fetch since 7.0 s.",
        evidence={},
    )

    assert shown(waiting_lines(waiting(runs, waits=False))).startswith("runs      It does not wait")


def test_what_the_head_shows_is_not_repeated() -> None:
    aside = Reason(kind=WaitsFor.PUT_ASIDE, text="Its message is a dead letter of q (expired).", evidence={})

    assert shown(waiting_lines(waiting(aside))) == ""


def test_the_stage_that_waits_is_known_by_its_job_and_not_by_what_opened_it() -> None:
    at_sum = replace(NO_WORKER, evidence={"stage": "sum", "queue": "sums"})
    opened = replace(CHILDREN, evidence={"stage": "find", "total": 10})

    assert waits_at(waiting(NO_WORKER, at_sum, opened)) == "sum"
    assert waits_at(waiting(NO_WORKER, opened)) == ""
