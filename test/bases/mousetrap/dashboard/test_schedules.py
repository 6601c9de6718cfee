"""Checks the pages of schedules: the list, one of them, its forms."""

from typing import Any

import msgspec
import pytest

from support.dashboard import Answers, Pages
from support.hostile import HOSTILE, check_harmless

AT_MS = 1_765_000_000_000
ONE = "/schedules/nightly"
RUN = "019b1f0c6a7e4d5f8a9b0c1d2e3f4a5b"


def schedule(**more: Any) -> dict[str, Any]:
    return {
        "name": "nightly",
        "pipeline": "earthquakes",
        "cron": "30 2 * * *",
        "tz": "Europe/Berlin",
        "words": "At 02:30 every day (Europe/Berlin)",
        "input": {"url": "http://feed"},
        "missed": "once",
        "most": 100,
        "catch_up": 86_400,
        "overlap": "queue_one",
        "jitter": 30,
        "tags": ["a"],
        "origin": "api",
        "created_ms": AT_MS,
        "changed_ms": AT_MS,
        "changed_by": "anna",
        "next": [{"at_ms": AT_MS, "local": "2026-11-30T02:30:00+01:00"}],
        "past": [
            {"at_ms": AT_MS, "became": "fired", "decided_ms": AT_MS, "run_id": RUN},
            {"at_ms": AT_MS, "became": "missed", "decided_ms": AT_MS, "count": 14},
            {
                "at_ms": AT_MS,
                "became": "refused",
                "decided_ms": AT_MS,
                "why": "Expected `int`",
                "cause": "backfill",
            },
        ],
        **more,
    }


PAUSED = {"who": "anna", "at_ms": AT_MS, "why": "ticket 81"}


@pytest.fixture
def answered(answers: Answers) -> Answers:
    acts = ("run", "pause", "resume", "backfill")
    answers.given |= {
        "GET /schedules": (200, {"schedules": [schedule()], "next": "nightly"}),
        f"GET {ONE}": (200, schedule()),
        f"PATCH {ONE}": (200, schedule()),
        f"DELETE {ONE}": (204, None),
        **{f"POST {ONE}/{act}": (200, {}) for act in acts},
    }
    return answers


def test_schedules_are_listed_with_what_is_next_and_what_was(pages: Pages, answered: Answers) -> None:
    text = pages.get("/schedules", after="daily").text

    assert "At 02:30 every day (Europe/Berlin)" in text and "2026-11-30T02:30:00+01:00" in text
    assert f'href="/ui{ONE}"' in text and 'href="/ui/schedules?after=nightly"' in text
    assert answered.asked[-1][:2] == ("GET /schedules", "after=daily")


def test_no_schedule_is_explained(pages: Pages, answered: Answers) -> None:
    answered.given["GET /schedules"] = (200, {"schedules": []})
    assert "mousetrap schedules add" in pages.get("/schedules").text


def test_one_shows_its_times_its_ticks_and_what_can_be_done(pages: Pages, answered: Answers) -> None:
    text = pages.get(ONE).text

    for part in (
        "30 2 * * *",
        "http://feed",
        "queue one",
        "missed 14",
        "Expected `int`",
        "backfill",
        "by anna",
    ):
        assert part in text, part
    assert f'href="/ui/runs/{RUN}"' in text and "tag=schedule%3Anightly" in text
    for act in ("run", "pause", "backfill", "change", "remove"):
        assert f'href="/ui{ONE}/{act}"' in text
    assert f'href="/ui{ONE}/resume"' not in text


def test_one_that_is_paused_in_code_is_resumed_and_not_changed(pages: Pages, answered: Answers) -> None:
    answered.given[f"GET {ONE}"] = (
        200,
        schedule(paused=PAUSED, next=[], origin="code", waits="the store is full"),
    )

    text = pages.get(ONE).text

    assert "Paused by anna" in text and "ticket 81" in text and "the store is full" in text
    assert f'href="/ui{ONE}/resume"' in text and f'href="/ui{ONE}/change"' not in text
    answered.given[f"GET {ONE}"] = (200, schedule(paused={**PAUSED, "orphaned": True}, origin="code"))
    assert f'href="/ui{ONE}/remove"' in pages.get(ONE).text


@pytest.mark.parametrize(
    ("act", "form", "line", "body"),
    [
        ("run", {"key": "one"}, f"POST {ONE}/run", None),
        ("pause", {}, f"POST {ONE}/pause", None),
        ("resume", {"make_up": "yes"}, f"POST {ONE}/resume", {"make_up": True}),
        ("resume", {}, f"POST {ONE}/resume", {"make_up": False}),
        (
            "backfill",
            {"from": "2026-11-29T00:00", "to": "2026-11-30T00:00"},
            f"POST {ONE}/backfill",
            {"from_ms": 1_795_910_400_000, "to_ms": 1_795_996_800_000},
        ),
        ("change", {"cron": "0 3 * * *", "tz": ""}, f"PATCH {ONE}", {"cron": "0 3 * * *", "tz": "UTC"}),
        ("change", {"cron": "30 2 * * *", "every": "60"}, f"PATCH {ONE}", {"every": 60}),
        (
            "change",
            {
                "every": "90.5",
                "anchor_ms": "2026-11-29T00:00",
                "input": '{"n": 1.10, "big": 18446744073709551617}',
                "tick_as": "day",
                "missed": "all",
                "most": "7",
                "catch_up": "60",
                "overlap": "allow",
                "jitter": "0",
                "expires_after": "600",
                "priority": "9",
                "tags": "a\r\nb, c\r\n",
            },
            f"PATCH {ONE}",
            {
                "every": 90.5,
                "anchor_ms": 1_795_910_400_000,
                "input": {"n": 1.10, "big": 18446744073709551617},
                "tick_as": "day",
                "missed": "all",
                "most": 7,
                "catch_up": 60,
                "overlap": "allow",
                "jitter": 0,
                "expires_after": 600,
                "priority": 9,
                "tags": ["a", "b, c"],
            },
        ),
        ("change", {"input": "", "tags": ""}, f"PATCH {ONE}", {"input": None, "tags": []}),
        ("remove", {}, f"DELETE {ONE}", None),
    ],
)
def test_a_form_asks_the_api(
    pages: Pages, answered: Answers, act: str, form: dict[str, str], line: str, body: Any
) -> None:
    page = pages.get(f"{ONE}/{act}")
    response = pages.post(f"{ONE}/{act}", {**form, "reason": "ticket 81"})

    assert page.status_code == 200 and f'action="/ui{ONE}/{act}"' in page.text
    assert response.status_code == 303
    assert response.headers["location"].startswith("/ui/schedules" if act == "remove" else f"/ui{ONE}")
    asked = next(it for it in answered.asked if it[0] == line)
    assert (msgspec.json.decode(asked[2]) if asked[2] else None) == body
    headers = answered.headers[answered.asked.index(asked)]
    assert headers["mousetrap-reason"] == "ticket 81"
    assert act != "run" or headers["idempotency-key"] == "one"


