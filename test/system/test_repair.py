"""Checks that what failed is kept, repaired, redriven and completed."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mousetrap.embedded_valkey import EmbeddedValkey
from support.clients import accepted_run, answered
from support.operations import ended
from support.processes import Process, clean_environment
from support.repairable_worker import ATTEMPTS, CRASHES
from support.stack import SIGNING_KEYS, Stack, events
from support.waiting import until

_PROGRAM = Path(__file__).parents[1] / "support/repairable_worker.py"

Start = Callable[..., Process]


@pytest.fixture
def start_fetching(queue_url: str, own_valkey: EmbeddedValkey) -> Iterator[Start]:
    """Starts workers of the first stage, repaired or not."""
    started: list[Process] = []

    def start(**more: str) -> Process:
        settings = {
            "MOUSETRAP_BROKER_URL": queue_url,
            "MOUSETRAP_STORE_URL": own_valkey.url,
            "MOUSETRAP_SIGNING_KEYS": SIGNING_KEYS,
            # A job is not given up before its last holder has had the time of its claim to show that it lives.
            "MOUSETRAP_LEASE_SECONDS": "2",
            **more,
        }
        started.append(Process([sys.executable, str(_PROGRAM)], clean_environment(**settings)))
        return started[-1]

    yield start
    for process in started:
        process.kill()


def submit(stack: Stack, name: str) -> str:
    return accepted_run(stack.api, "/pipelines/earthquakes/runs", {"url": f"https://example.org/{name}"})


def state(stack: Stack, run_id: str) -> str | None:
    run = stack.run(run_id)
    return str(run["state"]) if run else None


def letter_of(stack: Stack, run_id: str) -> dict[str, Any]:
    """The page of the run's one dead letter."""

    def found() -> list[dict[str, Any]]:
        letters: list[dict[str, Any]] = asked(stack, "/dead", params={"run": run_id})["letters"]
        return letters

    (line,) = until(found, f"a dead letter of run {run_id}")
    return asked(stack, f"/dead/{line['queue']}/{line['id']}")


def asked(stack: Stack, path: str, **more: Any) -> dict[str, Any]:
    """What the API answers, once broker and store give it an answer."""
    answer: dict[str, Any] = answered(stack.api, "GET", path, **more).raise_for_status().json()
    return answer


def test_a_poison_message_and_one_that_kills_its_worker_are_kept_repaired_and_completed(
    stack: Stack, start_fetching: Start
) -> None:
    stack.start("process_worker")
    poison, killer, innocent = (submit(stack, name) for name in ("poison", "killer", "innocent"))

    deaths = _serve_until_both_are_given_up(stack, start_fetching, poison, killer)

    assert stack.completed(innocent)["result"]["earthquakes"] == 1
    letter = letter_of(stack, poison)
    assert (letter["reason"], letter["attempts"]) == ("max-retries", ATTEMPTS)
    assert (letter["error_kind"], letter["error"]) == ("ConnectionError", "this feed is poison")
    assert "in fetch" in letter["traceback"]
    assert letter["payload"] == {"url": "https://example.org/poison"}
    # The killer can take it along.
    assert len(events(letter["run"], "started", "fetch")) <= ATTEMPTS + CRASHES
    letter = letter_of(stack, killer)
    assert letter["reason"] == "crash-loop"
    assert len(deaths) == CRASHES
    starts = events(letter["run"], "started", "fetch")
    assert [event["attempt"] for event in starts] == [1] * CRASHES
    assert len({event["worker"] for event in starts}) == CRASHES

    start_fetching(REPAIRED="1")
    redriven = ended(stack.api, answered(stack.api, "POST", "/dead/redrive", json={"all": True}))

    assert {
        "matched": 2,
        "done": 2,
        "stale": 0,
        "failed": 0,
        "left": 0,
        "unseen": 0,
    }.items() <= redriven.items()
    for run_id in (poison, killer):
        _completed_after_redrive(stack, run_id)
    assert asked(stack, "/dead")["letters"] == []
    assert sorted(stack.summaries()) == sorted([poison, killer, innocent])


def _completed_after_redrive(stack: Stack, run_id: str) -> None:
    until(lambda: state(stack, run_id) == "completed", f"run {run_id} completes")
    assert len(events(stack.run(run_id), "redriven", "fetch")) == 1


def _serve_until_both_are_given_up(stack: Stack, start: Start, *run_ids: str) -> list[Process]:
    """The workers that died of it; each time one does, the next one is started."""
    deaths: list[Process] = []
    worker = start()

    def given_up() -> bool:
        nonlocal worker
        if not worker.running:
            deaths.append(worker)
            assert len(deaths) <= 2 * CRASHES, "nothing stops it"
            worker = start()
        return all(state(stack, run_id) == "failed" for run_id in run_ids)

    until(given_up, "both are given up", seconds=110)
    worker.terminate()
    return deaths
