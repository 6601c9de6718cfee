"""Submits runs of new ids, whose record and message go out together."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis

from mousetrap.handlers import Binding
from mousetrap.jobs import Message, PublishUnconfirmed, Queue, QueueFull, StoreUnreachable
from mousetrap.pipeline import ContractBroken
from mousetrap.run_store import Opened, RunConflict, RunStore, open_store
from mousetrap.run_store.keys import OPENED
from mousetrap.shapes import RunState
from mousetrap.store_client import packed
from mousetrap.submit_run import Accepted, Submission, SubmitOptions, Submitter
from support.dying_submitter import STEPS, batch, dies, pipeline_named
from support.inbox import eventually
from support.packed import run_record
from support.ports import closed_port
from support.proxy import Proxy, open_door
from support.valkey import administrator
from support.waiting import until
from support.workbench import KEYRING, TIMEOUT_S, Workbench, add, double, on_streams, workbench_for

pytestmark = pytest.mark.own_queues

TAGGED = SubmitOptions(tags=("blue",))


@pytest.fixture(autouse=True)
def new_runs_are_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", 5)


class HeldStore(RunStore):
    """A real store that records a run only once it may."""

    def __init__(self, inner: RunStore) -> None:
        self.__dict__.update(inner.__dict__)
        self.asked, self.may = asyncio.Event(), asyncio.Event()

    async def open_drafted(self, draft: Any) -> Opened:
        self.asked.set()
        await self.may.wait()
        return await super().open_drafted(draft)


class HeldQueue:
    """A real queue that takes a message only once it may, then fails if it is to."""

    def __init__(self, inner: Queue, fails: Exception | None = None, *, takes: bool = True) -> None:
        self._inner = inner
        self._fails, self._takes = fails, takes
        self.asked, self.may = asyncio.Event(), asyncio.Event()

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        self.asked.set()
        await self.may.wait()
        if self._takes:
            await self._inner.publish(queue, message, after=after)
        if self._fails:
            raise self._fails


async def submitted(
    submitter: Submitter, bench: Workbench, run_id: str = "r1", body: bytes = b"1"
) -> Accepted:
    return await submitter.submit(bench.pipeline, body, run_id=run_id, options=TAGGED, is_new=True)


@asynccontextmanager
async def apart(store_url: str) -> AsyncIterator[tuple[Proxy, RunStore]]:
    """A store of the submitter's own, and what can cut it off."""
    with open_door(store_url) as door:
        async with open_store(door.url, retention=3600, keyring=KEYRING) as store:
            await store.draft_run("any", "any", "any", b"1")  # it has met the server
            yield door, store


def cut_off(door: Proxy) -> None:
    door.aim(f"valkey://127.0.0.1:{closed_port()}")
    door.cut()


async def a_tombstone(store_url: str, run_id: str = "r1") -> None:
    def there() -> bool:
        record = run_record(store_url, run_id)
        return record is not None and record.state == "rejected"

    await asyncio.to_thread(until, there, f"the tombstone of {run_id}")


def noting(done: list[int]) -> Callable[[int], int]:
    """A handler that notes its inputs."""

    def note(number: int) -> int:
        done.append(number)
        return number

    return note


# In good order


async def test_record_and_message_of_a_new_run_go_out_beside_each_other(
    bench: Workbench, store_url: str
) -> None:
    store, queue = HeldStore(bench.store), HeldQueue(bench.queue)
    submitting = asyncio.create_task(submitted(Submitter(store, queue, KEYRING, {}), bench))

    async with asyncio.timeout(TIMEOUT_S):  # each waits until the other is under way
        await store.asked.wait()
        await queue.asked.wait()
    assert not submitting.done()
    queue.may.set()
    store.may.set()

    assert await submitting == Accepted("r1", True)
    await eventually(lambda: bench.queue.count_ready(bench.queue_of("add")), 1)
    record = run_record(store_url, "r1")
    assert record is not None
    assert (record.state, record.input, record.facts.tags) == ("queued", b"1", '["blue"]')
    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        assert (await bench.ended("r1")).result == 4
    with Redis.from_url(administrator(store_url)) as client:
        assert client.zrange(OPENED, 0, -1) == []


