"""Operations on a terminal: begun, followed, listed and stopped."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from mousetrap.cli.tables.operations import operation_facts, operations_table
from mousetrap.jobs import Failure, GiveUp, first_job
from mousetrap.run_store import DecisionRequest, open_store
from mousetrap.shapes import Operation, OperationFailure, OperationPage
from support.letters import bury, letter_of
from support.terminal import shown

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
AT_MS = int(NOW.timestamp() * 1000)
RUNS = "/pipelines/earthquakes/runs"

Command = Callable[..., Any]


@pytest.fixture
def command(mousetrap: Command, api: httpx.Client) -> Command:
    """Runs a command against that API."""
    settings = {"COLUMNS": "80", "MOUSETRAP_API_URL": str(api.base_url).rstrip("/")}
    return lambda *arguments: mousetrap(*arguments, settings=settings)


def start(api: httpx.Client, count: int) -> list[str]:
    return [api.post(RUNS).json()["run_id"] for _ in range(count)]


def states(api: httpx.Client) -> list[str]:
    return [run["state"] for run in api.get("/runs").json()["runs"]]


def test_runs_are_cancelled_and_repeated_by_filter(command: Command, api: httpx.Client) -> None:
    start(api, 5)

    cancelled = command("cancel", "--pipeline", "earthquakes", "--yes", "--why", "ticket 81")
    again = command("cancel", "--state", "queued", "--yes")
    repeated = command("rerun", "--state", "cancelled", "--limit", "3", "--yes")
    refused = command("rerun", "--state", "cancelled", "--from", "failed", "--yes")

    assert (cancelled.code, cancelled.out) == (0, "5 cancelled\n")
    assert (again.code, "no run matches" in again.err) == (1, True)
    assert (repeated.code, repeated.out) == (0, "3 started again\n")
    assert sorted(states(api)) == ["cancelled"] * 5 + ["queued"] * 3
    assert (refused.code, refused.out) == (1, "0 started again\n")
    assert "5 could not be done" in refused.err and "has not failed" in refused.err
    reasons = [it["reason"] for it in api.get("/operations").json()["operations"]]
    assert sorted(reasons) == ["", "", "", "ticket 81"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("cancel",), "pass --all"),
        (("rerun",), "pass --all"),
        (("cancel", "--limit", "5"), "pass --all"),
        (("cancel", "abc", "--state", "queued"), "not both"),
        (("rerun", "abc", "--all"), "not both"),
        (("cancel", "--state", "queued"), "pass --yes"),
        (("rerun", "--state", "failed"), "pass --yes"),
        (("rerun", "--state", "failed", "--yes", "--input", "{}"), "one run alone"),
        (("cancel", "--state", "sleeping", "--yes"), "it is one of"),
        (("cancel", "--all", "--yes", "--why", "naïve"), "ASCII"),
        (("operations", "show", "none"), "operation"),
        (("operations", "stop", "none"), "operation"),
    ],
)
def test_what_makes_no_sense_changes_nothing(
    command: Command, api: httpx.Client, arguments: tuple[str, ...], text: str
) -> None:
    start(api, 1)

    done = command(*arguments)

    assert (done.code, text in done.err, states(api)) == (2, True, ["queued"]), done


def test_every_option_of_a_list_selects_what_is_cancelled(command: Command, api: httpx.Client) -> None:
    tagged = api.post(RUNS, params={"tags": "nightly"}).json()["run_id"]
    (other,) = start(api, 1)

    none = command("cancel", "--tag", "nightly", "--stage", "process", "--yes")
    older = command("cancel", "--until", "1h", "--pipeline", "earthquakes", "--yes")
    cancelled = command("cancel", "--tag", "nightly", "--since", "1h", "--yes")
    by_id = command("cancel", "--id", other[:20], "--state", "queued", "--yes")

    assert [it.code for it in (none, older, cancelled, by_id)] == [1, 1, 0, 0]
    assert (cancelled.out, by_id.out) == ("1 cancelled\n", "1 cancelled\n")
    assert api.get(f"/runs/{tagged}").json()["state"] == "cancelled"


def test_a_pipeline_that_is_not_known_is_named_with_the_nearest(command: Command) -> None:
    wrong, right = command("runs", "--pipeline", "earthquake"), command("runs", "--pipeline", "earthquakes")

    assert wrong.out == "no run matches\nno pipeline earthquake is known: did you mean earthquakes?\n"
    assert right.out == "no run matches\n"


def test_a_stage_that_is_not_known_is_named_with_the_nearest(command: Command) -> None:
    wrong, right = command("runs", "--stage", "proces"), command("runs", "--stage", "process")

    assert wrong.out == "no run matches\nno pipeline has a stage proces: did you mean process?\n"
    assert right.out == "no run matches\n"


def test_an_error_that_nothing_has_is_named_with_the_nearest(command: Command, store_url: str) -> None:
    bury(store_url, letter_of("r1"))
    asyncio.run(fail(store_url))

    runs, full, letters = (
        " ".join(command(*words).out.split())
        for words in (
            ("runs", "--error", "FeedUnavailble"),
            ("runs", "--error", "feeds.FeedUnavailble"),
            ("dead", "list", "--error", "FeedUnavailble"),
        )
    )
    unlike = command("runs", "--error", "Zero").out.splitlines()[-1]

    assert (
        runs
        == "no run matches no run failed lately with the error FeedUnavailble: did you mean FeedUnavailable?"
    )
    assert full.endswith("did you mean feeds.FeedUnavailable?")
    assert (
        letters
        == "no dead letter matches no dead letter has the error FeedUnavailble: did you mean FeedUnavailable?"
    )
    assert unlike == "no run failed lately with the error Zero"


async def fail(url: str) -> None:
    """Records a run that a stage gave up."""
    async with open_store(url, retention=3600) as store:
        opened = await store.open_run("failed", "earthquakes", "fetch", b"1")
        job = first_job(
            run_id="failed",
            pipeline="earthquakes",
            stage="fetch",
            payload=b"1",
            accepted_ms=opened.accepted_ms,
        )
        claim: Any = await store.claim(job, worker="w1", redelivered=False, lease=60.0)
        why = GiveUp("max-retries", Failure(kind="feeds.FeedUnavailable", text="no"))
        await store.exchange([DecisionRequest(job, why, claim, False, None)], (), worker="w1")


def test_an_operation_is_left_to_the_server_listed_shown_and_stopped(
    command: Command, api: httpx.Client, store_url: str
) -> None:
    # One a second: a busy machine has a minute for the commands.
    bury(store_url, *(letter_of(f"r{number}") for number in range(60)))

    begun = command("dead", "redrive", "--all", "--rate", "1", "--no-follow")
    (operation,) = api.get("/operations").json()["operations"]
    listed, short = command("operations"), operation["id"][:14]
    assert json.loads(command("operations", "--json").out)["operations"][0]["id"] == operation["id"]
    seen = command("operations", "show", short)
    stopped = command("operations", "stop", short, "--json")
    again = command("operations", "stop", short)
    as_json = json.loads(command("operations", "list", "--json").out)

    assert (
        begun.out == f"operation {operation['id']} goes on: `mousetrap operations show {operation['id']}`\n"
    )
    assert "redrive" in listed.out and "of 60" in listed.out
    assert "1 a second, at most" in seen.out
    assert json.loads(stopped.out)["state"] == "stopped"
    assert again.code == 0
    assert [it["state"] for it in as_json["operations"]] == ["stopped"]
    assert max(map(len, listed.out.splitlines() + seen.out.splitlines())) <= 80


def test_an_operation_as_json_is_the_whole_one_at_its_end(command: Command, store_url: str) -> None:
    bury(store_url, letter_of("r1"))

    done = json.loads(command("dead", "redrive", "--all", "--json").out)

    assert (done["state"], done["matched"], done["done"]) == ("done", 1, 1)


def an_operation(**more: Any) -> Operation:
    usual = {
        "id": "019b1f0c6a7e4d5f8a9b0c1d2e3f4a5b", "kind": "redrive", "state": "done", "filter": {"reason": "max-retries"},
        "rate": 10.0, "who": "operator-of-the-night", "matched": 120_000, "done": 119_000, "failed": 1_000,
        "created_ms": AT_MS, "updated_ms": AT_MS, "ended_ms": AT_MS + 125_000,
    }  # fmt: skip
    return Operation(**{**usual, **more})


def test_operations_fit_into_80_columns() -> None:
    page = OperationPage(
        operations=(an_operation(), an_operation(state="running", waits="the broker is away", kind="rerun")),
        next="0:1",
    )

    table = shown(operations_table(page, NOW))

    assert max(map(len, table.splitlines())) <= 80
    for part in ("120000 of 120000", "operator", "waits", "mousetrap operations list --after 0:1"):
        assert part in table
    assert shown(operations_table(OperationPage(operations=()), NOW)) == "no operations"


def test_an_operation_shows_what_it_is_and_what_failed() -> None:
    failure = OperationFailure(target="r1", error="a worker has its job now: redrive it once that has ended")

    facts = shown(operation_facts(an_operation(failures=(failure,), reason="ticket 81", unseen=None), NOW))

    for part in ("ticket 81", "after 2 min 5 s", "the first that failed:", "r1 a worker has its job", "1000"):
        assert part in facts
    assert max(map(len, facts.splitlines())) <= 80
