"""Runs with a delay: when they begin, end, and are forgotten."""

from dataclasses import dataclass, replace

import pytest
from redis import Redis

from mousetrap.jobs import LONGEST_DELAY_S, Failure, Message, Queue, QueueFull
from mousetrap.run_store import StoredRun, Terms
from mousetrap.run_store.keys import packed_run_key, run_key
from mousetrap.shapes import RunState
from mousetrap.submit_run import SubmitOptions, Submitter
from support.inbox import eventually
from support.valkey import administrator
from support.workbench import KEYRING, Workbench, add, double, on_streams

pytestmark = pytest.mark.own_queues

DAY_S = 86_400.0
RETENTION_S = 3600


@dataclass
class Watched:
    """A queue that records the delays it is given."""

    inner: Queue
    delays: list[float]

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        self.delays.append(after)
        await self.inner.publish(queue, message, after=after)


def watching(bench: Workbench, delays: list[float]) -> Submitter:
    """A submitter whose queue adds each delay to `delays`."""
    queue = Watched(bench.queue, delays)
    return Submitter(bench.store, queue, KEYRING, {bench.pipeline.name: bench.pipeline})


async def submit(bench: Workbench, run_id: str, body: bytes = b"20", **options: float) -> None:
    await bench.submitter.submit(bench.pipeline, body, run_id=run_id, options=SubmitOptions(**options))  # type: ignore[arg-type]


async def found(bench: Workbench, run_id: str) -> StoredRun:
    run = await bench.store.get(run_id)
    assert run is not None
    return run


async def test_a_delayed_run_is_shown_with_its_due_time_and_begins_no_earlier(bench: Workbench) -> None:
    options = SubmitOptions(delay_s=0.8, tags=("nightly", "of ours"))
    await bench.submitter.submit(bench.pipeline, b"20", run_id="r1", options=options)

    waiting = await found(bench, "r1")
    assert waiting.state == RunState.QUEUED
    assert waiting.due_ms == waiting.accepted_ms + 800
    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        run = await bench.ended("r1")
    assert (run.state, run.result) == (RunState.COMPLETED, 42)
    (started, *_) = [event.at_ms for event in run.timeline if event.kind == "started"]
    assert started >= waiting.due_ms
    (line,) = (await bench.store.page()).runs
    assert (line.due_ms, line.tags) == (waiting.due_ms, ("nightly", "of ours"))


async def test_a_run_that_was_cancelled_before_it_was_due_calls_no_handler(bench: Workbench) -> None:
    called: list[int] = []

    def note(number: int) -> int:
        called.append(number)
        return number

    await submit(bench, "r1", b"1", delay_s=0.3)
    assert await bench.store.cancel("r1") == RunState.CANCELLED
    await submit(bench, "r2", b"2", delay_s=0.6)
    async with bench.working(bench.bind("add", note), bench.bind("double", double)):
        await bench.ended("r2")
        await eventually(lambda: bench.queue.count_ready(bench.queue_of("add")), 0)

    assert called == [2]
    assert [event.kind for event in (await found(bench, "r1")).timeline] == ["accepted", "cancelled"]


@on_streams
async def test_a_repeat_keeps_the_first_delay_and_publishes_no_second_copy(bench: Workbench) -> None:
    delays: list[float] = []
    submitter = watching(bench, delays)
    for delay in (40.0, 5.0):
        accepted = await submitter.submit(
            bench.pipeline, b"1", run_id="r1", options=SubmitOptions(delay_s=delay)
        )
        await bench.store.unpublished(age=600.0)  # the note that it is published goes before

    assert not accepted.new
    assert delays == [40.0]
    run = await found(bench, "r1")
    assert run.due_ms == run.accepted_ms + 40_000


@on_streams
async def test_a_delayed_run_of_a_dead_submitter_is_published_with_what_is_left_of_its_delay(
    bench: Workbench,
) -> None:
    await bench.store.open_run("r1", bench.pipeline.name, "add", b"1", terms=Terms(delay_s=40.0))
    await bench.store.open_run("r2", bench.pipeline.name, "add", b"1", terms=Terms(delay_s=0.001))
    delays: list[float] = []
    submitter = watching(bench, delays)
    await bench.store.ended(["r1"])

    assert await submitter.republish(age=0.0) == 2

    longest, shortest = sorted(delays, reverse=True)
    assert 20.0 < longest <= 40.0
    assert shortest <= 0.001
    assert await submitter.republish(age=0.0) == 0


