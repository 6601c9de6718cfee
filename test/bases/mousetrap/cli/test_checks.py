"""How the doctor judges store, keys, workers and dead letters."""

from datetime import UTC, datetime, timedelta

import pytest

from mousetrap.api_keys import new_key
from mousetrap.cli.checks import (
    check_api_keys,
    check_dead_letters,
    check_delays,
    check_store_info,
    check_workers,
)
from mousetrap.run_store import StoreInfo
from mousetrap.shapes import Worker, WorkerState


@pytest.mark.parametrize(
    ("policy", "state"),
    [("noeviction", "ok"), ("allkeys-lru", "fail"), ("volatile-ttl", "fail"), (None, "warn")],
)
def test_a_store_that_may_forget_fails(policy: str | None, state: str) -> None:
    eviction, _ = check_store_info(StoreInfo(server="Valkey 9", policy=policy, appends=True, snapshots=""))
    assert (eviction.name, eviction.state) == ("eviction", state)
    assert bool(eviction.advice) is (state != "ok")


@pytest.mark.parametrize(
    ("appends", "snapshots", "state", "words"),
    [
        (True, "", "ok", "append-only"),
        (False, "3600 1", "warn", "by snapshots alone"),
        (False, "", "warn", "no write is kept"),
        (None, None, "warn", "not known how"),
    ],
)
def test_a_store_that_a_restart_may_empty_is_warned_of(
    appends: bool | None, snapshots: str | None, state: str, words: str
) -> None:
    _, persistence = check_store_info(
        StoreInfo(server="Valkey 9", policy="noeviction", appends=appends, snapshots=snapshots)
    )
    assert (persistence.name, persistence.state) == ("persistence", state)
    assert words in persistence.found


@pytest.mark.parametrize(
    ("used", "bound", "states"),
    [
        (59, 100, ["ok"]),
        (60, 100, ["warn"]),
        (130, 100, ["warn"]),
        (5, 0, []),
        (5, None, []),
        (None, 100, []),
    ],
)
def test_a_store_is_warned_of_long_before_it_is_full(
    used: int | None, bound: int | None, states: list[str]
) -> None:
    facts = StoreInfo(
        server="Valkey 9",
        policy="noeviction",
        appends=True,
        snapshots="",
        used_bytes=used,
        max_bytes=bound,
    )
    assert [check.state for check in check_store_info(facts) if check.name == "memory"] == states


@pytest.mark.parametrize(("compares", "states"), [(True, []), (False, ["warn"])])
def test_a_store_that_cannot_compare_is_warned_of(compares: bool, states: list[str]) -> None:
    facts = StoreInfo(server="Redis 7.2", policy="noeviction", appends=True, snapshots="", compares=compares)

    assert [check.state for check in check_store_info(facts) if check.name == "commands"] == states


@pytest.mark.parametrize(
    ("count", "most", "state"), [(59, 100, "ok"), (60, 100, "warn"), (100, 100, "warn"), (1_000_000, 0, "ok")]
)
def test_dead_letters_are_warned_of_long_before_no_run_is_accepted(count: int, most: int, state: str) -> None:
    check = check_dead_letters({"start_fetch": 0, "data_processing": count}, most)

    assert (check.state, check.found.startswith(f"data_processing: {count}")) == (state, True)


@pytest.mark.parametrize(
    ("days", "state", "found"),
    [
        (None, "ok", "1, and none"),
        (30, "ok", "1, and none"),
        (3, "warn", "ci ends after"),
        (-3, "warn", "ci ended"),
    ],
)
def test_a_key_is_warned_of_two_weeks_before_its_end(days: int | None, state: str, found: str) -> None:
    now = datetime(2027, 1, 1, tzinfo=UTC)
    last_day = None if days is None else (now + timedelta(days=days)).date()
    _, entry = new_key("ci", ["read"], bytes(32), last_day=last_day)

    check = check_api_keys(entry, now.timestamp())

    assert (check.state, check.found.startswith(found)) == (state, True)


def test_keys_that_cannot_be_read_fail() -> None:
    assert check_api_keys("no key", 0.0).state == "fail"


def a_worker(name: str, queue: str, state: WorkerState) -> Worker:
    return Worker(
        name=name, host="h", pid=1, version="1", stages=("p.s",), queues=(queue,), concurrency=1, state=state,
        done=0, failed=0, running=0, doing=(), started_ms=0, seen_ms=0, silent=0.0,
    )  # fmt: skip


def test_a_queue_without_a_live_worker_is_warned_of_and_the_silent_are_named() -> None:
    fetch, frozen = a_worker("w1", "a", "serving"), a_worker("w2", "b", "stale")

    assert check_workers(["a", "b"], []).found == "none serves a, b"
    found = check_workers(["a", "b"], [fetch, frozen])
    assert (found.state, found.found) == ("warn", "none serves b; silent: w2")
    assert check_workers(["a"], [fetch]).state == "ok"


def test_rungs_that_pass_nothing_on_fail_with_the_commands_that_set_them_going() -> None:
    assert check_delays([]).state == "ok"

    check = check_delays(["mousetrap.delay.0", "mousetrap.delay.3"])

    assert (check.name, check.state) == ("delays", "fail")
    assert "mousetrap.delay.0, mousetrap.delay.3" in check.found
    assert "rabbitmqctl stop_app" in check.advice


def test_a_cluster_is_named_with_what_it_keeps() -> None:
    facts = StoreInfo(server="Valkey 9", policy="noeviction", appends=True, snapshots="", cluster=3)
    *_, found = check_store_info(facts)
    assert (found.name, found.state) == ("cluster", "ok")
    assert "stages with a lock are refused" in found.found