@pytest.mark.parametrize("first", ["record", "message"])
async def test_accepted_is_neither_before_the_record_nor_before_the_confirm(
    bench: Workbench, store_url: str, first: str
) -> None:
    store, queue = HeldStore(bench.store), HeldQueue(bench.queue)
    submitting = asyncio.create_task(submitted(Submitter(store, queue, KEYRING, {}), bench))
    earlier, later = (store, queue) if first == "record" else (queue, store)
    earlier.may.set()
    if first == "record":
        await asyncio.to_thread(until, lambda: _state(store_url), "the record")
    else:
        delivery = await bench.next_of(bench.queue_of("add"))
        assert delivery.hand_back()
    assert not submitting.done()

    later.may.set()

    assert await submitting == Accepted("r1", True)


@pytest.mark.parametrize("begun", ["add", "double"])
async def test_a_job_that_is_claimed_before_its_run_is_recorded_opens_it_and_the_record_completes_it(
    bench: Workbench, store_url: str, begun: str
) -> None:
    store, queue = HeldStore(bench.store), HeldQueue(bench.queue)
    queue.may.set()
    at, goes_on, calls = asyncio.Event(), asyncio.Event(), Counter[str]()

    def handler(stage: str) -> Any:
        async def handle(number: int) -> int:
            calls[stage] += 1
            if stage == begun:
                at.set()
                await goes_on.wait()
            return number + 1

        return handle

    submitting = asyncio.create_task(submitted(Submitter(store, queue, KEYRING, {}), bench))
    async with bench.working(bench.bind("add", handler("add")), bench.bind("double", handler("double"))):
        await asyncio.wait_for(at.wait(), TIMEOUT_S)
        before = run_record(store_url, "r1")
        assert before is not None
        assert before.facts.tags == ""

        store.may.set()
        assert await submitting == Accepted("r1", True)
        recorded = run_record(store_url, "r1")
        goes_on.set()
        run = await bench.ended("r1")

    assert recorded is not None
    assert (recorded.facts.tags, recorded.facts.accepted_ms) == ('["blue"]', before.facts.accepted_ms)
    assert (recorded.facts.digest, recorded.facts.signature) == (before.facts.digest, before.facts.signature)
    assert (run.state, run.result, run.tags) == (RunState.COMPLETED, 3, ("blue",))
    assert calls == {"add": 1, "double": 1}
    assert [event.kind for event in run.timeline] == [
        "accepted",
        "started",
        "finished",
        "started",
        "finished",
        "completed",
    ]
    assert await bench.submitter.republish(age=0.0) == 0
    assert await bench.submitter.submit(bench.pipeline, b"1", run_id="r1") == Accepted("r1", False)
    with pytest.raises(RunConflict):
        await bench.submitter.submit(bench.pipeline, b"2", run_id="r1")


@on_streams
async def test_a_record_that_comes_after_the_run_s_end_changes_no_more_than_its_facts(
    bench: Workbench, store_url: str
) -> None:
    store, queue = HeldStore(bench.store), HeldQueue(bench.queue)
    queue.may.set()
    submitting = asyncio.create_task(submitted(Submitter(store, queue, KEYRING, {}), bench))
    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        await asyncio.to_thread(until, lambda: _state(store_url) == "completed", "the end of the run")
    store.may.set()
    await submitting

    run = await bench.store.get("r1")
    assert run is not None
    assert (run.state, run.result, run.tags) == (RunState.COMPLETED, 4, ("blue",))


def _state(store_url: str) -> str:
    record = run_record(store_url, "r1")
    return record.state if record else ""


class Counted(RunStore):
    """A real store that counts the calls to its server that record runs."""

    def __init__(self, inner: RunStore) -> None:
        self.__dict__.update(inner.__dict__)
        self.calls = 0
        send = inner._client.pipeline

        async def pipeline(commands: Any) -> Any:
            self.calls += any(b"\r\nSET\r\n" in each for each in packed(commands))
            return await send(commands)

        inner._client.pipeline = pipeline  # type: ignore[method-assign]


