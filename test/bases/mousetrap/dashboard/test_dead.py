"""Checks the pages of dead letters: groups, one letter, their repair."""

import json
import re
from typing import Any
from urllib.parse import parse_qs

import pytest

from support.dashboard import Answers, Pages
from support.dashboard_ops import KIND, LETTER, OPERATION, RUN, groups, letter, letter_line, operation
from support.hostile import HOSTILE, check_harmless

ONE = f"/dead/prices/{LETTER}"
AWAY = {
    "status": 503,
    "title": "The broker is away",
    "detail": "broker at h:1 cannot be used",
    "away": ["broker"],
}
FOREIGN = letter(believed=False, body="not ours", payload=None)


@pytest.fixture
def answered(answers: Answers) -> Answers:
    answers.given |= {
        "GET /dead/groups": (200, groups(letter_line(), letter_line(queue="other", generation=1))),
        "GET /operations": (200, {"operations": []}),
        "GET /dead": (200, {"letters": [letter_line()], "matched": 37, "seen": 74, "unseen": 0}),
        "POST /dead/redrive": (202, operation()),
        "POST /dead/discard": (200, {"matched": 1, "discarded": 1, "left": 0, "unseen": 0}),
        f"GET {ONE}": (200, letter()),
        f"POST {ONE}/redrive": (200, {"matched": 1, "redriven": 1, "stale": 0, "left": 0, "unseen": 0}),
    }
    return answers


def sent(answers: Answers, line: str) -> dict[str, Any]:
    """The body of the last request of this kind."""
    (body,) = [body for asked, _, body in answers.asked if asked == line][-1:]
    value: dict[str, Any] = json.loads(body)
    return value


def seen(text: str) -> str:
    """What the form of a page has, once the changes in it were looked at."""
    (mark,) = re.findall(r'name="seen" value="(\w+)"', text)
    return str(mark)


def asked_with(answers: Answers, line: str) -> dict[str, list[str]]:
    return parse_qs([query for asked, query, _ in answers.asked if asked == line][-1])


def test_groups_are_shown_with_count_error_and_what_leads_to_their_repair(
    pages: Pages, answered: Answers
) -> None:
    text = pages.get("/dead").text

    assert "37" in text and "VendorAway" in text and "the vendor answers 503" in text
    selected = f"queue=prices&amp;reason=max-retries&amp;error={KIND}"
    assert f'href="/ui/dead/redrive?{selected}"' in text
    assert f'href="/ui/dead/discard?{selected}"' in text
    assert f'href="/ui/dead/export?{selected}"' in text
    assert "came back, redriven once" in text


def test_a_group_leads_to_the_texts_of_its_errors(pages: Pages, answered: Answers) -> None:
    one, other = groups(letter_line(), letter_line(queue="other"))["groups"]
    one |= {
        "recent": [0] * 10 + [3, 1],
        "texts": [{"text": "Ito & co", "count": 30}, {"text": "b", "count": 7}],
    }
    answered.given["GET /dead/groups"] = (200, {"groups": [one, other], "seen": 74, "unseen": 0})
    several = pages.get("/dead").text
    answered.given["GET /dead/groups"] = (200, {"groups": [one], "seen": 37, "unseen": 0})
    answered.given["GET /dead"] = (
        200,
        {"letters": [letter_line(tags=["eu"])], "matched": 37, "seen": 37, "unseen": 0},
    )
    alone = pages.get("/dead", queue="prices").text

    assert "2 texts</a>" in several and "4 in the last hour" in several
    selected = f"queue=prices&amp;reason=max-retries&amp;error={KIND}"
    assert f'href="/ui/dead?{selected}&amp;text=Ito+%26+co"><strong>30</strong> Ito &amp; co' in alone
    assert 'href="/ui/runs?tag=eu"' in alone


def test_a_group_has_its_note_and_a_form_for_it(pages: Pages, answered: Answers) -> None:
    one, other = groups(letter_line(), letter_line(error_kind=""))["groups"]
    one["note"] = {"text": "ticket <81>", "who": "anna", "at_ms": 1_765_000_000_000}
    answered.given |= {
        "GET /dead/groups": (200, {"groups": [other, one], "seen": 74, "unseen": 0}),
        "PUT /dead/notes": (200, None),
    }
    group = {"queue": "prices", "reason": "max-retries", "error": KIND}

    text, form = pages.get("/dead").text, pages.get("/dead/note", **group).text
    kept = pages.post("/dead/note", {**group, "text": "it is back"})

    assert "ticket &lt;81&gt;" in text and "anna, " in text
    assert f'href="/ui/dead/note?queue=prices&amp;reason=max-retries&amp;error={KIND}"' in text
    assert "ticket &lt;81&gt;</textarea>" in form and "Written by anna" in form
    assert kept.status_code == 303 and kept.headers["location"] == "/ui/dead"
    assert sent(answered, "PUT /dead/notes") == {**group, "text": "it is back"}


