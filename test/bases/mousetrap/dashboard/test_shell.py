"""Checks what all pages have: policy, errors, absence, theme, static files."""

import re
from importlib.resources import files
from pathlib import Path

import httpx
import msgspec
import pytest

from mousetrap.dashboard.view import Query
from mousetrap.dashboard.words import number
from support.dashboard import Answers, Pages

WORKER = {
    "name": "w1",
    "host": "h",
    "pid": 1,
    "version": "1.0",
    "stages": ["earthquakes.fetch"],
    "queues": ["start_fetch"],
    "concurrency": 4,
    "state": "serving",
    "done": 7,
    "failed": 1,
    "running": 2,
    "doing": [],
    "running_by_stage": {},
    "started_ms": 1,
    "seen_ms": 2,
    "silent": 1.0,
}
AWAY = {
    "status": 503,
    "title": "The store is away",
    "detail": "store at h:1 cannot be used",
    "away": ["store"],
}


@pytest.fixture
def answered(answers: Answers) -> Answers:
    answers.given |= {"GET /workers": (200, [WORKER]), "GET /pipelines": (200, [])}
    return answers


def test_a_page_runs_nothing_but_its_own_scripts_and_is_kept_nowhere(pages: Pages, answered: Answers) -> None:
    response = pages.get("/workers")

    assert response.status_code == 200
    policy = response.headers["content-security-policy"]
    assert "script-src 'self'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert response.headers["cache-control"] == "no-store"
    assert not re.search(r"<script>|\sstyle=|\son\w+=|hx-on|javascript:", response.text)
    assert not re.findall(r"(?:src|href|action)=\"(?:https?:)?//", response.text)


def test_text_from_outside_never_becomes_markup(pages: Pages, answered: Answers) -> None:
    hostile = '"><script>alert(1)</script><a href=javascript:alert(1)>'
    answered.given["GET /workers"] = (
        200,
        [{**WORKER, "name": hostile, "version": hostile, "queues": [hostile]}],
    )

    text = pages.get("/workers").text

    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert 'href="javascript' not in text


def test_while_the_store_is_away_the_last_known_facts_are_shown_with_their_age(
    pages: Pages, answered: Answers
) -> None:
    pages.get("/workers")
    answered.given["GET /workers"] = (503, AWAY)

    response = pages.get("/workers")

    assert response.status_code == 200
    assert "The store is away" in response.text
    assert "store at h:1 cannot be used" in response.text
    assert "w1" in response.text


def test_without_last_known_facts_the_page_is_the_api_s_sentence(pages: Pages, answered: Answers) -> None:
    answered.given["GET /workers"] = (503, AWAY)

    response = pages.get("/workers")

    assert response.status_code == 503
    assert "store at h:1 cannot be used" in response.text


def test_a_page_that_is_none_is_a_page_with_a_sentence(pages: Pages) -> None:
    response = pages.get("/nothing")

    assert response.status_code == 404
    assert "/ui/nothing is no page of the dashboard" in response.text


def test_an_answer_that_cannot_be_read_is_a_page_with_a_sentence(pages: Pages, answered: Answers) -> None:
    answered.given["GET /workers"] = (200, [{"name": 1}])
    pages.raises = False

    response = pages.get("/workers")

    assert response.status_code == 500
    assert "Overview" in response.text and "this is a defect of ours" in response.text
    assert "script-src 'self'" in response.headers["content-security-policy"]


@pytest.mark.parametrize("back", ["https://elsewhere/", "//elsewhere", "/ui/\\\\elsewhere", "/other", ""])
def test_the_theme_is_kept_and_leads_to_no_other_site(pages: Pages, answered: Answers, back: str) -> None:
    response: httpx.Response = pages.post("/theme", {"theme": "dark", "back": back})

    assert (response.status_code, response.headers["location"]) == (303, "/ui/")
    assert 'data-theme="dark"' in pages.get("/workers").text


def test_static_files_are_compressed_and_kept_for_good(pages: Pages, answered: Answers) -> None:
    (path,) = re.findall(r'href="/ui(/static/[^"]+/style.css)"', pages.get("/workers").text)

    response: httpx.Response = pages.get(path)

    assert response.status_code == 200
    assert "immutable" in response.headers["cache-control"]
    assert response.headers["content-encoding"] == "gzip"
    assert pages.get(path.replace("style.css", "../app.py")).status_code == 404


def test_an_answer_that_is_nested_too_deep_for_a_page_is_refused_by_one(
    pages: Pages, answered: Answers
) -> None:
    deep = msgspec.Raw(b"[" * 2000 + b"]" * 2000)
    answered.given["GET /workers"] = (200, [{**WORKER, "more": deep}])

    response = pages.get("/workers")

    assert response.status_code == 500
    assert "nested too deep for a page" in response.text


def test_a_count_can_be_larger_than_any_float() -> None:
    assert number(10**400).startswith("10,000,")


def test_a_query_keeps_its_order_and_its_repeats() -> None:
    query = Query.parse("state=failed&tag=a&tag=b&empty=")

    assert query.all("tag") == ("a", "b")
    assert query.given("state", "empty") == {"state": "failed"}
    assert str(query.but("tag", state="done")) == "empty=&state=done"


def test_no_part_that_changes_is_a_block_of_the_layout_too() -> None:
    templates = {
        path.name: path.read_text() for path in Path(str(files("mousetrap.dashboard"))).rglob("*.html")
    }
    layout = set(re.findall(r"{% block (\w+) %}", templates.pop("layout.html")))

    parts = {
        name
        for text in templates.values()
        for name in re.findall(r"{% block (\w+) %}", text)
        if f'id="{name}"' in text
    }

    assert "list" in parts and "banner" in layout
    assert parts & layout == set()
