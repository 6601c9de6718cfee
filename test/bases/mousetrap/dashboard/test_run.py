"""Checks the page of a run: why it waits, its tabs."""

from typing import Any

import pytest

from mousetrap.dashboard.pages.run import TABS
from mousetrap.shapes import WaitsFor
from support.dashboard import Answers, Pages
from support.hostile import HOSTILE, check_harmless

NOW_MS = 1_796_022_446_158
FAILURE = {"kind": "shop.errors.FeedUnavailable", "text": "the feed answers 503"}
RUN: dict[str, Any] = {
    "id": "019b1f0c",
    "pipeline": "papers",
    "state": "queued",
    "stage": "read",
    "accepted_ms": NOW_MS,
    "updated_ms": NOW_MS,
    "input": {"url": "http://host/feed"},
    "result": None,
    "timeline": [{"id": "1-0", "kind": "accepted", "at_ms": NOW_MS, "stage": "read"}],
}
WAITING: dict[str, Any] = {
    "run_id": "019b1f0c",
    "state": "queued",
    "waits": True,
    "headline": {
        "kind": "worker",
        "text": "No worker serves papers_read.",
        "since_ms": NOW_MS,
        "age_seconds": 3.0,
        "evidence": {"queue": "papers_read", "ready": 3, "oldest_seconds": 12.5, "last_seen_ms": NOW_MS},
        "advice": "mousetrap workers",
    },
    "also": [{"kind": "due", "text": "It is due later.", "evidence": {}, "advice": ""}],
}
PIPELINE = {
    "name": "papers",
    "description": "",
    "stages": [{"name": "read", "queue": "papers_read", "input": {}, "output": {}}],
    "arrows": [],
}
JOB = {
    "id": "5f0c5b7e6a1d",
    "stage": "read",
    "state": "failed",
    "failure": FAILURE,
    "letter": "/dead/papers_read/5f0c5b7e6a1d",
}
LINE = {
    "number": 1,
    "at_ms": NOW_MS,
    "level": "INFO",
    "logger": "httpx",
    "message": "GET /feed 200",
    "stage": "read",
    "job": "5f0c",
    "attempt": 1,
    "worker": "w1",
}


@pytest.fixture
def run(answers: Answers) -> dict[str, Any]:
    """The run that the API has; a test changes it."""
    run = dict(RUN)
    answers.given |= {
        "GET /runs/019b1f0c": (200, run),
        "GET /runs/019b1f0c/waiting": (200, WAITING),
        "GET /runs/019b1f0c/reruns": (200, {"runs": [], "next": None}),
        "GET /runs/019b1f0c/jobs": (200, {"jobs": [JOB], "next": None}),
        "GET /runs/019b1f0c/logs": (200, {"lines": [LINE], "next": None, "dropped": 0, "missed": 0}),
        "GET /pipelines/papers": (200, PIPELINE),
    }
    return run


def test_a_run_that_waits_shows_why_with_the_evidence_and_where_to_act(
    pages: Pages, run: dict[str, Any]
) -> None:
    text = pages.get("/runs/019b1f0c").text

    assert "No worker serves papers_read." in text
    assert 'href="/ui/queues/papers_read"' in text
    assert "12.5 s" in text
    assert "<code>mousetrap workers</code>" in text and 'href="/ui/workers"' in text
    assert "It is due later." in text


@pytest.mark.parametrize("kind", WaitsFor)
def test_each_reason_is_shown_with_its_words_and_its_evidence(
    pages: Pages, answers: Answers, run: dict[str, Any], kind: WaitsFor
) -> None:
    waits = kind not in (WaitsFor.RUNNING, WaitsFor.ENDED, WaitsFor.UNREADABLE)
    headline = {**WAITING["headline"], "kind": kind, "text": f"It is {kind}."}
    answers.given["GET /runs/019b1f0c/waiting"] = (200, {**WAITING, "waits": waits, "headline": headline})

    text = pages.get("/runs/019b1f0c").text

    assert f"<h2>{'Why it waits' if waits else 'What it does'}</h2>" in text
    assert f'<p class="reason">It is {kind}.</p>' in text
    assert f'<p class="dim">{kind}, since ' in text
    assert "12.5 s" in text


def test_the_head_is_there_once(pages: Pages, run: dict[str, Any]) -> None:
    assert pages.get("/runs/019b1f0c").text.count('id="head"') == 1


@pytest.mark.parametrize(
    "state",
    [
        "queued",
        "running",
        "retrying",
        "completed",
        "failed",
        "rejected",
        "cancelled",
        "expired",
        "unreadable",
    ],
)
def test_every_tab_is_shown_in_every_state(pages: Pages, run: dict[str, Any], state: str) -> None:
    run["state"] = state

    for tab in TABS:
        response = pages.get("/runs/019b1f0c", tab=tab)
        assert response.status_code == 200
        assert f"</svg>{state}</span>" in response.text


