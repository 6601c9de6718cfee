"""The pages of pipelines, and what is drawn on them."""

import re
from typing import Any

import pytest

from support.dashboard import Answers, Pages

HOSTILE = "<script>alert(1)</script>"


def a_stage(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "queue": f"q_{name}",
        "input": {"title": "In"},
        "output": {"title": HOSTILE},
        **more,
    }


def a_queue(name: str, **more: Any) -> dict[str, Any]:
    counts = {"ready": 0, "running": 0, "delayed": 0, "dead": 0, "consumers": 1, "workers": 1, "slots": 4}
    rates = {"oldest_seconds": 0.0, "out_per_minute": 11.0, "in_per_minute": 12.0}
    return {"name": f"q_{name}", "stages": [f"papers.{name}"], "missing": False, **counts, **rates, **more}


PAPERS = {
    "name": "papers",
    "description": f"Reads papers. {HOSTILE}",
    "stages": [
        a_stage("list"),
        a_stage("read", after=["list"], edge="each", inside=["list"]),
        a_stage(
            "sum",
            after=["read"],
            edge="gather",
            need=0.95,
            attempts=5,
            timeout=60,
            lock="site",
            lock_by="url",
        ),
    ],
    "arrows": [
        {"source": "list", "target": "read", "kind": "each"},
        {"source": "read", "target": "sum", "kind": "gather"},
    ],
}
MINUTES = {
    "name": "q_read",
    "stages": [{"stage": "papers.read", "minutes": [{"at_ms": 1_796_040_000_000, "begun": 4, "done": 4}]}],
    "ready": [],
}


@pytest.fixture(autouse=True)
def answered(answers: Answers) -> None:
    queues = [
        a_queue("list"),
        a_queue("read", ready=812, running=40, delayed=3, dead=5),
        a_queue("sum", workers=0, consumers=0),
    ]
    answers.given |= {
        "GET /pipelines": (200, [PAPERS]),
        "GET /pipelines/papers": (200, PAPERS),
        "GET /queues": (200, queues),
        "GET /queues/q_list/minutes": (200, {"name": "q_list", "stages": [], "ready": []}),
        "GET /queues/q_read/minutes": (200, MINUTES),
        "GET /queues/q_sum/minutes": (200, {"name": "q_sum", "stages": [], "ready": []}),
        "GET /runs": (200, {"runs": [], "next": None}),
    }


def test_the_list_adds_up_the_queues_and_names_the_ones_without_worker(pages: Pages) -> None:
    text = pages.get("/pipelines").text

    assert 'class="n">812<' in text and 'class="n">40<' in text
    assert re.search(r"none for</span> <a href=\"/ui/queues/q_sum\">", text)
    assert 'href="/ui/pipelines/papers/start"' in text


def test_the_topics_that_are_taken_are_shown(pages: Pages, answers: Answers) -> None:
    taking = {**PAPERS, "topics": ["orders.*", "#"]}
    answers.given |= {"GET /pipelines": (200, [taking]), "GET /pipelines/papers": (200, taking)}

    assert "takes orders.*, #" in pages.get("/pipelines").text
    assert (
        "Takes what is published to <code>orders.*</code>, <code>#</code>."
        in pages.get("/pipelines/papers").text
    )


def test_a_long_list_has_pages(pages: Pages, answers: Answers) -> None:
    many = [{**PAPERS, "name": f"p{index:03}"} for index in range(150)]
    answers.given["GET /pipelines"] = (200, many)

    first, second = pages.get("/pipelines"), pages.get("/pipelines", start="100")

    assert "p099</strong>" in first.text and "p100</strong>" not in first.text
    assert "101 to 150 of 150 pipelines" in second.text
    assert len(first.content) < 100_000
    assert pages.get("/pipelines", start="-x").status_code == 200


def test_a_server_without_pipelines_names_the_next_command(pages: Pages, answers: Answers) -> None:
    answers.given["GET /pipelines"] = (200, [])

    assert "mousetrap new task hello" in pages.get("/pipelines").text


def test_the_graph_is_drawn_over_the_live_queues(pages: Pages) -> None:
    text = pages.get("/pipelines/papers").text

    assert text.count('<svg class="graph ') == 2
    assert "812 ready; 40 running; 3 delayed; 5 dead letters; 1 workers" in text
    assert "no worker serves q_sum" in text
    assert ">12/min</text>" in text
    assert "\N{MULTIPLICATION SIGN}N" in text


@pytest.mark.parametrize("tab", ["graph", "contracts", "runs", "none"])
def test_no_text_of_a_pipeline_is_markup(pages: Pages, tab: str) -> None:
    response = pages.get("/pipelines/papers", tab=tab)

    assert response.status_code == 200
    assert HOSTILE not in response.text
    assert not re.search(r"\sstyle=|NaN|inf\b", response.text)


def test_the_stages_say_what_they_follow_and_need(pages: Pages) -> None:
    text = pages.get("/pipelines/papers").text

    assert "each item of list" in text
    assert "all items of read, 95 % of the jobs must be done" in text
    assert "5 attempts, 1 min each, lock <code>site</code> by url" in text


def test_a_large_pipeline_is_drawn_without_minutes(pages: Pages, answers: Answers) -> None:
    names = [f"s{index}" for index in range(60)]
    arrows = [{"source": names[index // 2], "target": names[index], "kind": "next"} for index in range(1, 60)]
    large = {"name": "papers", "description": "", "stages": [a_stage(it) for it in names], "arrows": arrows}
    answers.given["GET /pipelines/papers"] = (200, large)
    answers.given["GET /queues"] = (200, [a_queue(name) for name in names])

    response = pages.get("/pipelines/papers")

    assert response.status_code == 200
    assert len(response.content) < 100_000
    assert not [line for line, _, _ in answers.asked if line.endswith("/minutes")]


def test_an_unknown_pipeline_is_the_api_s_404(pages: Pages, answers: Answers) -> None:
    problem = {"status": 404, "title": "There is no such pipeline", "detail": "no pipeline 'x'"}
    answers.given["GET /pipelines/x"] = (404, problem)

    response = pages.get("/pipelines/x")

    assert response.status_code == 404
    assert "There is no such pipeline" in response.text
