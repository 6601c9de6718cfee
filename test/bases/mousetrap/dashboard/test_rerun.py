"""Checks the page that repeats a run from a stage on."""

import html
import json
import re
import shlex
from typing import Any

import httpx
import msgspec
import pytest
from typer.main import get_command

from mousetrap.cli.app import app
from mousetrap.pipeline import schema
from support.browser_form import sent_by
from support.dashboard import Answers, Pages
from support.hostile import HOSTILE, check_harmless


class Letter(msgspec.Struct):
    text: str
    copies: int = 1


STAGES = [
    {"name": "read", "queue": "q1", "input": schema(Letter), "output": {}},
    {"name": "each", "queue": "q2", "input": schema(Letter), "output": {}, "inside": ["read"]},
    {"name": "sum", "queue": "q3", "input": {}, "output": {}, "edge": "gather"},
]
RUN = {
    "id": "r1",
    "pipeline": "letters",
    "state": "failed",
    "stage": "sum",
    "accepted_ms": 1,
    "updated_ms": 2,
}
STORED = {"text": "a", "copies": 9007199254740993}
PATH = "/runs/r1/rerun"


@pytest.fixture
def known(answers: Answers) -> Answers:
    answers.given |= {
        "GET /runs/r1": (200, RUN),
        "GET /pipelines/letters": (200, {"name": "letters", "description": "", "stages": STAGES}),
        "GET /runs/r1/jobs/failed": (200, {"stage": "sum", "payload": [1]}),
        "GET /runs/r1/jobs/read": (200, {"stage": "read", "payload": STORED}),
        "POST /runs/r1/rerun": (202, {"run_id": "r2", "url": "/runs/r2"}),
    }
    return answers


def posted(answers: Answers) -> list[Any]:
    return [json.loads(body) for line, _, body in answers.asked if line.startswith("POST")]


def form_of(page: httpx.Response, **changed: str) -> dict[str, str]:
    return sent_by(page.text, f"/ui{PATH}") | changed


def test_it_begins_where_the_run_failed_and_offers_each_stage_with_one_job(
    pages: Pages, known: Answers
) -> None:
    page = pages.get(PATH)

    places = re.findall(r'rerun\?stage=(\w+)"( aria-current)?', page.text)
    assert [name for name, _ in places] == ["failed", "read", "sum"]
    assert [name for name, current in places if current] == ["failed"]


def test_an_input_as_it_is_stored_is_not_sent_again(pages: Pages, known: Answers) -> None:
    page = pages.get(PATH, stage="read")

    response = pages.post(PATH, form_of(page))

    assert (response.status_code, response.headers["location"]) == (303, "/ui/runs/r2")
    assert posted(known) == [{"from": "read"}]


def test_another_input_and_the_reason_are_sent(pages: Pages, known: Answers) -> None:
    page = pages.get(PATH, stage="read")

    looked = pages.post(PATH, form_of(page, reason="ticket 81", **{"value:/text": "b"}))
    assert not posted(known), "what is changed is looked at first"
    assert "<ins>+   &#34;text&#34;: &#34;b&#34;" in looked.text
    pages.post(PATH, form_of(looked))

    assert posted(known) == [{"from": "read", "input": {**STORED, "text": "b"}}]
    assert known.headers[-1]["mousetrap-reason"] == "ticket 81"


def test_the_outputs_of_a_fan_out_stay_as_they_are(pages: Pages, known: Answers) -> None:
    page = pages.get(PATH)
    assert "takes the outputs of a fan-out" in page.text

    pages.post(PATH, form_of(page))

    assert posted(known) == [{"from": "failed"}]


def test_an_input_too_large_for_a_page_is_used_as_it_is(pages: Pages, known: Answers) -> None:
    known.given["GET /runs/r1/jobs/read"] = (200, {"stage": "read", "payload": {"text": "x" * 90_000}})
    page = pages.get(PATH, stage="read")
    assert len(page.text) < 20_000 and "90,011 bytes" in page.text

    pages.post(PATH, form_of(page))

    assert posted(known) == [{"from": "read"}]


def test_a_stage_at_which_it_cannot_begin_has_the_api_s_reason(pages: Pages, known: Answers) -> None:
    problem = {
        "type": "urn:mousetrap:problem:rerun-impossible",
        "status": 409,
        "title": "No",
        "detail": "it never was",
    }
    known.given["GET /runs/r1/jobs/sum"] = (409, problem)

    page = pages.get(PATH, stage="sum")

    assert page.status_code == 200
    assert "it never was" in page.text and '<button class="go"' not in page.text


def test_the_contract_s_error_is_at_its_field(pages: Pages, known: Answers) -> None:
    problem = {"status": 422, "title": "broken", "detail": "too many", "where": "$.copies"}
    known.given["POST /runs/r1/rerun"] = (422, problem)
    page = pages.get(PATH, stage="read")

    response = pages.post(PATH, form_of(page))

    assert response.status_code == 422
    assert re.search(r'name="value:/copies"[^>]*aria-invalid="true"', response.text)
    assert form_of(response) == form_of(page)


def test_the_commands_are_the_same(pages: Pages, known: Answers) -> None:
    page = pages.get(PATH, stage="read")
    assert "mousetrap rerun r1 --from read</code>" in page.text
    page = pages.post(PATH, form_of(page, do="show", **{"value:/text": "b"}))

    command, curl = (html.unescape(each) for each in re.findall(r'data-copy="([^"]*)"', page.text))

    given = json.dumps({**STORED, "text": "b"}, separators=(",", ":"))
    assert command == f"mousetrap rerun r1 --from read --input '{given}'"
    assert curl.endswith(f"""/runs/r1/rerun --data-binary '{{"from":"read","input":{given}}}'""")


def test_the_command_line_has_the_options_of_the_commands(pages: Pages, known: Answers) -> None:
    page = pages.post(
        PATH, form_of(pages.get(PATH, stage="read"), reason="it's", do="show", **{"value:/text": "b"})
    )

    command = html.unescape(re.findall(r'data-copy="([^"]*)"', page.text)[0])
    words = shlex.split(command)
    known_options = {name for each in get_command(app).commands["rerun"].params for name in each.opts}  # type: ignore[attr-defined]
    assert words[:2] == ["mousetrap", "rerun"] and words[6:8] == ["it's", "--input"]
    assert {word for word in words if word.startswith("--")} <= known_options


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_an_input_becomes_markup(pages: Pages, known: Answers, text: str) -> None:
    known.given["GET /runs/r1/jobs/read"] = (
        200,
        {"stage": "read", "payload": {"text": text, "copies": text}},
    )

    page = pages.get(PATH, stage="read")

    check_harmless(page.text)
    pages.post(PATH, form_of(page))
    assert posted(known) == [{"from": "read"}]
