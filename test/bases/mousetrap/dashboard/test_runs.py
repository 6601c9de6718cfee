"""Checks the list of runs: filters, rows that stay, bulk acts."""

import asyncio
import re
from contextlib import nullcontext
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest
from starlette.types import Receive, Scope, Send

from mousetrap.dashboard import Host, create_dashboard
from mousetrap.dashboard.run_filter import read_filter
from mousetrap.dashboard.view import Query
from support.dashboard import Answers, AtThisMachine, Pages
from support.hostile import HOSTILE, check_harmless

NOW_MS = 1_796_022_446_158
PIPELINE = {"name": "papers", "stages": [{"name": "read"}]}
NONE: tuple[int, Any] = (200, {"runs": [], "next": None})


def line(at: int, **more: Any) -> dict[str, Any]:
    times = {"accepted_ms": NOW_MS + at, "updated_ms": NOW_MS + at}
    return {"id": f"run{at}", "pipeline": "papers", "state": "running", "stage": "read", **times, **more}


def page(*runs: dict[str, Any], following: str | None = None) -> tuple[int, Any]:
    return 200, {"runs": list(runs), "next": following}


@pytest.fixture
def listed(answers: Answers) -> Answers:
    answers.given |= {
        "GET /pipelines": (200, [PIPELINE]),
        "GET /workers": (200, []),
        "GET /runs": page(line(3), line(2), line(1)),
    }
    return answers


def asked(answers: Answers, path: str = "GET /runs") -> list[dict[str, str]]:
    return [dict(parse_qsl(query)) for line, query, _ in answers.asked if line == path]


def ids(text: str) -> list[str]:
    return re.findall(r'<tr id="r-(\w+)"', text)


def stream(text: str) -> str:
    """The query of the page's stream."""
    (found,) = re.findall(r'data-stream="/ui/live/runs\?([^"]*)"', text)
    return str(found).replace("&amp;", "&")


FILTERS = {
    "state": "failed",
    "pipeline": "papers",
    "stage": "read",
    "worker": "w1",
    "error": "ValueError",
    "tag": "nightly",
    "id": "run",
    "from_ms": "1796022446158",
    "to_ms": "1796022446159",
    "repaired": "false",
}


@pytest.mark.parametrize(("name", "value"), FILTERS.items())
def test_each_filter_is_asked_of_the_api_and_shown_as_a_chip_that_comes_off(
    pages: Pages, listed: Answers, name: str, value: str
) -> None:
    text = pages.get("/runs", **{name: value, "pipeline": "papers"}).text

    assert asked(listed)[0] == {name: value, "pipeline": "papers", "limit": "50"}
    kept = "pipeline=papers" if name != "pipeline" else ""
    assert f'<a class="chip on" href="/ui/runs?{kept}" title="Take it off">' in text


def test_all_that_match_can_be_kept_as_a_file(pages: Pages, listed: Answers) -> None:
    assert 'href="/ui/runs/export?state=failed&amp;format=csv"' in pages.get("/runs", state="failed").text
    listed.given["GET /export/runs"] = (200, "all")

    answer = pages.get("/runs/export", state="failed", format="csv")

    assert answer.headers["content-disposition"] == 'attachment; filename="runs.csv"'
    assert asked(listed, "GET /export/runs") == [{"state": "failed", "format": "csv"}]


def test_a_time_in_a_field_is_utc(pages: Pages, listed: Answers) -> None:
    pages.get("/runs", **{"from": "2026-11-30T07:07:26.158", "to": "2026-11-30T07:07:27"})

    assert asked(listed)[0] == {"from_ms": "1796022446158", "to_ms": "1796022447000", "limit": "50"}


def test_a_filter_that_the_api_refuses_is_an_error_at_its_field(pages: Pages, listed: Answers) -> None:
    problem = {
        "status": 422,
        "title": "The request is not valid",
        "detail": "no such state",
        "where": "query.state",
    }
    listed.given["GET /runs"] = (422, problem)

    response = pages.get("/runs", state="nonsense", worker="w1")

    assert response.status_code == 422
    assert "no such state" in response.text and 'value="w1"' in response.text