def test_a_note_that_is_refused_is_shown_again(pages: Pages, answered: Answers) -> None:
    problem = {"status": 422, "title": "The request is not valid", "detail": "too long", "where": "body.text"}
    answered.given["PUT /dead/notes"] = (422, problem)

    response = pages.post("/dead/note", {"queue": "prices", "reason": "contract", "text": "long"})

    assert response.status_code == 422
    assert "too long" in response.text and "long</textarea>" in response.text


def test_a_part_of_the_text_is_part_of_what_is_redriven(pages: Pages, answered: Answers) -> None:
    assert 'name="text" value="Ito &amp; co"' in pages.get("/dead/redrive", text="Ito & co").text
    pages.post("/dead/redrive", {"text": "Ito & co", "rate": "5"})

    assert sent(answered, "POST /dead/redrive") == {"text": "Ito & co", "rate": 5}


def test_the_filter_is_in_the_address_and_goes_to_the_api(pages: Pages, answered: Answers) -> None:
    text = pages.get("/dead", queue="prices", error="VendorAway", since="1h").text

    asked = asked_with(answered, "GET /dead/groups")
    assert (asked["queue"], asked["error"]) == (["prices"], ["VendorAway"])
    assert int(asked["after_ms"][0]) % 60_000 == 0
    assert '<option value="1h" selected>' in text
    assert 'value="VendorAway"' in text


def test_a_time_that_is_none_is_the_api_s_to_refuse_and_selects_no_more(
    pages: Pages, answered: Answers
) -> None:
    pages.get("/dead", since="soon", before_ms="1e9")
    pages.post("/dead/discard", {"after_ms": "٣"})
    pages.post("/dead/redrive", {"since": "2h"})

    assert asked_with(answered, "GET /dead/groups") == {"after_ms": ["soon"], "before_ms": ["1e9"]}
    assert sent(answered, "POST /dead/discard")["after_ms"] == "٣"
    assert sent(answered, "POST /dead/redrive") == {"after_ms": "2h"}


def test_letters_of_one_group_are_listed(pages: Pages, answered: Answers) -> None:
    answered.given["GET /dead/groups"] = (200, groups(letter_line()))

    text = pages.get("/dead", queue="prices").text

    assert f'href="/ui/dead/prices/{LETTER}"' in text
    assert f'href="/ui/runs/{RUN}"' in text


def test_what_was_not_looked_at_is_counted(pages: Pages, answered: Answers) -> None:
    answered.given["GET /dead/groups"] = (200, groups(letter_line(), unseen=2_133))

    assert "2,133 more lie behind" in pages.get("/dead").text


def test_nothing_here_and_nothing_that_matches_are_two_things(pages: Pages, answered: Answers) -> None:
    answered.given["GET /dead/groups"] = (200, {"groups": [], "seen": 9, "unseen": 0})

    assert "There is no dead letter" in pages.get("/dead").text
    assert "None of the 9 dead letters" in pages.get("/dead", queue="prices").text


def test_redrives_under_way_are_on_top(pages: Pages, answered: Answers) -> None:
    answered.given["GET /operations"] = (
        200,
        {"operations": [operation(), operation(kind="cancel", who="bob")]},
    )

    text = pages.get("/dead").text

    assert f'href="/ui/operations/{OPERATION}/stop"' in text
    assert "120 of 400 tried" in text
    assert "bob" not in text


def test_a_redrive_asks_how_many_and_how_fast(pages: Pages, answered: Answers) -> None:
    text = pages.get("/dead/redrive", queue="prices", reason="max-retries").text

    assert "37 letters match" in text
    assert '<input type="hidden" name="queue" value="prices">' in text
    assert 'name="rate" type="number"' in text


def test_a_redrive_begins_an_operation_and_leads_to_it(pages: Pages, answered: Answers) -> None:
    form = {
        "queue": "prices",
        "reason": "max-retries",
        "limit": "10",
        "rate": "2.5",
        "why": "ticket 81",
        "key": "k",
    }

    response = pages.post("/dead/redrive", form)

    assert (response.status_code, response.headers["location"]) == (303, f"/ui/operations/{OPERATION}")
    assert sent(answered, "POST /dead/redrive") == {
        "queue": "prices",
        "reason": "max-retries",
        "limit": 10,
        "rate": 2.5,
    }


