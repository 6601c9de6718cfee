"""Checks the pages of operations: the list, one of them, its stop."""

import pytest

from support.dashboard import Answers, Pages
from support.dashboard_ops import LETTER, OPERATION, RUN, operation
from support.hostile import HOSTILE, check_harmless

ONE = f"/operations/{OPERATION}"


@pytest.fixture
def answered(answers: Answers) -> Answers:
    answers.given |= {
        "GET /operations": (200, {"operations": [operation()], "next": "1765000000000:x"}),
        f"GET {ONE}": (200, operation()),
        f"GET {ONE}/runs": (200, {"runs": [], "next": None}),
        f"POST {ONE}/stop": (200, operation(state="stopped")),
    }
    return answers


def test_operations_are_listed_by_state_and_page(pages: Pages, answered: Answers) -> None:
    text = pages.get("/operations", state="running", after="1765000000001:y").text

    assert "Redrive dead letters" in text and "120 of 400 tried" in text and "anna: ticket 81" in text
    assert answered.asked[-1][1] == "after=1765000000001%3Ay&state=running"
    assert 'href="/ui/operations?state=running&amp;after=1765000000000%3Ax"' in text


def test_a_state_that_is_none_is_not_asked_for(pages: Pages, answered: Answers) -> None:
    assert pages.get("/operations", state="lost").status_code == 200
    assert answered.asked[-1][1] == ""


def test_no_operation_is_explained(pages: Pages, answered: Answers) -> None:
    answered.given["GET /operations"] = (200, {"operations": []})

    assert "Nothing was repaired in bulk yet" in pages.get("/operations").text
    assert "No operation is stopped" in pages.get("/operations", state="stopped").text


def test_one_shows_what_who_why_and_how_far(pages: Pages, answered: Answers) -> None:
    text = pages.get(ONE).text

    assert "120 of 400 tried" in text and "28 s left at 10 a second" in text
    assert "anna" in text and "ticket 81" in text
    assert "its run is gone" in text and LETTER in text
    assert f'href="/ui{ONE}/stop"' in text
    assert f'data-stream="/ui/live{ONE}"' in text


def line(run_id: str, state: str) -> dict[str, object]:
    return {
        "id": run_id,
        "pipeline": "orders",
        "state": state,
        "stage": "price",
        "accepted_ms": 1,
        "updated_ms": 2,
    }


def test_one_shows_the_runs_that_it_acted_on_until_they_have_ended(pages: Pages, answered: Answers) -> None:
    answered.given[f"GET {ONE}"] = (200, operation(state="done", filter={"queue": "prices", "text": "a b"}))
    runs = [line(f"run{place}", "completed") for place in range(40)] + [line("bad", "failed")]
    answered.given[f"GET {ONE}/runs"] = (200, {"runs": runs, "next": None})
    over = pages.get(ONE).text
    answered.given[f"GET {ONE}/runs"] = (200, {"runs": [line("run1", "running")], "next": None})
    going = pages.get(ONE).text

    assert over.index('href="/ui/runs/bad"') < over.index('href="/ui/runs/run0"') and "runs/run39" not in over
    assert "40 <span" in over and "1 <span" in over and "Of the first 41" in over
    assert 'href="/ui/dead?queue=prices&amp;text=a+b"' in over
    assert "data-stream" not in over and "data-stream" in going


def test_one_of_letters_by_their_ids_leads_to_no_list(pages: Pages, answered: Answers) -> None:
    answered.given[f"GET {ONE}"] = (200, operation(state="done", filter={"ids": [LETTER]}))

    assert "match now" not in pages.get(ONE).text


def test_one_whose_record_has_no_rate_is_shown_without_an_estimate(pages: Pages, answered: Answers) -> None:
    answered.given[f"GET {ONE}"] = (200, operation(rate=0))

    response = pages.get(ONE)

    assert response.status_code == 200
    assert "120 of 400 tried" in response.text and " s left" not in response.text


def test_one_that_looks_for_targets_shows_it(pages: Pages, answered: Answers) -> None:
    answered.given[f"GET {ONE}"] = (
        200,
        operation(kind="rerun", begin="failed", finding=True, waits="the broker is away"),
    )

    text = pages.get(ONE).text

    assert "looks for targets, 400 so far" in text
    assert "Repeat runs from failed" in text
    assert "the broker is away" in text


def test_one_that_has_ended_changes_no_more(pages: Pages, answered: Answers) -> None:
    ended = operation(state="done", left=0, ended_ms=1_765_000_040_000, unseen=None, kind="cancel")
    answered.given[f"GET {ONE}"] = (200, {**ended, "failures": [{"target": RUN, "error": "it had ended"}]})

    text = pages.get(ONE).text

    assert "took 40 s" in text and "more match than one operation takes" in text
    assert f'href="/ui/runs/{RUN}"' in text
    assert "data-stream=" not in text and f"{ONE}/stop" not in text


def test_a_stop_asks_first_and_leads_back(pages: Pages, answered: Answers) -> None:
    assert "Stop it, with 280 left" in pages.get(f"{ONE}/stop").text

    response = pages.post(f"{ONE}/stop")

    assert (response.status_code, response.headers["location"]) == (303, f"/ui{ONE}")


def test_one_that_ended_before_its_stop_is_an_error(pages: Pages, answered: Answers) -> None:
    problem = {
        "status": 409,
        "title": "The operation has ended",
        "detail": "there is nothing to stop: the operation is done",
    }
    answered.given[f"POST {ONE}/stop"] = (409, problem)

    response = pages.post(f"{ONE}/stop")

    assert response.status_code == 409
    assert "there is nothing to stop" in response.text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_harmless(pages: Pages, answered: Answers, text: str) -> None:
    failure = {"target": text, "error": text}
    hostile = operation(
        filter={text: text, "error": text}, who=text, reason=text, waits=text, failures=[failure], begin=text
    )
    answered.given |= {
        "GET /operations": (200, {"operations": [hostile, {**hostile, "kind": "rerun"}], "next": text}),
        f"GET {ONE}": (200, {**hostile, "kind": "cancel"}),
        f"GET {ONE}/runs": (
            200,
            {"runs": [{**line(text, "failed"), "failure": {"kind": text, "text": text}}], "next": None},
        ),
    }

    for path in ("/operations", ONE, f"{ONE}/stop"):
        check_harmless(pages.get(path).text)


def test_a_full_list_is_below_100_kb(pages: Pages, answered: Answers) -> None:
    answered.given["GET /operations"] = (200, {"operations": [operation()] * 50, "next": None})

    assert len(pages.get("/operations").content) < 100_000
