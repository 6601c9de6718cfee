"""Checks that search leads to what is asked for."""

from typing import Any

import pytest

from support.dashboard import Answers, Pages
from support.hostile import HOSTILE, check_harmless

RUN = {
    "id": "019b1f",
    "pipeline": "letters",
    "state": "failed",
    "stage": "read",
    "accepted_ms": 1,
    "updated_ms": 2,
}
LETTER = {
    "id": "5f0c",
    "queue": "q1",
    "reason": "timeout",
    "error_kind": "shop.Late",
    "error": "x",
    "believed": True,
}
GROUP = {"queue": "q1", "reason": "timeout", "error_kind": "shop.Late", "count": 1200, "example": LETTER}
NO_LETTERS = {"letters": [], "matched": 0, "seen": 0, "unseen": 0}
WORKER = {
    "name": "host-1",
    "host": "h",
    "pid": 1,
    "version": "1",
    "stages": [],
    "queues": [],
    "concurrency": 4,
    "state": "serving",
    "done": 0,
    "failed": 0,
    "running": 0,
    "doing": [],
    "running_by_stage": {},
    "started_ms": 1,
    "seen_ms": 2,
    "silent": 1.0,
}
PIPELINE = {"name": "letters", "stages": [{"name": "read", "queue": "post_in"}]}


@pytest.fixture
def known(answers: Answers) -> Answers:
    answers.given |= {
        "GET /runs": (200, {"runs": [], "next": None}),
        "GET /dead": (200, NO_LETTERS),
        "GET /dead/groups": (200, {"groups": [GROUP], "seen": 1, "unseen": 0}),
        "GET /pipelines": (200, [PIPELINE]),
        "GET /workers": (200, [WORKER]),
        "GET /runs?id=019b&limit=10": (200, {"runs": [RUN], "next": None}),
        "GET /dead?ids=5f0c&limit=10": (200, {**NO_LETTERS, "letters": [LETTER], "matched": 1}),
        "GET /runs?tag=nightly&limit=1": (200, {"runs": [RUN], "next": None}),
    }
    return answers


@pytest.mark.parametrize(
    ("asked", "to"),
    [
        ("019b", "/ui/runs/019b1f"),
        ("5f0c", "/ui/dead/q1/5f0c"),
        ("host-", "/ui/workers/host-1"),
        ("POST_in", "/ui/queues/post_in"),
        ("Late", "/ui/dead?error=shop.Late"),
        ("nightly", "/ui/runs?tag=nightly"),
    ],
)
def test_one_answer_opens_by_itself(pages: Pages, known: Answers, asked: str, to: str) -> None:
    response = pages.get("/search", q=asked)

    assert (response.status_code, response.headers["location"]) == (303, to)


def test_the_whole_id_of_a_run_needs_no_look_at_dead_letters(pages: Pages, known: Answers) -> None:
    known.given["GET /runs?id=019b1f&limit=10"] = (200, {"runs": [RUN], "next": None})

    assert pages.get("/search", q="019b1f").headers["location"] == "/ui/runs/019b1f"
    assert [line for line, _, _ in known.asked] == ["GET /runs"]


def test_several_answers_are_listed(pages: Pages, known: Answers) -> None:
    response = pages.get("/search", q="t")

    assert response.status_code == 200
    assert "4 answers for “t”" in response.text
    assert 'href="/ui/pipelines/letters"' in response.text
    assert 'href="/ui/dead?error=shop.Late"' in response.text and "1,200 dead letters" in response.text


def test_what_is_away_is_named_and_the_rest_is_searched(pages: Pages, known: Answers) -> None:
    away: tuple[int, Any] = (
        503,
        {"status": 503, "title": "t", "detail": "the broker is away", "away": ["broker"]},
    )
    known.given |= {"GET /dead": away, "GET /dead/groups": away}

    response = pages.get("/search", q="host-1")

    assert response.status_code == 200  # it may not be the only answer
    assert "could not be searched: the broker is away" in response.text
    assert "/ui/workers/host-1" in response.text


@pytest.mark.parametrize("asked", HOSTILE)
def test_what_is_asked_never_becomes_markup(pages: Pages, known: Answers, asked: str) -> None:
    known.given["GET /pipelines"] = (200, [{"name": asked, "stages": [{"name": asked, "queue": asked}]}])

    response = pages.get("/search", q=asked)

    assert response.status_code == 200
    check_harmless(response.text)


def test_nothing_found_and_nothing_asked_have_a_next_step(pages: Pages, known: Answers) -> None:
    assert "A run is forgotten once its retention is over." in pages.get("/search", q="zzz").text
    assert "Write the beginning of a run's id" in pages.get("/search").text.replace("&#39;", "'")