def test_a_failed_run_leads_to_its_dead_letter_and_is_live_no_more(pages: Pages, run: dict[str, Any]) -> None:
    run |= {"state": "failed", "failure": {**FAILURE, "traceback": ""}, "finished_ms": NOW_MS + 4_120}

    text = pages.get("/runs/019b1f0c").text

    assert 'href="/ui/dead/papers_read/5f0c5b7e6a1d"' in text
    assert "<strong>FeedUnavailable</strong>: the feed answers 503" in text
    assert "took 4.12 s" in text
    assert "data-stream" not in text
    assert "Cancel" not in text


def test_a_damaged_run_shows_what_is_damaged_and_offers_nothing(
    pages: Pages, answers: Answers, run: dict[str, Any]
) -> None:
    run |= {
        "state": "unreadable",
        "pipeline": "",
        "stage": "",
        "accepted_ms": 0,
        "unreadable": ["state: it is missing"],
    }
    run["timeline"] = []

    text = pages.get("/runs/019b1f0c").text

    assert "state: it is missing" in text and "1970" not in text
    assert "Cancel" not in text and "Re-run" not in text


def test_a_failed_run_whose_other_children_go_on_can_be_cancelled_and_is_live(
    pages: Pages, run: dict[str, Any]
) -> None:
    fan = {
        "job": "j",
        "stage": "list",
        "state": "closed",
        "opened": 10,
        "total": 10,
        "done": 5,
        "lost": 1,
        "needs": 8,
    }
    run |= {"state": "failed", "fans": [fan]}

    text = pages.get("/runs/019b1f0c").text

    assert "data-stream" in text and "Cancel" in text
    assert "5 done" in text and "1 lost" in text and "of 10, needs 8" in text


def test_a_result_without_some_items_names_their_count(pages: Pages, run: dict[str, Any]) -> None:
    counts = {"total": 10, "done": 9, "lost": 1}
    fan = {"job": "j", "stage": "list", "state": "fired", "opened": 10, "needs": 8, **counts}
    kinds = [("opened", None), ("closed", {"total": 10}), ("fired", counts)]
    run |= {"state": "completed", "fans": [fan], "result": 3}
    run["timeline"] = [
        {"id": f"{place}-0", "kind": kind, "at_ms": NOW_MS, "stage": "list", "value": value}
        for place, (kind, value) in enumerate(kinds, 1)
    ]

    text = pages.get("/runs/019b1f0c").text

    assert "The result was made without" in text and "1 of 10 items</a> of list: 8 were enough." in text
    assert "fan-out begins" in text and "fan-out complete" in text and "fan-in</span>" in text
    assert "<code>10 in all</code>" in text and "<code>9 of 10 done, 1 lost</code>" in text


def test_runs_that_repeat_a_run_are_on_its_page(pages: Pages, answers: Answers, run: dict[str, Any]) -> None:
    line = {"pipeline": "papers", "stage": "read", "accepted_ms": NOW_MS, "updated_ms": NOW_MS}
    repeats = [{**line, "id": f"again{place}", "state": "completed"} for place in range(60)]
    answers.given["GET /runs/019b1f0c/reruns"] = (200, {"runs": repeats, "next": None})
    run["state"] = "failed"

    head, lineage = pages.get("/runs/019b1f0c").text, pages.get("/runs/019b1f0c", tab="lineage").text

    assert "Repeated by" in head and 'href="/ui/runs/again0"' in head and ">60</a>" in head
    assert 'href="/ui/runs/again49"' in lineage and "runs/again50" not in lineage
    assert "repeated by 10 older ones too" in lineage


def test_tracebacks_are_folded_and_bounded(pages: Pages, run: dict[str, Any]) -> None:
    failure = {**FAILURE, "traceback": "x" * 20_000}
    run["timeline"] = [
        {
            "id": f"{at}-0",
            "kind": "retrying",
            "at_ms": NOW_MS,
            "stage": "read",
            "attempt": at,
            "failure": failure,
        }
        for at in range(1, 251)
    ]

    first, earlier = pages.get("/runs/019b1f0c").text, pages.get("/runs/019b1f0c", to="150").text

    assert len(first) < 100_000
    assert "150 earlier" in first and 'id="e-151-0"' in first and 'id="e-150-0"' not in first
    assert "mousetrap show 019b1f0c" in first
    assert "50 earlier" in earlier and "100 later" in earlier


def test_numbers_are_shown_as_they_were_written(pages: Pages, answers: Answers, run: dict[str, Any]) -> None:
    run |= {"state": "completed", "result": {"n": 9007199254740993, "big": 10**30, "deep": [[[1.10]]]}}

    text = pages.get("/runs/019b1f0c", tab="result").text

    assert "9007199254740993" in text and "1" + "0" * 30 in text


def test_a_large_value_is_cut_and_the_page_stays_small(pages: Pages, run: dict[str, Any]) -> None:
    run["input"] = {f"key {at}": {"text": '"' * 5_000, "list": list(range(500))} for at in range(100)}

    text = pages.get("/runs/019b1f0c", tab="input").text

    assert len(text) < 300_000
    assert "The text itself, its first 20,000 characters of" in text
    assert "more characters" in text


