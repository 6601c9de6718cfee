"""Checks the page that starts a run: form, errors, commands."""

import html
import json
import re
import shlex
import subprocess
from typing import Annotated, Any

import httpx
import msgspec
import pytest
from msgspec import Meta
from typer.main import get_command

from mousetrap.cli.app import app
from mousetrap.pipeline import schema
from support.browser_form import sent_by
from support.dashboard import Answers, Pages
from support.hostile import HOSTILE as HOSTILE_TEXTS
from support.hostile import check_harmless

HOSTILE = "\"><script>alert(1)</script>' $(touch x) `y` \\ é\n--z"


class Round(msgspec.Struct, tag="round"):
    radius: float = 1.0


class Square(msgspec.Struct, tag="square"):
    side: int = 2


class Order(msgspec.Struct):
    name: str
    count: Annotated[int, Meta(ge=1)]
    regions: list[str] = []
    shape: Round | Square | None = None
    reply_to: str | None = None
    is_gift: bool = False
    extra: dict[str, int] = {}


ORDER = {
    "name": HOSTILE,
    "count": 9007199254740993,
    "regions": ["JP", ""],
    "extra": {"a": 1},
    "is_gift": True,
}
ORDER |= {"shape": {"type": "square", "side": 3}, "reply_to": None}
STAGE = {"name": "take", "queue": "orders", "input": schema(Order), "output": {}}
PIPELINE = {"name": "orders", "description": HOSTILE, "stages": [STAGE]}
LINE = {
    "id": "r1",
    "pipeline": "orders",
    "state": "completed",
    "stage": "take",
    "accepted_ms": 1,
    "updated_ms": 2,
}
ACCEPTED = {"run_id": "r2", "url": "/runs/r2"}


def sent(response: httpx.Response, **changed: str) -> dict[str, str]:
    """What the form of the page sends, with some fields filled in otherwise; `do` is a button."""
    pairs = sent_by(response.text, "/ui/pipelines/orders/start")
    assert pairs.keys() >= {name for name in changed if name != "do"}, pairs
    return pairs | changed


@pytest.fixture
def start(pages: Pages, answers: Answers) -> httpx.Response:
    """The page, with the input of the newest run in it."""
    answers.given |= {
        "GET /pipelines/orders": (200, PIPELINE),
        "GET /runs": (200, {"runs": [LINE], "next": None}),
        "GET /runs/r1": (200, {**LINE, "input": ORDER}),
        "POST /pipelines/orders/runs": (202, ACCEPTED),
    }
    return pages.get("/pipelines/orders/start")


def posted(answers: Answers) -> list[tuple[str, bytes]]:
    return [(query, body) for line, query, body in answers.asked if line.startswith("POST")]


def same_json(one: bytes, other: Any) -> bool:
    return bool(json.loads(one) == other)


def test_what_is_filled_in_is_started_as_it_is(pages: Pages, answers: Answers, start: httpx.Response) -> None:
    response = pages.post("/pipelines/orders/start", sent(start))

    assert (response.status_code, response.headers["location"]) == (303, "/ui/runs/r2")
    [(query, body)] = posted(answers)
    assert query == ""
    assert same_json(body, ORDER)
    assert "<script>alert" not in start.text


def test_options_go_with_it(pages: Pages, answers: Answers, start: httpx.Response) -> None:
    form = sent(start, delay="60", expires_in="3600", priority="9", tags=" nightly, é ,", key="k1")

    pages.post("/pipelines/orders/start", form)

    [(query, _)] = posted(answers)
    assert query == "delay=60&expires_in=3600&priority=9&tags=nightly&tags=%C3%A9"


def test_a_form_that_is_sent_twice_has_one_key_and_another_input_another_key(
    pages: Pages, answers: Answers, start: httpx.Response
) -> None:
    for count in ("3", "3", "4"):
        pages.post("/pipelines/orders/start", sent(start) | {"value:/count": count})

    one, again, other = (
        headers["idempotency-key"] for headers in answers.headers if "idempotency-key" in headers
    )
    assert one == again != other
    assert pages.get("/pipelines/orders/start").text != start.text


@pytest.mark.parametrize(
    ("where", "field"), [("$.count", "in2"), ("$.regions[1]", None), ("$.extra[...]", None), ("$", "in0")]
)
def test_the_api_s_error_is_at_its_field_and_nothing_is_lost(
    pages: Pages, answers: Answers, start: httpx.Response, where: str, field: str | None
) -> None:
    broken = {"status": 422, "title": "broken", "detail": "Expected `int` >= 1", "where": where}
    answers.given["POST /pipelines/orders/runs"] = (422, broken)

    response = pages.post("/pipelines/orders/start", sent(start))

    assert response.status_code == 422
    assert "Expected `int` &gt;= 1" in response.text
    [described] = re.findall(r'id="(\w+)" aria-invalid="true" aria-describedby="\1-e"', response.text)
    assert field in (None, described)
    assert f'<a href="#{described}">' in response.text
    assert sent(response) == sent(start)


@pytest.mark.parametrize("where", ["query.at", "header.Idempotency-Key", "query.tags", "query.priority"])
def test_an_option_s_error_is_at_the_option(
    pages: Pages, answers: Answers, start: httpx.Response, where: str
) -> None:
    wrong = {"status": 422, "title": "wrong", "detail": "not so", "where": where}
    answers.given["POST /pipelines/orders/runs"] = (422, wrong)

    response = pages.post("/pipelines/orders/start", sent(start))

    name = where.partition(".")[2].replace("Idempotency-Key", "key")
    assert f'id="o-{name}-e"' in response.text
    assert f'<a href="#o-{name}">not so</a>' in response.text  # at the top, where the browser opens the page
    assert '<details class="options" open>' in response.text