async def test_many_new_runs_are_one_call_and_each_has_its_own_result(bench: Workbench) -> None:
    await bench.submit(b"1", run_id="before")
    store = Counted(bench.store)
    runs = [Submission(bench.pipeline, b"%d" % n, f"r{n}", TAGGED, is_new=True) for n in range(40)]
    wrong = Submission(bench.pipeline, b'"one"', "wrong", is_new=True)

    reports = await Submitter(store, bench.queue, KEYRING, {}).submit_many([*runs[:20], wrong, *runs[20:]])

    refused = reports.pop(20)
    assert isinstance(refused, ContractBroken)
    assert reports == [Accepted(f"r{n}", True) for n in range(40)]
    assert store.calls == 1
    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        assert [(await bench.ended(f"r{n}")).result for n in range(40)] == [2 * (n + 1) for n in range(40)]


# Store or broker fail


async def test_a_run_that_only_the_broker_took_is_an_error_and_its_message_runs_nothing(
    bench: Workbench, store_url: str
) -> None:
    async with apart(store_url) as (door, store):
        submitter = Submitter(store, bench.queue, KEYRING, {})
        cut_off(door)
        with pytest.raises(StoreUnreachable):
            await submitted(submitter, bench)
        await eventually(lambda: bench.queue.count_ready(bench.queue_of("add")), 1)
        assert run_record(store_url, "r1") is None

        door.aim(store_url)
        await a_tombstone(store_url)

    done: list[int] = []
    await bench.submit(b"7", run_id="r2")
    async with bench.working(bench.bind("add", noting(done)), bench.bind("double", double)):
        await bench.ended("r2")
    assert done == [7]
    assert await bench.queue.count_ready(bench.queue_of("add")) == 0


