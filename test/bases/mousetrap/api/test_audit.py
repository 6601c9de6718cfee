"""Every act and every refused caller has an audit record."""

import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from mousetrap.api_keys import new_key
from support.ports import closed_port
from support.waiting import until

RUNS = "/pipelines/earthquakes/runs"
KEY, ENTRY = new_key("operator", ["read", "run", "operate"], bytes(32))
READ, READ_ENTRY = new_key("reader", ["read"], bytes(range(32)))

Serve = Callable[..., httpx.Client]


@pytest.fixture
def api(serve: Serve) -> httpx.Client:
    api = serve(api_keys=f"{ENTRY},{READ_ENTRY}")
    api.headers.update({"X-API-Key": KEY, "Mousetrap-Reason": "order 66"})
    return api


def records(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """What the audit has written, without what every record of the log has."""
    usual = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
    found = [record.__dict__ for record in caplog.records if record.name == "mousetrap.audit"]
    return [{key: value for key, value in each.items() if key not in usual} for each in found]


def on_record(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """The one thing that was written, but for the address, which is of this machine."""
    (record,) = records(caplog)
    assert record.pop("address") == "127.0.0.1"
    return record


def test_a_cancellation_is_on_record(api: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    run_id = api.post(RUNS).json()["run_id"]
    api.delete(f"/runs/{run_id}")

    assert on_record(caplog) == {
        "who": "operator",
        "act": "cancel",
        "run": run_id,
        "outcome": "done",
        "count": 1,
        "reason": "order 66",
    }


def test_an_act_that_fails_is_on_record_with_why(api: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    api.delete("/runs/unknown")

    assert on_record(caplog)["outcome"] == "unknown-run"
    assert records(caplog)[0]["count"] == 0


def test_a_rerun_is_on_record_with_its_run(
    api: httpx.Client, worker: Any, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = api.post(RUNS).json()["run_id"]
    worker.complete(run_id, {})
    again = api.post(f"/runs/{run_id}/rerun").json()["run_id"]

    record = on_record(caplog)
    assert (record["act"], record["run"], record["new_run"]) == ("rerun", run_id, again)
    assert (record["begin"], record["outcome"], record["count"]) == ("start", "done", 1)


@pytest.mark.parametrize("act", ["redrive", "discard"])
def test_an_act_on_letters_is_on_record_with_its_filter(
    api: httpx.Client, caplog: pytest.LogCaptureFixture, act: str
) -> None:
    api.post(f"/dead/{act}", json={"reason": "contract", "queue": "start_fetch"})

    record = on_record(caplog)
    assert (record["who"], record["act"], record["outcome"], record["count"]) == ("operator", act, "done", 0)
    assert record["filter"] == {"reason": "contract", "queue": "start_fetch"}
    assert record["reason"] == "order 66"


@pytest.mark.parametrize(("body", "act"), [({}, "redrive"), ({"input": {}}, "edit")])
def test_an_act_on_one_letter_is_on_record(
    api: httpx.Client, caplog: pytest.LogCaptureFixture, body: Any, act: str
) -> None:
    assert api.post("/dead/start_fetch/a=b who=root/redrive", json=body).status_code == 404

    record = on_record(caplog)
    assert (record["act"], record["queue"], record["outcome"]) == (act, "start_fetch", "unknown-letter")
    assert str(record["letter"]) == '"a=b who=root"'


def test_many_ids_make_no_long_record(api: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    api.post("/dead/discard", json={"ids": [f"{number:0200}" for number in range(1000)]})

    ids = on_record(caplog)["filter"]["ids"]
    assert (len(ids), ids[-1]) == (21, "and 980 more")


def test_without_keys_the_one_who_acts_is_this_machine(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    serve().delete("/runs/unknown")

    record = on_record(caplog)
    assert (record["who"], "reason" in record) == ("loopback", False)


@pytest.mark.parametrize(
    ("key", "who", "kind"),
    [
        (None, "unknown", "key-missing"),
        (KEY[:-1], "unknown", "key-unknown"),
        (READ, "reader", "scope-missing"),
    ],
)
def test_a_refused_caller_is_on_record(
    serve: Serve, caplog: pytest.LogCaptureFixture, key: str | None, who: str, kind: str
) -> None:
    api = serve(api_keys=f"{ENTRY},{READ_ENTRY}")
    api.delete("/runs/a", headers={"X-API-Key": key} if key else {})

    record = on_record(caplog)
    assert record == {"who": who, "act": "refused", "what": "DELETE /runs/a", "outcome": kind, "count": 0}
    assert KEY[:-1] not in caplog.text


def test_a_foreign_page_is_on_record(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    serve().post(RUNS, headers={"Origin": "http://evil.example"})

    assert on_record(caplog)["outcome"] == "foreign-origin"


def test_reading_and_starting_are_not(api: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    run_id = api.post(RUNS).json()["run_id"]
    for path in (f"/runs/{run_id}", "/runs", "/dead", "/docs"):
        api.get(path)

    assert records(caplog) == []


def test_a_reason_that_is_no_text_is_refused(api: httpx.Client) -> None:
    answer = api.delete("/runs/a", headers={"Mousetrap-Reason": "x" * 256})

    assert (answer.status_code, answer.json()["where"]) == (422, "header.Mousetrap-Reason")


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_record_is_one_line_in_which_no_reason_looks_like_a_fact(start_api: Any, style: str) -> None:
    process, api = start_api(MOUSETRAP_LOG_FORMAT=style, MOUSETRAP_API_KEYS=ENTRY)
    headers = {"X-API-Key": KEY, "Mousetrap-Reason": "no more count=9 outcome=done"}

    api.delete("/runs/unknown", headers=headers)

    line = process.wait_for_line("unknown-run")
    if style == "json":
        record = json.loads(line)
        assert (record["logger"], record["who"], record["act"]) == ("mousetrap.audit", "operator", "cancel")
        assert (record["run"], record["reason"]) == ("unknown", "no more count=9 outcome=done")
    else:
        assert line.endswith('outcome=unknown-run count=0 reason="no more count=9 outcome=done"')
        assert ' who=operator act=cancel address=127.0.0.1 run="unknown" ' in line


def test_no_level_of_the_log_switches_it_off(api: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    root = logging.getLogger()
    before = root.level
    root.setLevel("ERROR")
    try:
        api.delete("/runs/unknown")
    finally:
        root.setLevel(before)

    assert on_record(caplog)["act"] == "cancel"


def test_acts_are_listed_from_the_trail(api: httpx.Client) -> None:
    run_id = api.post(RUNS).json()["run_id"]
    api.delete(f"/runs/{run_id}")
    api.delete("/runs/unknown")
    api.post("/dead/discard", json={"queue": "start_fetch"})

    (discarded, unknown, cancelled) = trail(api, 3)

    assert (discarded["act"], discarded["what"]) == ("discard", {"filter": {"queue": "start_fetch"}})
    assert (unknown["outcome"], unknown["count"]) == ("unknown-run", 0)
    assert cancelled.pop("id") and cancelled.pop("at_ms")
    assert cancelled == {
        "who": "operator",
        "act": "cancel",
        "address": "127.0.0.1",
        "outcome": "done",
        "count": 1,
        "reason": "order 66",
        "what": {"run": run_id},
    }
    assert len(api.get("/audit", params={"act": "cancel", "limit": 1}).json()["entries"]) == 1
    assert api.get("/audit", params={"who": "someone"}).json() == {"entries": [], "next": None}


def test_who_may_only_read_does_not_see_the_trail(api: httpx.Client) -> None:
    assert api.get("/audit", headers={"X-API-Key": READ}).status_code == 403


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 201}, {"after": "no place"}, {"whom": "x"}])
def test_a_question_to_the_trail_that_makes_no_sense_is_refused(api: httpx.Client, query: Any) -> None:
    assert api.get("/audit", params=query).status_code == 422


def test_without_the_store_an_act_is_in_the_log_and_the_trail_is_a_problem(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    api = serve(store_url=f"valkey://127.0.0.1:{closed_port()}/0")

    discarded = api.post("/dead/discard", json={"queue": "start_fetch"})
    listed = api.get("/audit")

    assert discarded.status_code == 200
    assert on_record(caplog)["outcome"] == "done"
    assert (listed.status_code, listed.json()["type"]) == (503, "urn:mousetrap:problem:store-away")


def trail(api: httpx.Client, count: int) -> list[dict[str, Any]]:
    """So many entries of the trail, once they are there: they are written beside the answers."""

    def listed() -> list[dict[str, Any]] | None:
        entries: list[dict[str, Any]] = api.get("/audit").json()["entries"]
        return entries if len(entries) >= count else None

    return until(listed, f"{count} acts are on the trail")
