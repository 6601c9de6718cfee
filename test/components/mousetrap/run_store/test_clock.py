"""Tests a store whose clock is set back or jumps ahead."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mousetrap.jobs import Failure, RetryLater, first_job
from mousetrap.run_store import Busy, Decided, Granted, batches, open_store
from mousetrap.stream_queue import client
from mousetrap.stream_queue.client import Client, Server
from support.stepped_clock import HOUR, Clock, stepped
from support.valkey import OwnValkey, console

pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def new_runs_are_of_the_older_family(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their times are the Lua functions'; `test_server_time` is about those of packed runs."""
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", 2)


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """A server for this test alone, since its functions use the test's clock."""
    monkeypatch.setattr(batches, "LIBRARY", replace(batches.LIBRARY, source=stepped(batches.LIBRARY.source)))
    steps = stepped(client._SCRIPT)
    monkeypatch.setattr(client, "_SCRIPT", steps)
    monkeypatch.setattr(
        client, "_SCRIPT_SHA", hashlib.sha1(steps.encode(), usedforsecurity=False).hexdigest()
    )
    with OwnValkey(tmp_path) as server:
        yield Clock(server.url)


@pytest.mark.parametrize("down", [False, True])
async def test_a_claim_lasts_no_longer_and_no_timeline_runs_backwards_when_the_clock_is_set_back(
    clock: Clock, down: bool
) -> None:
    async with open_store(clock.url, retention=86_400.0) as store:
        opened = await store.open_run("r1", "sums", "add", b"1")
        job = first_job(
            run_id="r1", pipeline="sums", stage="add", payload=b"1", accepted_ms=opened.accepted_ms
        )
        clock.step(2)
        assert isinstance(
            await store.claim(job, worker="w1", redelivered=False, lease=30, lock="one"), Granted
        )

        clock.step(-HOUR)
        if down:
            clock.forget_functions()
        other = await store.claim(job, worker="w2", redelivered=False, lease=30)
        clock.step(34)  # a tenth slower, until both clocks agree
        late = await store.claim(job, worker="w2", redelivered=False, lease=30, lock="one")

        assert isinstance(other, Busy) and other.seconds <= 32
        assert isinstance(late, Granted) and late.lock_fence
        run = await store.get("r1")
        assert run is not None
        times = [event.at_ms for event in run.timeline]
        assert times == sorted(times)
        assert run.updated_ms >= run.accepted_ms + 30_000


async def test_a_retry_that_was_decided_before_the_clock_was_set_back_is_due_when_it_was(
    clock: Clock,
) -> None:
    async with open_store(clock.url, retention=86_400.0) as store:
        opened = await store.open_run("r1", "sums", "add", b"1")
        job = first_job(
            run_id="r1", pipeline="sums", stage="add", payload=b"1", accepted_ms=opened.accepted_ms
        )
        claim = await store.claim(job, worker="w1", redelivered=False, lease=30)
        assert isinstance(claim, Granted)
        failure = RetryLater(10.0, Failure(kind="E", text="no"))
        await store.decide(job, failure, fence=claim.fence, worker="w1", last=False)

        clock.step(-HOUR)
        decided = await store.claim(job, worker="w2", redelivered=True, lease=30)

        assert isinstance(decided, Decided) and isinstance(decided.outcome, RetryLater)
        assert decided.outcome.after <= 10.0


async def test_the_clock_is_right_again_after_ten_times_what_it_was_set_back(clock: Clock) -> None:
    async with open_store(clock.url, retention=86_400.0) as store:

        async def ahead(run_id: str) -> float:
            accepted = (await store.open_run(run_id, "sums", "add", b"1")).accepted_ms / 1000
            return accepted - clock._now

        assert await ahead("r1") == 0
        clock.step(-60)
        assert await ahead("r2") == 60
        clock.step(300)
        assert await ahead("r3") == pytest.approx(30, abs=0.01)
        clock.step(301)
        assert await ahead("r4") == 0


async def test_a_clock_that_leapt_a_year_and_came_back_is_followed_for_no_more_than_a_day(
    clock: Clock,
) -> None:
    async with open_store(clock.url, retention=86_400.0) as store:
        clock.step(365 * 24 * HOUR)
        await store.open_run("r1", "sums", "add", b"1")
        clock.step(-365 * 24 * HOUR)

        accepted = (await store.open_run("r2", "sums", "add", b"1")).accepted_ms / 1000

        assert accepted - clock._now <= 24 * HOUR


async def test_on_the_embedded_queue_a_delay_and_a_dead_consumer_last_no_longer_when_the_clock_is_set_back(
    clock: Clock,
) -> None:
    valkey = Client(Server(clock.url, "test", None))

    async def step(name: str, *arguments: Any, with_bytes: Any = ()) -> Any:
        return await valkey.call(name, *arguments, payload=with_bytes, timeout_s=5)

    await step("declare", ["q"])
    await step("join", "w1", 5000, "", ["q"])
    delayed = msgspec.msgpack.encode(("q", 0, 0, 10_000, "m1", ""))
    at_once = msgspec.msgpack.encode(("q", 0, 0, 0, "m2", ""))
    await step("send", {}, {}, {}, with_bytes=[delayed, b"x", at_once, b"x"])
    given = await valkey.command(
        *("XREADGROUP", "GROUP", "workers", "w1", "COUNT", 1, "STREAMS", "mousetrap:queue:q", ">"),
        timeout_s=5,
    )
    assert given

    clock.step(-HOUR)
    await step("join", "w2", 5000, "", ["q"])
    assert await step("release", ["q"], 10) == [0, 1]  # not early either
    clock.step(4.5)
    assert await step("renew", "w2", 5000, ["q"]) == 1
    clock.step(4.5)
    assert await step("renew", "w2", 5000, ["q"]) == 1
    assert await step("ready", ["q"]) == 1  # the message of the dead consumer is back
    clock.step(4.5)
    assert await step("release", ["q"], 10) == [1, 2]
    await valkey.close()


async def test_damage_in_the_place_of_the_clock_stops_nothing(clock: Clock) -> None:
    async with open_store(clock.url, retention=86_400.0) as store:
        for value in (b"", b"x y", b"9" * 30 + b" 0", b"\xff"):
            with console(clock.url) as server:
                server.set("mousetrap:clock", value)
            clock.forget_functions()
            assert (await store.open_run(f"r{len(value)}", "sums", "add", b"1")).state == "new"
        with console(clock.url) as server:
            server.delete("mousetrap:clock")
            server.hset("mousetrap:clock", "a", "b")
        clock.forget_functions()
        assert (await store.open_run("r9", "sums", "add", b"1")).state == "new"