async def test_while_the_store_is_known_to_be_away_nothing_is_published(
    bench: Workbench, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with apart(store_url) as (door, store):
        submitter = Submitter(store, bench.queue, KEYRING, {})
        cut_off(door)
        for number in range(3):
            with pytest.raises(StoreUnreachable):
                await submitted(submitter, bench, f"r{number}")
        # It was under way when the outage began.
        await eventually(lambda: bench.queue.count_ready(bench.queue_of("add")), 1)

        monkeypatch.setattr("mousetrap.run_store.submissions._AWAY_S", 0.0)  # as much later
        assert store.opens_beside()
        door.aim(store_url)
        await a_tombstone(store_url, "r0")
        assert await submitted(submitter, bench, "r9") == Accepted("r9", True)


async def test_what_neither_took_can_be_repeated_under_its_id(bench: Workbench, store_url: str) -> None:
    async with apart(store_url) as (door, store):
        queue = HeldQueue(bench.queue, QueueFull("the queue is full"), takes=False)
        queue.may.set()
        cut_off(door)
        with pytest.raises(StoreUnreachable):
            await submitted(Submitter(store, queue, KEYRING, {}), bench)
        door.aim(store_url)
        await a_tombstone(store_url)

    assert await bench.submitter.submit(bench.pipeline, b"1", run_id="r1") == Accepted("r1", True)
    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        assert (await bench.ended("r1")).result == 4


@pytest.mark.parametrize("took", [False, True])
async def test_a_run_that_was_recorded_and_not_confirmed_is_rejected(
    bench: Workbench, store_url: str, took: bool
) -> None:
    queue = HeldQueue(bench.queue, PublishUnconfirmed("not confirmed"), takes=took)
    queue.may.set()
    with pytest.raises(PublishUnconfirmed):
        await submitted(Submitter(bench.store, queue, KEYRING, {}), bench)

    assert _state(store_url) == "rejected"
    done: list[int] = []
    await bench.submit(b"7", run_id="r2")
    async with bench.working(bench.bind("add", noting(done)), bench.bind("double", double)):
        await bench.ended("r2")
    assert done == [7]
    assert await bench.submitter.republish(age=0.0) == 0


@on_streams
async def test_a_late_tombstone_leaves_a_repeat_that_was_accepted(bench: Workbench, store_url: str) -> None:
    async with apart(store_url) as (door, store):
        cut_off(door)
        with pytest.raises(StoreUnreachable):
            await submitted(Submitter(store, bench.queue, KEYRING, {}), bench)
        assert await bench.submitter.submit(bench.pipeline, b"1", run_id="r1") == Accepted("r1", True)
        door.aim(store_url)
        await asyncio.to_thread(until, lambda: not store._withdrawals._waiting, "the tombstone's try")

    assert _state(store_url) == "queued"
    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        assert (await bench.ended("r1")).result == 4


@on_streams
async def test_a_store_that_closes_before_the_tombstone_logs_which_run_is_left(
    bench: Workbench, store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with apart(store_url) as (door, store):
        cut_off(door)
        with pytest.raises(StoreUnreachable):
            await submitted(Submitter(store, bench.queue, KEYRING, {}), bench)

    (line,) = [each for each in caplog.records if "it runs if the broker has its message" in each.message]
    assert line.__dict__["run"] == "r1"
    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        assert (await bench.ended("r1")).result == 4  # its caller has no answer that it does not


async def test_a_full_store_is_one_that_failed(broker_url: str, store_url: str) -> None:
    async with workbench_for(pipeline_named(f"full_{uuid4().hex[:8]}"), broker_url, store_url) as bench:
        with Redis.from_url(administrator(store_url)) as client:
            client.config_set("maxmemory", 1)
            try:
                with pytest.raises(StoreUnreachable):
                    await submitted(bench.submitter, bench)
                assert not bench.store.opens_beside()
                await eventually(lambda: bench.queue.count_ready(bench.pipeline.first.queue), 1)
            finally:
                client.config_set("maxmemory", 0)
        await a_tombstone(store_url)


@pytest.mark.parametrize("step", STEPS)
async def test_a_submitter_killed_between_record_and_message_loses_and_doubles_no_run(
    queue_url: str, store_url: str, step: str
) -> None:
    runs, delay_s = 60, 1.5
    done: Counter[str] = Counter()

    def count(number: int) -> int:
        done[f"r{number}"] += 1
        return number

    pipeline = pipeline_named(f"batch_{uuid4().hex[:8]}")
    async with workbench_for(pipeline, queue_url, store_url) as bench:
        await dies(step, queue_url, store_url, pipeline.name, runs=runs, delay=delay_s, new_runs=5)
        await bench.submitter.republish(age=0.0)
        async with bench.working(Binding(pipeline=pipeline, stage="only", handler=count)):
            reports = await bench.submitter.submit_many(batch(pipeline, delay_s, runs))
            ended = [await bench.ended(f"r{number}") for number in range(runs)]

    assert [isinstance(report, Accepted) for report in reports] == [True] * runs
    assert done == Counter(f"r{number}" for number in range(runs))
    assert {run.state for run in ended} == {RunState.COMPLETED}


@on_streams
async def test_a_rejection_that_was_sent_again_leaves_what_a_repeat_was_accepted_for(
    bench: Workbench, store_url: str
) -> None:
    queue = HeldQueue(bench.queue, QueueFull("the queue is full"), takes=False)
    async with open_store(store_url, retention=3600, keyring=KEYRING) as store:
        send = store._client.pipeline

        async def pipeline(commands: Any) -> Any:
            replies = await send(commands)
            is_rejection = any(b"reject_run" in each for each in packed(commands))
            return await send(commands) if is_rejection else replies  # as a client whose connection was lost

        store._client.pipeline = pipeline  # type: ignore[method-assign]
        submitter = Submitter(store, queue, KEYRING, {})
        failing = asyncio.create_task(submitter.submit(bench.pipeline, b"1", run_id="r1"))
        await asyncio.wait_for(queue.asked.wait(), TIMEOUT_S)
        assert await bench.submitter.submit(bench.pipeline, b"1", run_id="r1") == Accepted("r1", False)
        queue.may.set()
        with pytest.raises(QueueFull):
            await failing

    assert _state(store_url) == "queued"