async def test_a_republished_delayed_run_begins_no_earlier_and_once(bench: Workbench) -> None:
    called: list[int] = []

    def note(number: int) -> int:
        called.append(number)
        return number

    options = SubmitOptions(delay_s=0.8)
    await bench.store.open_run("r1", bench.pipeline.name, "add", b"20", terms=Terms(delay_s=0.8))
    assert await bench.submitter.republish(age=0.0) == 1
    # Its caller, who got no answer, asks again meanwhile.
    again = await bench.submitter.submit(bench.pipeline, b"20", run_id="r1", options=options)
    assert not again.new

    async with bench.working(bench.bind("add", note), bench.bind("double", double)):
        run = await bench.ended("r1")

    (started, *_) = [event.at_ms for event in run.timeline if event.kind == "started"]
    assert run.due_ms is not None
    assert started >= run.due_ms
    assert (run.state, called) == (RunState.COMPLETED, [20])


async def test_a_delayed_run_expires_like_any_other(bench: Workbench) -> None:
    await submit(bench, "r1", delay_s=0.1, expires_in=0.101)
    await eventually(lambda: bench.queue.count_ready(bench.queue_of("add")), 1)

    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        run = await bench.ended("r1")

    assert [event.kind for event in run.timeline] == ["accepted", "expired"]


@on_streams
async def test_the_pipelines_own_expiry_counts_from_when_the_run_may_begin(bench: Workbench) -> None:
    pipeline = replace(bench.pipeline, expires_after=60.0)

    await bench.submitter.submit(pipeline, b"1", run_id="r1", options=SubmitOptions(delay_s=100.0))

    run = await found(bench, "r1")
    assert run.due_ms is not None
    assert run.expires_ms == run.due_ms + 60_000


@on_streams
async def test_a_delayed_run_is_kept_for_delay_and_retention_and_lists_find_it(
    bench: Workbench, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", 2)
    await submit(bench, "r1", delay_s=40 * DAY_S)
    await submit(bench, "r2")
    with Redis.from_url(administrator(store_url)) as client:
        month_ago = (await found(bench, "r1")).accepted_ms - int(30 * DAY_S * 1000)
        client.hset("mousetrap:run:r1", mapping={"accepted_ms": month_ago})
        day = month_ago // int(DAY_S * 1000)
        client.zadd(f"mousetrap:runs:{day}", {f"{month_ago:013d}:r1": 0})
        days: list[bytes] = client.keys("mousetrap:runs:2*")

        for key in ("mousetrap:run:r1", "mousetrap:run:r1:events", max(days)):
            assert client.ttl(key) > 40 * DAY_S + RETENTION_S * 0.9, key
        assert client.ttl("mousetrap:run:r2") < 2 * RETENTION_S

    assert "r1" in [run.id for run in (await bench.store.page()).runs if run.accepted_ms == month_ago]


@pytest.mark.parametrize("ending", ["cancel", "reject"])
@on_streams
async def test_a_run_that_ended_before_it_was_due_is_kept_until_its_job_has_come(
    bench: Workbench, store_url: str, ending: str
) -> None:
    await bench.store.open_run("r1", bench.pipeline.name, "add", b"1", terms=Terms(delay_s=40 * DAY_S))

    if ending == "cancel":
        await bench.store.cancel("r1")
    else:
        await bench.store.reject_run("r1", Failure(kind="QueueFull", text="full"))

    assert (await found(bench, "r1")).state.ended
    with Redis.from_url(administrator(store_url)) as client:
        assert max(map(client.ttl, (run_key("r1"), packed_run_key("r1")))) > 40 * DAY_S


async def test_the_longest_delay_is_accepted(bench: Workbench) -> None:
    await submit(bench, "r1", delay_s=LONGEST_DELAY_S)

    run = await found(bench, "r1")
    assert run.due_ms == run.accepted_ms + int(LONGEST_DELAY_S * 1000)
    assert await bench.queue.count_ready(bench.queue_of("add")) == 0


@on_streams
async def test_a_delayed_run_that_the_broker_refused_can_be_submitted_again_with_another_delay(
    bench: Workbench,
) -> None:
    class Full:
        """A queue that refuses."""

        async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
            raise QueueFull(f"queue {queue} is full")

    refused = Submitter(bench.store, Full(), KEYRING, {})
    with pytest.raises(QueueFull):
        await refused.submit(bench.pipeline, b"1", run_id="r1", options=SubmitOptions(delay_s=60.0))
    assert (await found(bench, "r1")).state == RunState.REJECTED

    await submit(bench, "r1", b"1", delay_s=0.1)

    run = await found(bench, "r1")
    assert run.due_ms == run.accepted_ms + 100