def test_the_error_of_a_group_is_named_as_its_newest(pages: Pages, answered: Answers) -> None:
    assert ">Newest error</th>" in pages.get("/dead").text


def test_a_redrive_without_a_filter_asks_for_all_by_name(pages: Pages, answered: Answers) -> None:
    pages.post("/dead/redrive", {"rate": "1"})

    assert sent(answered, "POST /dead/redrive") == {"all": True, "rate": 1}


@pytest.mark.parametrize("rate", ["fast", "inf", "nan", "1e999"])
def test_a_rate_that_is_none_stands_at_its_field_with_what_was_typed(
    pages: Pages, answered: Answers, rate: str
) -> None:
    problem = {"status": 422, "title": "x", "detail": "body.rate: should be a number", "where": "body.rate"}
    answered.given["POST /dead/redrive"] = (422, problem)

    response = pages.post("/dead/redrive", {"queue": "prices", "rate": rate, "why": "ticket 81", "key": "k1"})

    assert response.status_code == 422
    assert "body.rate: should be a number" in response.text and f'value="{rate}"' in response.text
    assert "ticket 81" in response.text and 'name="key" value="k1"' in response.text
    assert sent(answered, "POST /dead/redrive")["rate"] == rate


def test_a_discard_asks_first_and_spares_what_dies_while_it_is_read(pages: Pages, answered: Answers) -> None:
    text = pages.get("/dead/discard", queue="prices").text

    assert "37 letters match" in text and "Discard 37 letters" in text
    before = asked_with(answered, "GET /dead")["before_ms"][0]
    assert f'<input type="hidden" name="before_ms" value="{before}">' in text


def test_a_discard_reports_how_many_are_left(pages: Pages, answered: Answers) -> None:
    done = {"matched": 1_200, "discarded": 1_000, "left": 200, "unseen": 0}
    answered.given["POST /dead/discard"] = (200, done)

    response = pages.post("/dead/discard", {"queue": "prices", "before_ms": "1765000000000"})

    assert response.headers["location"] == "/ui/dead?queue=prices"
    assert "1,000 letters are discarded; 200 of these are left" in pages.get("/dead").text
    assert sent(answered, "POST /dead/discard") == {
        "queue": "prices",
        "before_ms": 1_765_000_000_000,
        "limit": 1_000,
    }


def test_an_export_is_a_file(pages: Pages, answered: Answers) -> None:
    answered.given["GET /dead/export"] = (200, {"id": LETTER})

    response = pages.get("/dead/export", queue="prices")

    assert response.headers["content-disposition"] == 'attachment; filename="dead-letters.ndjson"'
    assert response.json() == {"id": LETTER}
    assert asked_with(answered, "GET /dead/export") == {"queue": ["prices"]}


def test_an_export_without_the_broker_is_a_page_with_the_error(pages: Pages, answered: Answers) -> None:
    answered.given["GET /dead/export"] = (503, AWAY)

    response = pages.get("/dead/export")

    assert response.status_code == 503
    assert "broker at h:1 cannot be used" in response.text
    assert "content-disposition" not in response.headers


def test_a_letter_s_story_is_on_one_page(pages: Pages, answered: Answers) -> None:
    event = {"id": "1-0", "at_ms": 1, "job": LETTER, "kind": "gave_up", "attempt": 5, "worker": "w1"}
    run = {
        "id": RUN, "pipeline": "orders", "state": "failed", "stage": "price", "accepted_ms": 1, "updated_ms": 2,
        "timeline": [event, {**event, "job": "another", "worker": "w-of-another"}],
    }  # fmt: skip
    answered.given[f"GET {ONE}"] = (200, letter(run=run, generation=2))

    text = pages.get(ONE).text

    assert "gave up" in text and "w-of-another" not in text
    assert "Traceback: in price" in text and "number" in text
    assert "twice: it failed again after that" in text
    assert f'action="/ui{ONE}/redrive"' in text and f'href="/ui{ONE}/edit"' in text


def test_a_letter_is_redriven_and_leads_to_its_run(pages: Pages, answered: Answers) -> None:
    response = pages.post(f"{ONE}/redrive")

    assert (response.status_code, response.headers["location"]) == (303, f"/ui/runs/{RUN}")