def test_where_nothing_matches_the_condition_that_keeps_all_out_is_named(
    pages: Pages, listed: Answers
) -> None:
    listed.given["GET /runs"] = NONE
    listed.given["GET /runs?state=failed&limit=1"] = page(line(1))

    text = pages.get("/runs", state="failed", tag="x").text

    (chip,) = re.findall(r"Some runs match without one of these: <a[^>]*>([^<]*)<", text)
    assert chip.strip() == "tag: x"


def test_without_any_run_the_first_command_is_shown(pages: Pages, listed: Answers) -> None:
    listed.given["GET /runs"] = NONE

    assert "<code>mousetrap run papers</code>" in pages.get("/runs").text


def test_a_page_that_looked_at_too_many_runs_leads_further(pages: Pages, listed: Answers) -> None:
    listed.given["GET /runs"] = page(following="1796022446158:run9")

    assert 'href="/ui/runs?stage=x&amp;after=1796022446158%3Arun9"' in pages.get("/runs", stage="x").text


def test_older_runs_are_a_page_of_their_own(pages: Pages, listed: Answers) -> None:
    listed.given["GET /runs"] = page(line(3), following="1796022446160:run2")
    text = pages.get("/runs", state="running").text
    (older,) = re.findall(r'href="/ui(/runs[^"]*)">Older', text)

    pages.get("/runs", **dict(parse_qsl(older.partition("?")[2].replace("&amp;", "&"))))

    assert asked(listed)[-1] == {"state": "running", "limit": "50", "after": "1796022446160:run2"}


def live(pages: Pages, text: str) -> str:
    """The page as its stream sees it."""
    return pages.get("/runs", **dict(parse_qsl(stream(text), keep_blank_values=True))).text


def test_rows_stay_where_they_are_while_newer_runs_are_counted(pages: Pages, listed: Answers) -> None:
    first = pages.get("/runs", state="running").text
    listed.given["GET /runs"] = page(line(5), line(4), line(3, stage="sum"), line(2), line(1))

    text = live(pages, first)

    assert ids(text) == ["run3", "run2", "run1"]
    assert ">sum</td>" in text
    assert re.search(r'href="/ui/runs\?state=running">2 new', text)


def test_a_row_that_matches_no_more_stays_and_shows_its_state(pages: Pages, listed: Answers) -> None:
    first = pages.get("/runs", state="running").text
    listed.given["GET /runs"] = page(line(3), line(1))
    listed.given["GET /runs?id=run2&limit=1"] = page(line(2, state="completed"))

    text = live(pages, first)

    assert ids(text) == ["run3", "run2", "run1"]
    assert "changed" in text and "</svg>completed</span> <span" in text


def test_a_damaged_run_stays_in_its_row_and_hides_no_other(pages: Pages, listed: Answers) -> None:
    damaged = {**line(4), "state": "unreadable", "pipeline": "", "accepted_ms": 0, "unreadable": ["a", "b"]}
    listed.given["GET /runs"] = page(damaged, line(3), following=f"{NOW_MS + 3}:run3")
    first = pages.get("/runs").text
    listed.given["GET /runs"] = page(line(5), damaged, following=f"{NOW_MS + 4}:run4")
    listed.given[f"GET /runs?limit=50&after={NOW_MS + 4}%3A-"] = page(line(3))

    text = live(pages, first)

    assert ids(first) == ids(text) == ["run4", "run3"]
    assert ">1 new" in text
    assert "1970" not in text and "and 1 more" in text