def test_a_value_that_is_kept_elsewhere_is_named(pages: Pages, run: dict[str, Any]) -> None:
    run |= {
        "state": "completed",
        "result_reference": {"key": "019b1f0c/5f0c", "sha256": "a" * 64, "size": 9_000_000},
    }

    text = pages.get("/runs/019b1f0c", tab="result").text

    assert "019b1f0c/5f0c" in text and "9,000,000 bytes" in text
    assert "mousetrap show 019b1f0c --json" in text


def test_a_pipeline_that_is_not_known_here_is_named_and_leads_nowhere(
    pages: Pages, answers: Answers, run: dict[str, Any]
) -> None:
    problem = (
        404,
        {"status": 404, "title": "There is no such pipeline", "detail": "known once a worker is up"},
    )
    answers.given |= {"GET /pipelines/papers": problem, "GET /runs/019b1f0c/jobs": problem}

    text = pages.get("/runs/019b1f0c", tab="jobs").text

    assert "No server or worker here knows the pipeline" in text
    assert "known once a worker is up" in text
    assert 'href="/ui/pipelines/papers"' not in text


def test_a_forgotten_run_is_a_page_that_names_the_retention(pages: Pages, answers: Answers) -> None:
    detail = {
        "status": 404,
        "title": "There is no such run",
        "type": "urn:mousetrap:problem:unknown-run",
        "detail": "check the id",
    }
    answers.given["GET /runs/gone"] = (404, detail)

    response = pages.get("/runs/gone")

    assert response.status_code == 404
    assert "MOUSETRAP_RETENTION_SECONDS" in response.text


def test_cancelling_asks_first_and_gives_the_reason(
    pages: Pages, answers: Answers, run: dict[str, Any]
) -> None:
    answers.given["DELETE /runs/019b1f0c"] = (200, {"run_id": "019b1f0c", "state": "cancelled"})

    asked = pages.get("/runs/019b1f0c/cancel").text
    done = pages.post("/runs/019b1f0c/cancel", {"reason": "ticket 81"})

    assert "No attempt of it begins after that" in asked and 'action="/ui/runs/019b1f0c/cancel"' in asked
    assert (done.status_code, done.headers["location"]) == (303, "/ui/runs/019b1f0c")


def test_a_reason_that_no_header_can_carry_is_an_error_at_its_field(
    pages: Pages, answers: Answers, run: dict[str, Any]
) -> None:
    problem = {
        "status": 422,
        "title": "The request is not valid",
        "detail": "printable characters only",
        "where": "header.Mousetrap-Reason",
    }
    answers.given["DELETE /runs/019b1f0c"] = (422, problem)

    response = pages.post("/runs/019b1f0c/cancel", {"reason": "héllo"})

    assert response.status_code == 422
    assert "printable characters only" in response.text and 'value="héllo"' in response.text


@pytest.mark.parametrize("hostile", HOSTILE)
def test_text_from_outside_never_becomes_markup_or_a_link(
    pages: Pages, answers: Answers, run: dict[str, Any], hostile: str
) -> None:
    failure = {"kind": hostile, "text": hostile, "traceback": hostile}
    event = {
        "kind": hostile,
        "stage": hostile,
        "job": hostile,
        "worker": hostile,
        "failure": failure,
        "value": hostile,
        "unreadable": [hostile],
    }
    run |= {
        "pipeline": hostile or "papers",
        "stage": hostile,
        "tags": [hostile],
        "failure": failure,
        "unreadable": [hostile],
        "progress": {"stage": hostile, "done": 1, "total": 2, "note": hostile},
        "rerun_of": hostile or None,
        "trace_id": hostile,
        "trace_url": "javascript:alert(1)",
        "input": {hostile: hostile},
        "result": [hostile],
        "letter": {"id": hostile, "queue": hostile, "reason": hostile, "believed": False},
        "timeline": [{"id": "1-0", "at_ms": NOW_MS, **event}],
    }
    reason = {
        "kind": "lock",
        "text": hostile,
        "evidence": {"worker": hostile, hostile: hostile, "queue": hostile},
        "advice": f"mousetrap {hostile}",
    }
    job = {
        **JOB,
        "id": hostile,
        "stage": hostile,
        "worker": hostile,
        "failure": failure,
        "letter": None,
        "key": hostile,
        "unreadable": hostile,
    }
    answers.given |= {
        "GET /runs/019b1f0c/waiting": (200, {**WAITING, "headline": reason, "also": [reason]}),
        "GET /runs/019b1f0c/jobs": (
            200,
            {"jobs": [job, {**job, "failure": None, "output": hostile}], "next": hostile},
        ),
        "GET /runs/019b1f0c/logs": (
            200,
            {
                "lines": [
                    LINE | {"message": hostile, "logger": hostile, "level": hostile, "worker": hostile}
                ],
                "next": None,
            },
        ),
        f"GET /runs/{hostile}": (200, {**RUN, "id": hostile}),
    }

    for tab in TABS:
        response = pages.get("/runs/019b1f0c", tab=tab)
        assert response.status_code == 200
        check_harmless(response.text)