def test_a_letter_that_nothing_needs_is_reported_as_dropped(pages: Pages, answered: Answers) -> None:
    answered.given[f"POST {ONE}/redrive"] = (
        200,
        {"matched": 1, "redriven": 0, "stale": 1, "left": 0, "unseen": 0},
    )
    pages.post(f"{ONE}/redrive")

    assert "its run has gone on without it" in pages.get("/dead").text


def test_an_edited_letter_goes_with_its_input_as_it_was_typed(pages: Pages, answered: Answers) -> None:
    text = pages.get(f"{ONE}/edit").text
    assert "&#34;number&#34;: 3" in text

    typed = {"input": ' {"number": 1234567890123456789012.50} ', "why": "typo"}
    asked = pages.post(f"{ONE}/edit", typed).text
    assert not [line for line, _, _ in answered.asked if line.startswith("POST")], "it is looked at first"
    assert "<del>-   &#34;number&#34;: 3</del>" in asked
    assert "<ins>+   &#34;number&#34;: 1234567890123456789012.50</ins>" in asked
    response = pages.post(f"{ONE}/edit", {**typed, "seen": seen(asked)})

    assert response.headers["location"] == f"/ui/runs/{RUN}"
    (body,) = [body for line, _, body in answered.asked if line == f"POST {ONE}/redrive"]
    assert body == b'{"input":{"number": 1234567890123456789012.50}}'


@pytest.mark.parametrize("text", ["", "{", '1}, {"x": 1', "[" * 100_000])
def test_an_input_that_is_no_json_is_an_error_at_its_field_and_not_sent(
    pages: Pages, answered: Answers, text: str
) -> None:
    response = pages.post(f"{ONE}/edit", {"input": text})

    assert response.status_code == 422
    assert "this is no JSON" in response.text
    assert not [line for line, _, _ in answered.asked if line.startswith("POST")]


def test_a_broken_contract_is_an_error_with_its_json_path_and_keeps_what_was_typed(
    pages: Pages, answered: Answers
) -> None:
    problem = {"status": 422, "title": "x", "detail": "Expected `int`, got `str`", "where": "$.number"}
    answered.given[f"POST {ONE}/redrive"] = (422, problem)

    typed = {"input": '{"number": "three"}'}
    response = pages.post(f"{ONE}/edit", {**typed, "seen": seen(pages.post(f"{ONE}/edit", typed).text)})

    assert response.status_code == 422
    assert "<code>$.number</code>: Expected `int`, got `str`" in response.text
    assert "&#34;three&#34;" in response.text


def test_an_input_that_was_changed_again_is_looked_at_again(pages: Pages, answered: Answers) -> None:
    first = pages.post(f"{ONE}/edit", {"input": '{"number": 4}'}).text

    again = pages.post(f"{ONE}/edit", {"input": '{"number": 5}', "seen": seen(first)})

    assert again.status_code == 200 and "<ins>+   &#34;number&#34;: 5</ins>" in again.text
    assert not [line for line, _, _ in answered.asked if line.startswith("POST")]


def test_an_input_as_it_was_is_sent_at_once(pages: Pages, answered: Answers) -> None:
    assert pages.post(f"{ONE}/edit", {"input": '{ "number": 3 }'}).status_code == 303


def test_the_contract_of_the_stage_is_beside_the_form(pages: Pages, answered: Answers) -> None:
    stage = {"name": "price", "queue": "prices", "input": {"title": "Order"}, "output": {}}
    pipeline = {"name": "orders", "description": "", "stages": [stage]}
    answered.given["GET /pipelines/orders"] = (200, pipeline)

    assert "&#34;title&#34;: &#34;Order&#34;" in pages.get(f"{ONE}/edit").text


def test_what_is_not_ours_is_shown_and_discarded_only(pages: Pages, answered: Answers) -> None:
    answered.given[f"GET {ONE}"] = (200, FOREIGN)

    text = pages.get(ONE).text

    assert "No key of ours signed" in text and "not ours" in text
    assert f"{ONE}/redrive" not in text and f"{ONE}/edit" not in text
    assert f'href="/ui{ONE}/discard"' in text
    assert f'href="/ui/runs/{RUN}"' not in text


def test_one_letter_is_discarded_by_its_id(pages: Pages, answered: Answers) -> None:
    assert "Discard this letter" in pages.get(f"{ONE}/discard").text

    response = pages.post(f"{ONE}/discard", {"why": "not needed"})

    assert response.headers["location"] == "/ui/dead"
    assert sent(answered, "POST /dead/discard") == {"queue": "prices", "ids": [LETTER]}


