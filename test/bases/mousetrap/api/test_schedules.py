"""Schedules over HTTP: made, shown, changed, paused, fired by hand."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from mousetrap.api.declared import declared_schedules
from mousetrap.catalogue import PIPELINES
from mousetrap.scheduler import open_schedules
from mousetrap.schedules import Change, Schedule, created
from mousetrap.settings import SettingsWrong
from mousetrap.signing import Keyring
from support.waiting import until

Serve = Callable[..., httpx.Client]

HOUR_MS = 3_600_000
HOURLY = {"name": "hourly", "pipeline": "earthquakes", "every": 3600}
NIGHTLY = {"name": "nightly", "pipeline": "earthquakes", "cron": "30 2 * * *", "tz": "Europe/Berlin"}
WHY = {"Mousetrap-Reason": "ticket 81"}


def make(api: httpx.Client, **members: Any) -> dict[str, Any]:
    answer = api.post("/schedules", json=members)
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"/schedules/{members['name']}"
    made: dict[str, Any] = answer.json()
    return made


def acts(api: httpx.Client) -> list[tuple[str, str, int]]:
    entries = api.get("/audit").json()["entries"]
    return [(it["act"], it["outcome"], it["count"]) for it in reversed(entries)]


def test_a_schedule_is_made_shown_in_words_and_listed(api: httpx.Client) -> None:
    made = make(api, **NIGHTLY, input={"url": "http://feed"}, jitter=30, tags=["a"])
    make(api, **HOURLY)

    shown = api.get("/schedules/nightly").json()
    page = api.get("/schedules", params={"limit": 1}).json()

    assert shown["words"] == "At 02:30 every day (Europe/Berlin)"
    assert (shown["origin"], shown["changed_by"], shown["every"], shown["catch_up"]) == (
        "api",
        "loopback",
        None,
        86400,
    )
    assert shown["input"] == {"url": "http://feed"}
    assert len(shown["next"]) == 5 and all("T02:30:00+0" in tick["local"] for tick in shown["next"])
    assert {**shown, "next": []} == {**made, "next": []}
    assert [it["name"] for it in page["schedules"]] == ["hourly"] and page["next"] == "hourly"
    rest = api.get("/schedules", params={"after": "hourly"}).json()
    assert [it["name"] for it in rest["schedules"]] == ["nightly"] and rest["next"] is None


@pytest.mark.parametrize(
    ("members", "status", "where", "text"),
    [
        ({**NIGHTLY, "cron": "0 0 30 2 *"}, 422, "body.cron", "never fires"),
        ({**NIGHTLY, "tz": "Mars/Base"}, 422, "body.tz", "no zone"),
        ({**NIGHTLY, "every": 60}, 422, "body.cron", "both given"),
        ({**NIGHTLY, "cron": None}, 422, "body.cron", "neither cron nor every"),
        ({**HOURLY, "every": 0}, 422, "body.every", "greater than or equal to 1"),
        ({**HOURLY, "overlap": "skip", "missed": "all"}, 422, "body.overlap", "begin together"),
        ({**HOURLY, "name": "no name"}, 422, "body.name", "with a letter first"),
        ({**HOURLY, "nmae": "hourly"}, 422, "body.nmae", "Extra inputs"),
        ({**HOURLY, "pipeline": "papers"}, 404, None, "GET /pipelines"),
        ({**HOURLY, "input": {"url": "ftp://feed"}}, 422, "$.url", "regex"),
        ({**HOURLY, "input": [], "tick_as": "day"}, 422, "body.tick_as", "no members"),
    ],
)
def test_what_has_no_meaning_is_refused_with_its_place(
    api: httpx.Client, members: dict[str, Any], status: int, where: str | None, text: str
) -> None:
    answer = api.post("/schedules", json=members)
    problem = answer.json()
    assert (answer.status_code, problem.get("where")) == (status, where), problem
    assert text in problem["detail"] and api.get("/schedules").json()["schedules"] == []


def test_a_name_is_taken_once(api: httpx.Client) -> None:
    make(api, **HOURLY)
    answer = api.post("/schedules", json=HOURLY)
    assert answer.status_code == 409 and answer.json()["type"].endswith("schedule-taken")


def test_a_tick_starts_a_run_with_the_schedules_name_as_a_tag(api: httpx.Client) -> None:
    make(api, **{**HOURLY, "name": "often", "every": 1}, tags=["a"])

    def fired() -> dict[str, Any] | None:
        shown: dict[str, Any] = api.get("/schedules/often").json()
        return shown if shown["past"] else None

    past = until(fired, "a tick has fired")["past"]
    run = api.get(f"/runs/{past[-1]['run_id']}").json()
    assert (past[-1]["became"], past[-1]["cause"], past[-1]["at_ms"] % 1000) == ("fired", "tick", 0)
    assert run["pipeline"] == "earthquakes" and run["tags"] == ["schedule:often", "a"]
    assert past[-1]["run_id"] in [
        it["id"] for it in api.get("/runs", params={"tag": "schedule:often"}).json()["runs"]
    ]


def test_members_are_changed_one_by_one(api: httpx.Client) -> None:
    make(api, **NIGHTLY, tags=["a"], input={"url": "http://feed"})

    def change(**members: Any) -> dict[str, Any]:
        answer = api.patch("/schedules/nightly", json=members)
        assert answer.status_code == 200, answer.text
        changed: dict[str, Any] = answer.json()
        return changed

    assert (change(tags=["b"])["tags"], change(cron="0 3 * * *")["tz"]) == (["b"], "Europe/Berlin")
    spaced = change(every=60)
    assert (spaced["cron"], spaced["tz"], spaced["every"], spaced["tags"]) == (None, "UTC", 60, ["b"])
    assert change(cron="0 4 * * *")["every"] is None
    assert change(input=None)["input"] is None
    refused = api.patch("/schedules/nightly", json={"cron": "never"})
    assert (refused.status_code, refused.json()["where"]) == (422, "body.cron")
    assert api.get("/schedules/nightly").json()["cron"] == "0 4 * * *"


def test_it_is_paused_resumed_and_removed_and_each_act_is_on_the_trail(api: httpx.Client) -> None:
    make(api, **HOURLY)

    paused = api.post("/schedules/hourly/pause", headers=WHY).json()
    again = api.post("/schedules/hourly/pause").json()
    resumed = api.post("/schedules/hourly/resume", json={"make_up": True}).json()
    removed = api.delete("/schedules/hourly")

    assert (paused["paused"]["who"], paused["paused"]["why"], paused["next"]) == ("loopback", "ticket 81", [])
    assert again["paused"] == paused["paused"]
    assert resumed["paused"] is None and len(resumed["next"]) == 5
    assert (removed.status_code, removed.content) == (204, b"")
    until(lambda: len(acts(api)) == 5, "the acts are on the trail")
    assert acts(api) == [
        ("create_schedule", "done", 1),
        ("pause", "done", 1),
        ("pause", "done", 1),
        ("resume", "done", 1),
        ("remove_schedule", "done", 1),
    ]
    for method, path in [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/run")]:
        answer = api.request(method, f"/schedules/hourly{path}", json={} if method == "PATCH" else None)
        assert answer.status_code == 404 and answer.json()["type"].endswith("unknown-schedule")


@pytest.mark.parametrize(("pipeline", "status"), [("earthquakes", 409), ("of-no-one", 204)])
def test_a_worker_s_schedule_is_removed_once_no_one_has_its_pipeline(
    api: httpx.Client, store_url: str, pipeline: str, status: int
) -> None:
    hourly = Schedule("hourly", pipeline=pipeline, every=timedelta(hours=1))

    async def record() -> None:
        async with open_schedules(store_url, keyring=Keyring()) as schedules:
            await schedules.create(lambda now_ms: created(hourly, "worker", Change("worker", now_ms)))

    asyncio.run(record())
    assert api.delete("/schedules/hourly").status_code == status


def test_a_run_by_hand_goes_beside_the_ticks_and_once_for_each_key(api: httpx.Client) -> None:
    make(api, **HOURLY)
    api.post("/schedules/hourly/pause")

    answers = [api.post("/schedules/hourly/run", headers={"Idempotency-Key": "one"}) for _ in range(2)]
    other = api.post("/schedules/hourly/run")

    assert [answer.status_code for answer in (*answers, other)] == [202] * 3
    assert answers[0].json() == answers[1].json() != other.json()
    shown = api.get("/schedules/hourly").json()
    assert [it["cause"] for it in shown["past"]] == ["now", "now"] and shown["owed"] == 0
    assert api.get(other.headers["Location"]).json()["tags"] == ["schedule:hourly"]


def test_a_backfill_fires_the_ticks_of_a_span_once(api: httpx.Client) -> None:
    now_ms = make(api, **HOURLY)["created_ms"]
    span = {"from_ms": now_ms - 3 * HOUR_MS, "to_ms": now_ms}
    empty = api.post("/schedules/hourly/backfill", json={"from_ms": now_ms, "to_ms": now_ms - 1})
    large = api.post("/schedules/hourly/backfill", json={"from_ms": 0, "to_ms": now_ms})
    answer = api.post("/schedules/hourly/backfill", json=span)

    assert (empty.status_code, empty.json()["where"]) == (422, "body.from_ms")
    assert large.status_code == 422 and "shorter span" in large.json()["detail"]
    assert (answer.status_code, answer.json()) == (202, {"schedule": "hourly", "ticks": 3, "owed": 3})
    until(lambda: api.get("/schedules/hourly").json()["owed"] == 0, "its runs are submitted")
    assert len(api.get("/runs", params={"tag": "schedule:hourly"}).json()["runs"]) == 3
    api.post("/schedules/hourly/backfill", json=span)
    until(lambda: len(api.get("/schedules/hourly").json()["past"]) == 6, "they are looked at again")
    assert len(api.get("/runs", params={"tag": "schedule:hourly"}).json()["runs"]) == 3


A_SCHEDULE = Schedule("hourly", pipeline="earthquakes", every=timedelta(hours=1))
SEVERAL = (A_SCHEDULE, Schedule("nightly", pipeline="of-a-worker", cron="30 2 * * *"))
NONE_OF_THEM = (A_SCHEDULE, "nightly")
OF_ANOTHER_CONTRACT = Schedule("odd", pipeline="earthquakes", every=timedelta(hours=1), input=[1])


def test_a_catalogue_names_schedules() -> None:
    names = (f"{__name__}:SEVERAL",)
    assert declared_schedules(names, PIPELINES, {}) == SEVERAL


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (("A_SCHEDULE", "SEVERAL"), "two schedules 'hourly'"),
        (("NONE_OF_THEM",), "has str"),
        (("OF_ANOTHER_CONTRACT",), "schedule 'odd': input does not fit"),
        (("MISSING",), "cannot be imported"),
    ],
)
def test_a_wrong_schedule_of_a_catalogue_is_refused_at_the_start(names: tuple[str, ...], text: str) -> None:
    with pytest.raises(SettingsWrong, match=text):
        declared_schedules([f"{__name__}:{name}" for name in names], PIPELINES, {})