def test_with_many_newer_runs_the_shown_ones_are_asked_for_by_their_place(
    pages: Pages, listed: Answers
) -> None:
    first = pages.get("/runs").text
    many = [line(at) for at in range(60, 10, -1)]
    listed.given["GET /runs"] = page(*many, following=f"{NOW_MS + 11}:run11")
    listed.given[f"GET /runs?limit=50&after={NOW_MS + 4}%3A-"] = page(line(3), line(2), line(1))

    text = live(pages, first)

    assert ids(text) == ["run3", "run2", "run1"]
    assert "50+ new" in text


def test_of_many_rows_that_match_no_more_few_are_asked_for(pages: Pages, listed: Answers) -> None:
    listed.given["GET /runs"] = page(*(line(at) for at in range(50, 0, -1)))
    first = pages.get("/runs", state="running").text
    listed.given["GET /runs"] = NONE
    listed.asked.clear()

    text = live(pages, first)

    assert len(asked(listed)) == 11
    assert len(ids(text)) == 50 and text.count("no longer matches the filter") >= 40


OPERATION = {
    "id": "op1",
    "kind": "cancel",
    "state": "running",
    "filter": {},
    "rate": 100,
    "who": "",
    "created_ms": 1,
    "updated_ms": 1,
}


def test_cancelling_all_that_match_asks_with_count_and_filter_and_begins_an_operation(
    pages: Pages, listed: Answers
) -> None:
    listed.given["POST /runs/cancel"] = (202, OPERATION)

    text = pages.get("/runs/cancel", all="1", state="running", tag="x", from_ms="5").text
    (key,) = re.findall(r'name="key" value="(\w+)"', text)
    form = {
        "all": "1",
        "state": "running",
        "tag": "x",
        "from_ms": "5",
        "key": key,
        "reason": "r",
        "rate": "10",
    }
    done = pages.post("/runs/cancel", form)

    assert (
        "<strong>3 runs</strong>" in text
        and "state: running, tag: x, from 1970-01-01 00:00:00.005 UTC" in text
    )
    assert (done.status_code, done.headers["location"]) == (303, "/ui/operations/op1")
    (body,) = [body for path, _, body in listed.asked if path == "POST /runs/cancel"]
    assert msgspec.json.decode(body) == {"state": "running", "tag": "x", "from_ms": 5, "rate": 10}


def test_without_a_state_only_the_runs_are_counted_that_the_act_is_for(pages: Pages, listed: Answers) -> None:
    listed.given["GET /runs"] = NONE
    for state in ("queued", "completed", "failed"):
        listed.given[f"GET /runs?state={state}&limit=200"] = page(line(1))

    assert "<strong>1 run</strong>" in pages.get("/runs/cancel", all="1").text
    assert "<strong>2 runs</strong>" in pages.get("/runs/rerun", all="1").text


def test_above_a_thousand_the_word_is_to_be_typed(pages: Pages, listed: Answers) -> None:
    listed.given["GET /runs"] = page(*(line(at) for at in range(200)), following=f"{NOW_MS}:run0")
    listed.given["POST /runs/rerun"] = (202, OPERATION)
    form = {"all": "1", "state": "failed", "key": "k"}

    asked_first = pages.get("/runs/rerun", all="1", state="failed").text
    refused = pages.post("/runs/rerun", {**form, "typed": "no"})
    done = pages.post("/runs/rerun", {**form, "typed": "re-run"})

    assert "more than 1,000 runs" in asked_first and 'name="typed"' in asked_first
    assert refused.status_code == 422 and "type re-run to go on" in refused.text
    assert done.headers["location"] == "/ui/operations/op1"


def test_the_selected_runs_are_acted_on_one_by_one(pages: Pages, listed: Answers) -> None:
    listed.given |= {
        "DELETE /runs/run1": (200, {"run_id": "run1", "state": "cancelled"}),
        "DELETE /runs/run2": (
            409,
            {"status": 409, "title": "The run has ended", "detail": "there is nothing to cancel"},
        ),
    }

    text = pages.get("/runs/cancel", run=["run1", "run2"], state="running").text
    done = pages.post("/runs/cancel", {"run": ["run1", "run2"], "state": "running", "key": "k"})

    assert "<strong>2 selected runs</strong>" in text
    assert done.headers["location"] == "/ui/runs?state=running"
    after = pages.get("/runs", state="running").text
    assert "1 run is cancelled. 1 could not be: there is nothing to cancel." in after