def test_a_reason_that_no_header_takes_is_an_error_at_its_field(pages: Pages, answered: Answers) -> None:
    problem = {
        "status": 422,
        "title": "x",
        "detail": "should match pattern",
        "where": "header.Mousetrap-Reason",
    }
    answered.given["POST /dead/discard"] = (422, problem)

    response = pages.post(f"{ONE}/discard", {"why": "é"})

    assert response.status_code == 422
    assert "should match pattern" in response.text and 'value="é"' in response.text


def test_an_input_that_is_kept_elsewhere_is_named(pages: Pages, answered: Answers) -> None:
    reference = {"key": f"{RUN}/in", "sha256": "a" * 64, "size": 9_000_000}
    answered.given[f"GET {ONE}"] = (200, letter(payload=None, payload_reference=reference))

    text = pages.get(ONE).text

    assert "9,000,000 bytes" in text and f"{RUN}/in" in text
    assert f"{ONE}/edit" not in text


def test_a_letter_that_is_gone_is_a_page_with_a_sentence(pages: Pages, answered: Answers) -> None:
    problem = {"status": 404, "title": "There is no such dead letter", "detail": f"{LETTER} is no longer one"}
    answered.given[f"GET {ONE}"] = (404, problem)

    response = pages.get(ONE)

    assert response.status_code == 404
    assert "is no longer one" in response.text


def test_while_the_broker_is_away_nothing_can_be_done(pages: Pages, answered: Answers) -> None:
    pages.get("/dead")
    pages.get(ONE)
    answered.given |= {line: (503, AWAY) for line in answered.given if line.startswith("GET /dead")}

    assert "Redrive…</button>" in pages.get("/dead").text
    assert "/ui/dead/redrive" not in pages.get("/dead").text
    assert "disabled" in pages.get(ONE).text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_harmless_on_every_page(pages: Pages, answered: Answers, text: str) -> None:
    names = ("id", "queue", "reason", "error_kind", "error", "worker", "run_id", "pipeline", "stage")
    story = dict.fromkeys(names, text)
    payload = {text: [text]}
    found = groups(letter_line(**story))
    note = {"text": text, "who": text, "at_ms": 1}
    found["groups"][0] |= {"note": note, "texts": [{"text": text, "count": 2}, {"text": "x", "count": 2}]}
    answered.given |= {
        "GET /dead/groups": (200, found),
        "GET /dead": (
            200,
            {"letters": [letter_line(**story, tags=[text])], "matched": 1, "seen": 1, "unseen": 0},
        ),
        f"GET {ONE}": (200, letter(**story, traceback=text, payload=payload)),
        "GET /dead/prices/foreign": (200, letter(**story, believed=False, body=text, payload=None)),
    }

    for path in (
        "/dead",
        "/dead/note",
        "/dead/redrive",
        "/dead/discard",
        ONE,
        f"{ONE}/edit",
        "/dead/prices/foreign",
    ):
        response = pages.get(path, queue=text, reason=text, error=text)
        assert response.status_code == 200
        check_harmless(response.text)
    check_harmless(pages.post(f"{ONE}/edit", {"input": json.dumps([text])}).text)


def test_full_pages_are_below_100_kb(pages: Pages, answered: Answers) -> None:
    many = [letter_line(queue=f"queue-{index}", error="é" * 500) for index in range(300)]
    found = groups(*many)
    for each in found["groups"]:
        each |= {"recent": [it * 7 % 9 for it in range(12)], "texts": [{"text": "é" * 500, "count": 3}] * 10}
        each["note"] = {"text": "é" * 1_000, "who": "anna", "at_ms": 1}
    lines = {"letters": [letter_line(error="é" * 500)] * 50, "matched": 50, "seen": 50, "unseen": 0}
    answered.given |= {
        "GET /dead/groups": (200, found),
        "GET /dead": (200, lines),
        f"GET {ONE}": (200, letter(body="x" * 10_000_000, payload=None, traceback="y" * 1_000_000)),
    }

    text = pages.get("/dead").text

    assert "270 smaller groups have no room here" in text
    assert len(text.encode()) < 100_000
    assert len(pages.get(ONE).content) < 100_000


def test_a_letter_of_brackets_makes_no_form_of_megabytes(pages: Pages, answered: Answers) -> None:
    deep: list[object] = []
    for _ in range(400):
        deep = [deep]
    answered.given[f"GET {ONE}"] = (200, letter(payload={str(name): deep for name in range(20)}))

    response = pages.get(f"{ONE}/edit")

    assert response.status_code == 200
    assert len(response.content) < 100_000
