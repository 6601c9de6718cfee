"""What is drawn of a run, and of a day."""

import asyncio
import re
from typing import Any

import pytest

from mousetrap.api_keys import Caller, Scope
from mousetrap.charts import day_charts
from mousetrap.dashboard.facts import Facts, LastKnown
from mousetrap.dashboard.pages.run_pictures import Pictures, run_pictures
from mousetrap.dashboard.render import Templates
from mousetrap.dashboard.view import Query, View
from mousetrap.shapes import Arrow, Event, Fan, Minute, Pipeline, ReadyAt, Run, RunState, Stage
from support.dashboard import Answers

NOON_MS = 1_796_040_000_000
HOSTILE = "<b>&\"'</b>"


def a_stage(name: str, **more: Any) -> Stage:
    return Stage(name=name, queue=name, input={}, output={}, **more)


CHAIN = Pipeline(
    name="chain",
    description="",
    stages=(a_stage("fetch"), a_stage("store")),
    arrows=(Arrow(source="fetch", target="store", kind="next"),),
)
FANNED = Pipeline(
    name="fanned",
    description="",
    stages=(a_stage("list"), a_stage("read", edge="each", inside=("list",)), a_stage("sum")),
    arrows=(
        Arrow(source="list", target="read", kind="each"),
        Arrow(source="read", target="sum", kind="gather"),
    ),
)


def a_run(*events: tuple[int, str, str], **more: Any) -> Run:
    timeline = tuple(
        Event(id=f"{at}-0", kind=kind, at_ms=NOON_MS + at, job=job or None)
        for at, kind, job in ((0, "accepted", ""), *events)
    )
    usual = {"pipeline": "chain", "stage": "fetch", "accepted_ms": NOON_MS, "updated_ms": NOON_MS}
    return Run(**{"id": "r1", "state": RunState.RUNNING, "timeline": timeline, **usual, **more})


def a_job(name: str, state: str, began: int, ended: int | None, **more: Any) -> dict[str, Any]:
    outcome = state if state in ("done", "failed") else ""
    ended_ms = None if ended is None else NOON_MS + ended
    attempt = {
        "number": 1,
        "worker": "w1",
        "began_ms": NOON_MS + began,
        "ended_ms": ended_ms,
        "outcome": outcome,
    }
    times = {"began_ms": NOON_MS + began, "ended_ms": ended_ms, "attempt": 1, "attempts": [attempt]}
    return {"id": name, "stage": name, "state": state, **times, **more}


def draw(answers: Answers, run: Run, pipeline: Pipeline | None, **query: str) -> Pictures:
    view = View(
        "/runs/{run}",
        {"run": "r1"},
        Query(tuple(query.items())),
        Caller("", frozenset(Scope)),
        "",
        "",
        NOON_MS + 5000,
    )
    facts = Facts(answers, view.visitor, "", LastKnown())
    return asyncio.run(run_pictures(view, facts, run, pipeline))


def filled(macro: str, it: Any) -> str:
    text = getattr(Templates("v")._env.globals["draw"], macro)(it)
    return str(text)


@pytest.fixture
def chain(answers: Answers) -> Run:
    jobs = [a_job("fetch", "done", 100, 1100), a_job("store", "running", 1200, None)]
    answers.given["GET /runs/r1/jobs"] = (200, {"jobs": jobs, "next": None})
    return a_run((100, "started", "fetch"), (1100, "finished", "fetch"), (1200, "started", "store"))


def test_stages_have_their_state_and_the_way_that_was_taken(answers: Answers, chain: Run) -> None:
    graph = draw(answers, chain, CHAIN).graph

    assert graph is not None
    fetch, store = graph.nodes.values()
    assert (fetch.state, fetch.note, store.state) == ("completed", "1 s", "running")
    assert graph.labels["fetch", "store", "next"].taken
    assert fetch.href == "/ui/runs/r1?tab=jobs&stage=fetch"