def test_of_a_selection_some_are_acted_on_at_a_time(answers: Answers) -> None:
    both, begun = asyncio.Barrier(2), 0

    async def together(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal begun
        begun += 1
        await asyncio.wait_for(both.wait(), 60)
        await answers(scope, receive, send)

    answers.given |= {f"DELETE /runs/r{number}": (200, {}) for number in range(4)}
    apart = Pages(
        create_dashboard(Host(together, asyncio.Event(), lambda: True, nullcontext, AtThisMachine()))
    )
    selected = {"run": [f"r{number}" for number in range(4)]}

    assert apart.post("/runs/cancel", selected).status_code == 303
    assert begun == 4


def test_a_selection_is_repeated_with_a_key_for_each_run(pages: Pages, listed: Answers) -> None:
    listed.given["POST /runs/run1/rerun"] = (202, {"run_id": "new", "url": "/runs/new"})

    done = pages.post("/runs/rerun", {"run": "run1", "key": "k", "begin": "failed"})

    assert done.status_code == 303
    assert ("POST /runs/run1/rerun", "", b'{"from":"failed"}') in listed.asked


def test_nothing_selected_acts_on_nothing(pages: Pages, listed: Answers) -> None:
    response = pages.post("/runs/cancel", {"key": "k"})

    assert response.status_code == 422
    assert "No run is selected" in response.text
    assert not [path for path, *_ in listed.asked if not path.startswith("GET")]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_text_from_outside_never_becomes_markup_or_a_link(
    pages: Pages, listed: Answers, hostile: str
) -> None:
    failure = {"kind": hostile, "text": hostile}
    more = {
        "pipeline": hostile,
        "stage": hostile,
        "failure": failure,
        "tags": [hostile],
        "unreadable": [hostile],
    }
    listed.given["GET /runs"] = page(
        {**line(1), **more, "id": hostile, "progress": {"stage": hostile, "done": 1, "note": hostile}}
    )
    listed.given["GET /pipelines"] = (200, [{"name": hostile, "stages": [{"name": hostile}]}])

    response = pages.get("/runs", **dict.fromkeys(("pipeline", "worker", "error", "tag"), hostile))

    assert response.status_code == 200
    check_harmless(response.text)
    check_harmless(pages.get("/runs/cancel", all="1", tag=hostile, key=hostile, reason=hostile).text)
    check_harmless(pages.get("/runs/rerun", run=hostile, tag=hostile, begin=hostile).text)


def test_the_page_of_fifty_runs_with_long_errors_is_small(pages: Pages, listed: Answers) -> None:
    failure = {"kind": "shop.errors." + "E" * 200, "text": '"' * 3_000}
    listed.given["GET /runs"] = page(
        *(line(at, id=f"{at:064}", failure=failure, state="failed") for at in range(50))
    )

    assert len(pages.get("/runs").content) < 100_000


def test_a_filter_is_the_same_after_a_round_through_an_address() -> None:
    wanted = read_filter(Query.parse("tag=a%26b&state=failed&other=1&repaired=false&to_ms=5"))

    assert read_filter(Query.parse(str(wanted.query()))) == wanted
    assert wanted.body() == {"tag": "a&b", "state": "failed", "repaired": False, "to_ms": 5}
    assert wanted.words() == "state: failed, tag: a&b, to 1970-01-01 00:00:00.005 UTC, not repaired"
    assert read_filter(Query.parse("from=nonsense")).body() == {"from_ms": "nonsense"}
    assert read_filter(Query()).body() == {"all": True}