@pytest.mark.parametrize("name", ["most", "priority", "expires_after", "jitter", "every"])
@pytest.mark.parametrize("text", ["nan", "inf", "1e300", "9" * 5_000, "²"])
def test_what_is_no_number_that_json_has_goes_to_the_api_as_it_was_typed(
    pages: Pages, answered: Answers, name: str, text: str
) -> None:
    response = pages.post(f"{ONE}/change", {name: text})

    assert response.status_code == 303
    (body,) = [body for line, _, body in answered.asked if line == f"PATCH {ONE}"]
    assert msgspec.json.decode(body) == {name: text}


@pytest.mark.parametrize(
    ("act", "form", "where"),
    [
        ("change", {"cron": "0 0 30 2 *"}, "body.cron"),
        ("change", {"every": "x"}, "body.every"),
        ("change", {"anchor_ms": "never"}, "body.anchor"),
        ("change", {"catch_up": "x"}, "body.catch_up"),
        ("change", {"priority": "10"}, "body.priority"),
        ("change", {"cron": "1 * * * *", "every": "60"}, "body.cron"),
        ("backfill", {"from": "never", "to": "2026-11-30T00:00"}, "body.from_ms"),
        ("backfill", {"from": "2026-11-29T00:00", "to": "2026-11-30T00:00"}, "body"),
        ("pause", {"reason": "é"}, "header.Mousetrap-Reason"),
    ],
)
def test_what_the_api_refuses_is_shown_at_its_field(
    pages: Pages, answered: Answers, act: str, form: dict[str, str], where: str
) -> None:
    problem = (422, {"status": 422, "title": "Invalid", "detail": "it never fires", "where": where})
    answered.given |= {f"PATCH {ONE}": problem, f"POST {ONE}/{act}": problem}

    response = pages.post(f"{ONE}/{act}", form)

    assert response.status_code == 422 and response.text.count("it never fires") == 1
    assert all(f'value="{value}"' in response.text for value in form.values())


def test_the_form_of_changes_shows_each_member_as_it_is_and_sends_none_of_them_unchanged(
    pages: Pages, answered: Answers
) -> None:
    given = schedule(cron=None, every=90.5, anchor_ms=AT_MS + 250, expires_after=1e-3, tags=["a", "b, c"])
    answered.given[f"GET {ONE}"] = (200, given)
    text = pages.get(f"{ONE}/change").text
    shown = {
        "tz": "Europe/Berlin",
        "every": "90.5",
        "anchor_ms": "2025-12-06T05:46:40.250",
        "catch_up": "86400",
        "expires_after": "0.001",
        "most": "100",
        "priority": "4",
    }
    for name, value in shown.items():
        assert f'name="{name}" value="{value}"' in text
    assert '<option value="queue_one" selected>' in text and '<option value="once" selected>' in text
    fields = {
        **shown,
        "cron": "",
        "input": '{\r\n  "url": "http://feed"\r\n}',
        "missed": "once",
        "overlap": "queue_one",
        "jitter": "30",
        "tags": "a\r\nb, c",
    }

    assert pages.post(f"{ONE}/change", fields).status_code == 303

    assert next(it[2] for it in answered.asked if it[0] == f"PATCH {ONE}") == b"{}"


@pytest.mark.parametrize(("where", "sent"), [("$.url", True), ("body.input", False)])
def test_what_is_wrong_with_the_input_is_shown_at_it(
    pages: Pages, answered: Answers, where: str, sent: bool
) -> None:
    problem = {"status": 422, "title": "Invalid", "detail": "it is no JSON: too short", "where": where}
    answered.given[f"PATCH {ONE}"] = (422, problem)

    response = pages.post(f"{ONE}/change", {"input": '{"url": 5}' if sent else "{"})

    assert response.status_code == 422 and "it is no JSON" in response.text
    assert response.text.index('name="input"') < response.text.index('class="error"')
    assert any(it[0].startswith("PATCH") for it in answered.asked) == sent


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_of_others_stay_texts(pages: Pages, answered: Answers, text: str) -> None:
    hostile = schedule(
        words=text,
        input={"x": text},
        tags=[text],
        waits=text,
        paused={**PAUSED, "who": text, "why": text},
        changed_by=text,
    )
    answered.given |= {"GET /schedules": (200, {"schedules": [hostile]}), f"GET {ONE}": (200, hostile)}

    for path in ("/schedules", ONE, f"{ONE}/pause", f"{ONE}/change"):
        check_harmless(pages.get(path).text)