def test_stages_are_a_table_too(answers: Answers, chain: Run) -> None:
    text = filled("run", draw(answers, chain, CHAIN))

    assert re.search(r'<th scope="row">fetch</th><td>store \(next\)', text)


def test_attempts_are_drawn_over_time_and_are_a_table_too(answers: Answers, chain: Run) -> None:
    text = filled("run", draw(answers, chain, CHAIN))

    assert text.count('<svg class="gantt ') == 2
    assert "fetch attempt 1: ran, 1 s, from 2026-11-30 12:00:00.100" in text
    assert re.search(r"waited in the queue 100 ms, then\s+ran 3.8 s", text)
    assert 'href="/ui/runs/r1?scale=true"' in text and 'href="/ui/runs/r1?only=store-1"' in text


def test_one_attempt_and_the_true_scale_are_addresses(answers: Answers, chain: Run) -> None:
    alone = draw(answers, chain, CHAIN, only="fetch-1", tab="logs")

    assert [lane.row.name for lane in alone.wide.lanes] == ["fetch-1"]
    assert alone.scales[0] == ("folded", "/ui/runs/r1?tab=logs")
    assert dict(alone.scales)["fetch-1"] is None


def test_children_are_one_row_with_the_counts_of_all(answers: Answers) -> None:
    jobs = "GET /runs/r1/jobs?stage"
    opener = {"jobs": [a_job("list", "done", 100, 200)], "next": None}
    answers.given |= {
        f"{jobs}=list&limit=100": (200, opener),
        f"{jobs}=sum&limit=100": (200, {"jobs": [], "next": None}),
    }
    for index in (0, 1999, 3999):
        child = {**a_job(f"c{index}", "done", index, index + 9), "stage": "read", "index": [index]}
        answers.given[f"{jobs}=read&limit=1&after=read%3A{index}"] = (
            200,
            {"jobs": [child], "next": "read:1"},
        )
    for index in (5999, 7999, 9999):
        answers.given[f"{jobs}=read&limit=1&after=read%3A{index}"] = (200, {"jobs": [], "next": None})
    fan = Fan(job="list", stage="list", state="closed", opened=10_000, total=10_000, done=5_310, lost=3)

    pictures = draw(answers, a_run(pipeline="fanned", fans=(fan,)), FANNED)

    text = filled("run", pictures)
    assert "5,310/10,000" in text and "5,310 of 10,000" in text
    assert "a sample is drawn" in text and "about 1,000 began in a second" in text
    assert [rate.count for rate in pictures.rows[1].rates] == [1999, 2000, 1314]
    assert pictures.rows[1].state == "failed"


def test_a_run_of_an_unknown_pipeline_has_what_its_jobs_show(answers: Answers) -> None:
    problem = {"status": 404, "title": "There is no such pipeline", "detail": "it is gone"}
    answers.given["GET /runs/r1/jobs"] = (404, problem)

    pictures = draw(answers, a_run(), None)

    assert pictures.graph is None
    assert "<svg" not in filled("run", pictures)


def test_no_text_of_a_run_is_markup(answers: Answers, chain: Run) -> None:
    job = a_job(HOSTILE, "failed", 100, 900, failure={"kind": HOSTILE, "text": HOSTILE})
    answers.given["GET /runs/r1/jobs"] = (200, {"jobs": [job], "next": None})

    text = filled("run", draw(answers, a_run(), None))

    assert HOSTILE not in text and "&lt;b&gt;" in text


def test_the_day_of_a_queue_is_three_charts_and_a_table() -> None:
    minutes = [Minute(at_ms=NOON_MS - ago * 60_000, begun=1, done=1, wait_ms=500) for ago in range(1440)]
    ready = [ReadyAt(at_ms=NOON_MS - ago * 60_000, ready=ago) for ago in range(1440)]

    text = filled("day", day_charts(minutes, ready, NOON_MS))

    assert text.count("<figure") == 3 and text.count("<tr>") == 1 + 24
    assert len(text) < 60_000
    assert not re.search(r"\sstyle=|None|nan", text)