def test_what_no_field_is_to_blame_for_is_above_the_form(
    pages: Pages, answers: Answers, start: httpx.Response
) -> None:
    away = {"status": 503, "title": "The store is away", "detail": "wait", "away": ["store"], "run_id": "r9"}
    answers.given["POST /pipelines/orders/runs"] = (503, away)

    response = pages.post("/pipelines/orders/start", sent(start))

    assert response.status_code == 503
    assert "The store is away" in response.text and "/ui/runs/r9" in response.text
    assert sent(response) == sent(start)


def test_what_cannot_be_read_is_not_sent(pages: Pages, answers: Answers, start: httpx.Response) -> None:
    response = pages.post(
        "/pipelines/orders/start", sent(start) | {"value:/count": "three", "json:/extra": "{"}
    )

    assert response.status_code == 422
    assert posted(answers) == []
    assert response.text.count('aria-invalid="true"') == 2


def test_rows_are_added_and_removed_and_a_union_changes_without_a_script(
    pages: Pages, answers: Answers, start: httpx.Response
) -> None:
    page = pages.post("/pipelines/orders/start", sent(start, do="add:/regions"))
    page = pages.post(
        "/pipelines/orders/start", sent(page, do="remove:/regions/0", **{"value:/regions/2": "CL"})
    )
    page = pages.post("/pipelines/orders/start", sent(page, do="show:/shape", **{"tag:/shape": '"round"'}))
    assert posted(answers) == []

    pages.post("/pipelines/orders/start", sent(page, **{"value:/shape/radius": "2.5"}))

    [(_, body)] = posted(answers)
    assert same_json(body, {**ORDER, "regions": ["", "CL"], "shape": {"type": "round", "radius": 2.5}})


def test_the_input_goes_from_fields_to_json_and_back(
    pages: Pages, answers: Answers, start: httpx.Response
) -> None:
    as_json = pages.post("/pipelines/orders/start", sent(start, do="as-json"))
    assert "raw" in sent(as_json)
    back = pages.post("/pipelines/orders/start", sent(as_json, do="as-fields"))

    assert sent(back) == sent(start)
    pages.post("/pipelines/orders/start", sent(as_json, raw=' {"a": 1.000} '))
    pages.post("/pipelines/orders/start", sent(as_json, raw=""))
    assert [body for _, body in posted(answers)] == [b'{"a": 1.000}', b""]
    bad = pages.post("/pipelines/orders/start", sent(as_json, raw="{]", do="as-fields"))
    assert "This is no JSON: expected '\"' (line 1, column 2)." in html.unescape(bad.text)


def test_the_commands_are_the_same_request(pages: Pages, start: httpx.Response) -> None:
    form = sent(start, at="2030-01-01T00:00:00+01:00", tags="-a,it's", key="it's $1", do="show")

    page = pages.post("/pipelines/orders/start", form)

    curl, command = sorted(html.unescape(it) for it in re.findall(r'data-copy="([^"]*)"', page.text))
    words = split(curl)
    assert words[:4] == ["curl", "-X", "POST", words[3]]
    assert (
        words[3]
        == "http://localhost/pipelines/orders/runs?at=2030-01-01T00%3A00%3A00%2B01%3A00&tags=-a&tags=it%27s"
    )
    assert words[4:6] == ["-H", "Idempotency-Key: it's $1"]
    assert words[6] == "--data-binary" and same_json(words[7].encode(), ORDER)
    words = split(command)
    assert words[:5] == ["mousetrap", "run", "orders", "--at", "2030-01-01T00:00:00+01:00"]
    assert words[5:10] == ["--tag=-a", "--tag", "it's", "--key", "it's $1"]
    assert words[10] == "--input" and same_json(words[11].encode(), ORDER)
    known_options = {name for each in get_command(app).commands["run"].params for name in each.opts}  # type: ignore[attr-defined]
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known_options


def split(line: str) -> list[str]:
    """The words as a shell reads them."""
    shown = subprocess.run(
        ["sh", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True, text=True
    ).stdout.split("\0")[:-1]
    assert shown == shlex.split(line)
    return shown


def test_a_long_input_is_a_file_of_the_commands(
    pages: Pages, answers: Answers, start: httpx.Response
) -> None:
    page = pages.post("/pipelines/orders/start", sent(start, do="show") | {"value:/name": "x" * 5000})

    assert "--input @input.json" in page.text and "--data-binary @input.json" in page.text


def test_an_input_that_is_too_large_is_not_filled_in(
    pages: Pages, answers: Answers, start: httpx.Response
) -> None:
    answers.given["GET /runs/r1"] = (200, {**LINE, "input": {**ORDER, "name": "x" * 60_000}})

    response = pages.get("/pipelines/orders/start")

    assert "too large to be filled in here" in response.text
    assert len(response.text) < 20_000


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_no_text_of_an_input_becomes_markup(
    pages: Pages, answers: Answers, start: httpx.Response, text: str
) -> None:
    given = {**ORDER, "name": text, "regions": [text], "reply_to": text, "extra": {text: 1}}
    answers.given["GET /runs/r1"] = (200, {**LINE, "input": given})

    page = pages.get("/pipelines/orders/start")

    check_harmless(page.text)
    pages.post("/pipelines/orders/start", sent(page))
    assert [json.loads(body) for _, body in posted(answers)] == [given]


def test_a_pipeline_that_is_not_known_is_a_page_of_its_own(pages: Pages) -> None:
    assert pages.get("/pipelines/none/start").status_code == 404
