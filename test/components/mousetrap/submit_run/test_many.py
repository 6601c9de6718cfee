"""Many runs submitted at once: order, refusals, repeats, outages."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import uuid4

import pytest

from mousetrap.handlers import Binding
from mousetrap.job_queue import connect
from mousetrap.jobs import Message, PublishUnconfirmed, Queue, QueueFull, QueueOptions, QueueUnreachable
from mousetrap.pipeline import ContractBroken
from mousetrap.run_store import Opened, RunConflict, RunStore
from mousetrap.shapes import RunState
from mousetrap.submit_run import Accepted, Gate, NotTried, Submission, SubmitOptions, Submitter
from mousetrap.submit_run.window import WINDOW, in_a_window
from support.dying_submitter import pipeline_named
from support.proxy import Proxy, open_door
from support.workbench import (
    KEYRING,
    TIMEOUT_S,
    Workbench,
    add,
    double,
    on_streams,
    workbench,
    workbench_for,
)


def submissions(bench: Workbench, count: int, **options: float) -> list[Submission]:
    return [
        Submission(bench.pipeline, b"%d" % number, f"r{number}", SubmitOptions(**options))  # type: ignore[arg-type]
        for number in range(count)
    ]


async def test_each_run_of_a_batch_is_accepted_in_its_order_and_done(bench: Workbench) -> None:
    reports = await bench.submitter.submit_many(submissions(bench, 40))

    assert reports == [Accepted(f"r{number}", True) for number in range(40)]
    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        results = [(await bench.ended(f"r{number}")).result for number in range(40)]
    assert results == [2 * (number + 1) for number in range(40)]


@on_streams
async def test_each_line_of_a_batch_has_its_own_error(bench: Workbench) -> None:
    await bench.submit(b"7", run_id="taken")
    good, pipeline = submissions(bench, 2), bench.pipeline
    wrong = [Submission(pipeline, b'"one"', "w1"), Submission(pipeline, b"1", "a b")]

    reports = await bench.submitter.submit_many(
        [good[0], *wrong, Submission(pipeline, b"8", "taken"), good[1]]
    )

    assert [type(report) for report in reports] == [
        Accepted,
        ContractBroken,
        ValueError,
        RunConflict,
        Accepted,
    ]
    assert await bench.store.get("w1") is None


@on_streams
async def test_a_batch_of_nothing_is_nothing(bench: Workbench) -> None:
    assert await bench.submitter.submit_many([]) == []


async def test_a_queue_that_is_full_refuses_the_rest_of_a_batch_and_a_repeat_accepts_only_these(
    queue_url: str, store_url: str
) -> None:
    async with workbench(queue_url, store_url, options=QueueOptions(max_length=10)) as bench:
        # RabbitMQ takes what is under way at once, and finds its limit then.
        batch = submissions(bench, 40 if queue_url == store_url else WINDOW + 40)

        reports = await bench.submitter.submit_many(batch)

        refused = [item for item, report in zip(batch, reports, strict=True) if isinstance(report, QueueFull)]
        accepted = [report for report in reports if isinstance(report, Accepted)]
        assert len(accepted) >= 10
        assert len(refused) == len(batch) - len(accepted) > 0
        assert {await _state(bench, item.run_id) for item in refused} == {RunState.REJECTED}

        async with bench.working(bench.bind("add", add), bench.bind("double", double)):
            left = refused
            async with asyncio.timeout(60):
                while left:
                    again = await bench.submitter.submit_many(left)
                    left = [
                        item
                        for item, report in zip(left, again, strict=True)
                        if not isinstance(report, Accepted)
                    ]
                runs = [await bench.ended(item.run_id) for item in [*refused, *batch[:10]]]
        assert {run.state for run in runs} == {RunState.COMPLETED}
        assert all(Counter(event.kind for event in run.timeline)["completed"] == 1 for run in runs)


async def _state(bench: Workbench, run_id: str) -> RunState:
    run = await bench.store.get(run_id)
    assert run is not None
    return run.state


@on_streams
async def test_the_second_of_two_equal_ids_is_the_first_ones_repeat_or_conflict(bench: Workbench) -> None:
    pipeline = bench.pipeline
    batch = [
        Submission(pipeline, b"1", "r1"),
        Submission(pipeline, b"1", "r1"),
        Submission(pipeline, b"2", "r1"),
        Submission(pipeline, b"2", "r2"),
    ]

    first, second, third, fourth = await bench.submitter.submit_many(batch)

    assert (first, second, fourth) == (
        Accepted("r1", True),
        Accepted("r1", False),
        Accepted("r2", True),
    )
    assert isinstance(third, RunConflict)


class SlowForOne(RunStore):
    """A real store that records a run r1 only once it may, the first time that it is to."""

    def __init__(self, inner: RunStore) -> None:
        self.__dict__.update(inner.__dict__)
        self.asked, self.may = asyncio.Event(), asyncio.Event()
        #: Set once a run r2 is published.
        self.went_on = asyncio.Event()

    async def open_run(self, run_id: str, *args: Any, **more: Any) -> Opened:
        if run_id == "r1" and not self.asked.is_set():
            self.asked.set()
            await self.may.wait()
        return await super().open_run(run_id, *args, **more)

    def mark_published(self, run_id: str) -> None:
        super().mark_published(run_id)
        if run_id == "r2":
            self.went_on.set()


@pytest.mark.parametrize("kind", [2, 5], ids=["format 2", "format 5"])
async def test_one_id_in_two_calls_of_a_batch_is_done_in_their_order_and_no_other_waits(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, kind: int
) -> None:
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", kind)
    store, pipeline, gate = SlowForOne(bench.store), bench.pipeline, Gate()
    submitter = Submitter(store, bench.queue, KEYRING, {})
    first = [Submission(pipeline, b"1", "r1")]
    then = [Submission(pipeline, b"2", "r1"), Submission(pipeline, b"3", "r2")]

    async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as calls:
        one = calls.create_task(submitter.submit_many(first, gate))
        await store.asked.wait()
        other = calls.create_task(submitter.submit_many(then, gate))
        await store.went_on.wait()
        store.may.set()

    assert one.result() == [Accepted("r1", True)]
    conflict, accepted = other.result()
    assert isinstance(conflict, RunConflict)
    assert accepted == Accepted("r2", True)


async def test_what_waits_for_a_call_that_is_cancelled_begins_then() -> None:
    gate, begun, never = Gate(), asyncio.Event(), asyncio.Event()
    items = [Named("r1"), Named("r1")]

    async def hang(item: Named) -> None:
        begun.set()
        await never.wait()

    async def name(item: Named) -> str:
        return item.run_id

    first = asyncio.create_task(in_a_window(items, hang, gate))
    await begun.wait()
    second = asyncio.create_task(in_a_window(items, name, gate))
    await asyncio.sleep(0)  # it has begun, and waits
    first.cancel()

    async with asyncio.timeout(TIMEOUT_S):
        assert await second == ["r1", "r1"]
    assert first.cancelled()


class Named(NamedTuple):
    """An item that has an id alone."""

    run_id: str


class GoesAway:
    """A queue that takes some messages and is away then."""

    def __init__(self, inner: Queue, takes: int) -> None:
        self._inner = inner
        self._takes = takes
        self.tried = 0

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        self.tried += 1
        if self.tried > self._takes:
            await asyncio.sleep(0)  # as a deadline, which others of the window reach as well
            raise QueueUnreachable("the broker cannot be reached: check that it runs")
        await self._inner.publish(queue, message, after=after)


@on_streams
async def test_a_broker_that_goes_away_in_the_middle_is_not_tried_for_each_that_is_left(
    bench: Workbench,
) -> None:
    queue = GoesAway(bench.queue, takes=700)
    submitter = Submitter(bench.store, queue, KEYRING, {})
    batch = submissions(bench, 5 * WINDOW)

    reports = await submitter.submit_many(batch)

    accepted = [report for report in reports if isinstance(report, Accepted)]
    assert len(accepted) == 700
    assert all(isinstance(report, Accepted | QueueUnreachable | NotTried) for report in reports)
    assert queue.tried <= 700 + WINDOW + 5
    untried = next(report for report in reports if isinstance(report, NotTried))
    assert "was not tried, and nothing of it is kept" in str(untried)
    assert "the broker cannot be reached" in str(untried)
    assert await bench.store.get(batch[-1].run_id) is None
    again = await bench.submitter.submit_many(batch)
    assert [report.new for report in again if isinstance(report, Accepted)].count(False) == 700
    assert len({report.run_id for report in again if isinstance(report, Accepted)}) == len(batch)


class AwayForAMoment:
    """A queue that does not confirm one message, and takes all others."""

    def __init__(self, inner: Queue) -> None:
        self._inner = inner
        self._tried = 0

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        self._tried += 1
        if self._tried == 5:
            raise PublishUnconfirmed(
                "message m5 is not confirmed in time: publish it again under the same id"
            )
        await self._inner.publish(queue, message, after=after)


@on_streams
async def test_a_moment_of_the_broker_costs_a_batch_no_more_than_what_was_under_way(bench: Workbench) -> None:
    submitter = Submitter(bench.store, AwayForAMoment(bench.queue), KEYRING, {})

    reports = await submitter.submit_many(submissions(bench, 3 * WINDOW))

    (refused,) = [report for report in reports if not isinstance(report, Accepted)]
    assert isinstance(refused, PublishUnconfirmed)


class Slow:
    """A real queue behind a proxy, which keeps all back from the 300th message until one is not confirmed in time."""

    def __init__(self, inner: Queue, door: Proxy) -> None:
        self._inner, self._door = inner, door
        self._tried = 0

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        self._tried += 1
        if self._tried == 300:  # before it is sent, so that its own confirm cannot come
            self._door.hold()
        try:
            await self._inner.publish(queue, message, after=after)
        except PublishUnconfirmed:
            self._door.release()
            raise


async def test_of_a_batch_that_shares_the_deadline_of_a_slow_broker_each_run_has_its_own_honest_answer(
    broker_url: str, store_url: str
) -> None:
    pipeline = pipeline_named(f"slow_{uuid4().hex[:8]}")
    done: Counter[str] = Counter()

    def count(number: int) -> int:
        done[f"r{number}"] += 1
        return number

    async with workbench_for(pipeline, broker_url, store_url) as bench:
        # All are under way at once: more would wait at the gate, and with a long stall not be tried.
        batch = [Submission(pipeline, b"%d" % number, f"r{number}", is_new=True) for number in range(WINDOW)]
        with open_door(broker_url) as door:
            async with connect(
                door.url, [pipeline.first.queue], name="slow", options=QueueOptions(confirm_deadline=1.0)
            ) as queue:
                reports = await Submitter(bench.store, Slow(queue, door), KEYRING, {}).submit_many(batch)

        assert {type(report) for report in reports} <= {Accepted, PublishUnconfirmed, QueueUnreachable}
        accepted = {report.run_id for report in reports if isinstance(report, Accepted)}
        refused = [it for it, report in zip(batch, reports, strict=True) if not isinstance(report, Accepted)]
        assert refused, "the door opened again because one was late"
        async with bench.working(Binding(pipeline=pipeline, stage="only", handler=count)):
            for run_id in accepted:
                await bench.ended(run_id)
            assert {run.state for run in [await bench.ended(it.run_id) for it in refused]} == {
                RunState.REJECTED
            }
            again = await bench.submitter.submit_many([replace(it, is_new=False) for it in refused])
            for each in refused:
                await bench.ended(each.run_id)

    assert again == [Accepted(each.run_id, True) for each in refused]
    assert done == Counter(each.run_id for each in batch)


class Together:
    """A real queue that takes a message only once so many are under way."""

    def __init__(self, inner: Queue, count: int) -> None:
        self._inner = inner
        self._all = asyncio.Barrier(count)

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        await self._all.wait()
        await self._inner.publish(queue, message, after=after)


async def test_as_many_runs_of_a_batch_as_the_window_has_are_under_way_at_once(bench: Workbench) -> None:
    submitter = Submitter(bench.store, Together(bench.queue, WINDOW), KEYRING, {})

    async with asyncio.timeout(TIMEOUT_S):
        reports = await submitter.submit_many(submissions(bench, 2 * WINDOW))

    assert reports == [Accepted(f"r{number}", True) for number in range(2 * WINDOW)]


async def test_a_batch_may_be_delayed(bench: Workbench) -> None:
    reports = await bench.submitter.submit_many(submissions(bench, 20, delay_s=0.5))

    assert all(isinstance(report, Accepted) for report in reports)
    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        runs = [await bench.ended(f"r{number}") for number in range(20)]
    for run in runs:
        (started, *_) = [event.at_ms for event in run.timeline if event.kind == "started"]
        assert run.due_ms is not None
        assert started >= run.due_ms
