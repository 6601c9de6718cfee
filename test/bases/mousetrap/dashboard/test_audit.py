"""Checks the page of the audit trail."""

import re

import pytest

from support.dashboard import Answers, Pages
from support.hostile import HOSTILE, check_harmless

ENTRY = {
    "id": "1-0",
    "at_ms": 1,
    "who": "anna",
    "act": "redrive",
    "address": "10.0.0.7",
    "outcome": "accepted",
    "count": 1200,
    "reason": "ticket 81",
    "what": {"queue": "q1", "run": "r1", "operation": "o1", "limit": 5, "filter": {"reason": "contract"}},
}


def test_an_act_has_who_what_how_many_and_why(pages: Pages, answers: Answers) -> None:
    answers.given["GET /audit"] = (200, {"entries": [ENTRY], "next": "1-0"})

    text = pages.get("/audit", who="anna").text

    assert '<span class="chip"><span class="dim">reason</span> contract</span>' in text
    for each in ("10.0.0.7", "1,200", "accepted", "ticket 81"):
        assert each in text
    assert {"/ui/runs/r1", "/ui/queues/q1", "/ui/operations/o1"} <= set(re.findall(r'href="([^"]*)"', text))
    assert 'href="/ui/audit?who=anna&amp;after=1-0"' in text
    assert ("GET /audit", "who=anna&limit=50", b"") in answers.asked


def test_an_empty_trail_is_explained(pages: Pages, answers: Answers) -> None:
    answers.given["GET /audit"] = (200, {"entries": [], "next": None})

    assert "Nothing was changed yet" in pages.get("/audit").text
    assert "No act on the trail matches" in pages.get("/audit", act="stop").text


def test_without_the_scope_it_is_refused(pages: Pages, answers: Answers) -> None:
    answers.given["GET /audit"] = (
        403,
        {"status": 403, "title": "no", "detail": "this needs the scope operate"},
    )

    response = pages.get("/audit")

    assert response.status_code == 403
    assert "this needs the scope operate" in response.text


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_becomes_markup(pages: Pages, answers: Answers, text: str) -> None:
    odd = {
        **ENTRY,
        "who": text,
        "act": text,
        "reason": text,
        "outcome": text,
        "what": {text: text, "run": text, "queue": text},
    }
    answers.given["GET /audit"] = (200, {"entries": [odd], "next": None})

    check_harmless(pages.get("/audit").text)
