"""Operations are carried on to their end, on both queues."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

import pytest

from mousetrap.dead_letters import DeadLetters, Selection
from mousetrap.jobs import Job, Message, QueueUnreachable, dead_queue, decode, encode, first_job
from mousetrap.operations import (
    CancelRuns,
    Carrier,
    Fate,
    Finding,
    Kind,
    Operations,
    Plan,
    RedriveLetters,
    RerunRuns,
    Target,
    TooManyOperations,
    open_operations,
)
from mousetrap.operations import store as store_module
from mousetrap.operations.record import Tried
from mousetrap.run_store import RunFilter
from mousetrap.shapes import Operation, RunState
from mousetrap.signing import Keyring
from mousetrap.submit_run import Intake, IntakeBounds
from support.inbox import eventually
from support.workbench import KEYRING, TIMEOUT_S, Workbench, add, double, just_now_ms, on_streams

pytestmark = pytest.mark.own_queues


class Dies(BaseException):
    """The process of a carrier ends here."""


@dataclass(frozen=True)
class Desk:
    """What carriers of one test share."""

    bench: Workbench
    operations: Operations
    ended: list[Operation]
    #: What the kinds redrive with, the last one at the end.
    dead_letters: list[DeadLetters] = field(default_factory=list)

    def kinds(self, bench: Workbench | None = None) -> dict[str, Kind]:
        """The kinds as an API has them; `bench` may have a queue that dies."""
        bench = bench or self.bench
        pipelines = {bench.pipeline.name: bench.pipeline}
        intake = Intake(bench.queue, bench.store, pipelines, IntakeBounds(dead_letters=0))
        dead_letters = DeadLetters(bench.queue, bench.store, KEYRING, pipelines)
        self.dead_letters.append(dead_letters)
        return {
            "redrive": RedriveLetters(dead_letters, bench.store),
            "cancel": CancelRuns(bench.store),
            "rerun": RerunRuns(bench.store, bench.submitter, intake, pipelines),
        }

    def carrier(self, kinds: Mapping[str, Kind] | None = None, operations: Any = None) -> Carrier:
        return Carrier(
            operations or self.operations, kinds or self.kinds(), uuid4().hex, on_end=self.ended.append
        )

    async def until_ended(self, operation_id: str, *carriers: Carrier) -> Operation:
        """The operation once it has ended, by carriers that look again and again, as APIs do."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                for carrier in carriers:
                    await carrier.look()
                operation = await self.operations.get(operation_id)
                assert operation is not None
                if operation.state != "running":
                    for task in [it for carrier in carriers for it in carrier._tasks.values()]:
                        await task  # the one that ended it reports that
                    return operation
                await asyncio.sleep(0.02)


async def become(condition: Callable[[], Awaitable[Any]]) -> None:
    """Returns once the condition holds."""
    async with asyncio.timeout(TIMEOUT_S):
        while not await condition():  # noqa: ASYNC110  the store has no event for it
            await asyncio.sleep(0.02)


async def has(desk: Desk, operation_id: str, field: str, carrier: Carrier | None = None) -> Any:
    """A field of the operation, after another look of the carrier."""
    if carrier is not None:
        await carrier.look()
    return getattr(await desk.operations.get(operation_id), field)


async def forgotten(desk: Desk, operation_id: str) -> bool:
    return await desk.operations.get(operation_id) is None


async def none_open(desk: Desk, carrier: Carrier) -> bool:
    await carrier.look()
    return not await desk.operations.open_ids()


async def only_new(desk: Desk, carrier: Carrier) -> bool:
    await carrier.look()
    return await desk.operations.open_ids() == ["new"]


async def state_of(bench: Workbench, run_id: str) -> RunState | None:
    run = await bench.store.get(run_id)
    return run.state if run else None


@pytest.fixture(autouse=True)
def _short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead carrier's lease ends soon."""
    monkeypatch.setattr(store_module, "LEASE_S", 0.3)
    monkeypatch.setattr("mousetrap.operations.carrier._AGAIN_S", 0.05)
    monkeypatch.setattr("mousetrap.operations.carrier._HELD_S", 0.05)


@asynccontextmanager
async def open_desk(bench: Workbench, store_url: str) -> AsyncIterator[Desk]:
    async with open_operations(store_url, retention=3600, keyring=KEYRING) as operations:
        yield Desk(bench, operations, [])


def plan(kind: Any, **more: Any) -> Plan:
    given = {"filter": {}, "rate": 1_000.0, "who": "ops", "reason": "ticket 81", "created_ms": just_now_ms()}
    return Plan(**{"kind": kind, **given, **more})


async def bury(bench: Workbench, *run_ids: str, **story: str) -> list[Job]:
    """A dead letter of the first stage of each run, that no worker has made."""
    jobs = [
        first_job(
            run_id=run_id, pipeline=bench.pipeline.name, stage="add", payload=b"1", accepted_ms=just_now_ms()
        )
        for run_id in run_ids
    ]
    named = {"reason": "max-retries", "error-type": "Broken", "error": "no", "at": "1000", **story}
    for job in jobs:
        headers = {**KEYRING.headers(encode(job)), **{f"mousetrap-{it}": text for it, text in named.items()}}
        await bench.queue.publish(dead_queue(bench.queue_of("add")), Message(job.id, encode(job), headers))
    return jobs


async def dead_count(bench: Workbench) -> int:
    return await bench.queue.count_ready(dead_queue(bench.queue_of("add")))


async def redriven(bench: Workbench) -> list[tuple[str, int]]:
    """The run and generation of each job in the first stage's queue, which is emptied."""
    count = await bench.queue.count_ready(bench.queue_of("add"))
    found = []
    for _ in range(count):
        delivery = await bench.next_of(bench.queue_of("add"))
        job = decode(delivery.message.body)
        found.append((job.run_id, job.generation))
        delivery.acknowledge()
    return sorted(found)


def counted(operation: Operation) -> dict[str, int]:
    return {name: getattr(operation, name) for name in ("matched", "done", "stale", "failed", "left")}


async def test_letters_are_redriven_once_each_and_the_operation_ends(
    bench: Workbench, store_url: str
) -> None:
    await bury(bench, *(f"r{number:02}" for number in range(30)))
    await bury(bench, "other", reason="contract")
    async with open_desk(bench, store_url) as desk:
        carrier = desk.carrier()
        assert await carrier.begin("o1", plan("redrive", filter={"reason": "max-retries"}))
        operation = await desk.until_ended("o1", carrier)

        assert counted(operation) == {"matched": 30, "done": 30, "stale": 0, "failed": 0, "left": 0}
        assert (operation.state, operation.who, operation.reason) == ("done", "ops", "ticket 81")
        assert operation.ended_ms and not operation.waits
        assert [it.id for it in desk.ended] == ["o1"]
        assert await desk.operations.open_ids() == []
    assert await redriven(bench) == [(f"r{number:02}", 1) for number in range(30)]
    await eventually(lambda: dead_count(bench), 1)


async def test_the_runs_that_were_acted_on_are_kept_once_each_and_a_hundred_of_them(
    bench: Workbench, store_url: str
) -> None:
    async with open_operations(store_url, retention=3600, keyring=KEYRING) as operations:
        await operations.create("o1", plan("redrive"), Finding([Target(str(it)) for it in range(200)]))
        runs = [f"r{number // 2}" for number in range(250)]
        assert await operations.runs("o1") == ()
        await operations.advance("o1", 0, Tried(count=9, done=9, runs=runs[:9]), just_now_ms())
        await operations.advance("o1", 9, Tried(count=1, stale=1), just_now_ms())
        await operations.advance("o1", 10, Tried(count=90, done=90, runs=runs[8:]), just_now_ms())

        assert await operations.runs("o1") == tuple(f"r{number}" for number in range(100))
        assert await operations.runs("unknown") == ()
        operation = await operations.get("o1")
        assert operation and (operation.done, operation.stale) == (99, 1)


async def test_an_operation_on_nothing_is_done_at_once(bench: Workbench, store_url: str) -> None:
    async with open_desk(bench, store_url) as desk:
        carrier = desk.carrier()
        await carrier.begin("o1", plan("redrive"))
        operation = await desk.until_ended("o1", carrier)

        assert counted(operation) == {"matched": 0, "done": 0, "stale": 0, "failed": 0, "left": 0}
        assert (operation.state, desk.ended) == ("done", [])


class DyingQueue:
    """A real queue under a process that ends once it has published so many, or just before."""

    def __init__(self, queue: Any, lives: int, *, after: bool) -> None:
        self._queue, self._lives, self._after = queue, lives, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        self._lives -= 1
        if self._lives < 0 and not self._after:
            raise Dies
        await self._queue.publish(queue, message, after=after)
        if self._lives < 0:
            raise Dies


class DyingOperations:
    """The store of operations under a process that ends before or after it counts."""

    def __init__(self, operations: Operations, *, after: bool) -> None:
        self._operations, self._after = operations, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._operations, name)

    async def advance(self, *arguments: Any) -> str:
        if self._after:
            await self._operations.advance(*arguments)
        raise Dies


async def died(carrier: Carrier, operation_id: str, plan: Plan) -> None:
    """Lets a carrier begin, which ends in the middle of it."""
    await carrier.begin(operation_id, plan)
    (task,) = carrier._tasks.values()
    await asyncio.wait([task], timeout=TIMEOUT_S)
    assert isinstance(task.exception(), Dies)


@pytest.mark.parametrize("after", [False, True], ids=["before_the_publish", "after_the_publish"])
@pytest.mark.parametrize("has_begun", [False, True], ids=["it_waits", "it_is_done"])
async def test_a_redrive_whose_carrier_dies_is_ended_by_another_and_each_letter_is_redriven_once(
    bench: Workbench, store_url: str, after: bool, has_begun: bool
) -> None:
    """The letter between publish and acknowledgement is there again; a worker may have done its job by then."""
    await bury(bench, *(f"r{number}" for number in range(9)))
    done: list[str] = []

    async def note(number: int) -> int:
        done.append("")
        return number

    async with open_desk(bench, store_url) as desk:
        dying = replace(bench, queue=DyingQueue(bench.queue, 4, after=after))
        await died(desk.carrier(desk.kinds(dying)), "o1", plan("redrive"))
        if has_begun:
            async with bench.working(
                bench.bind("add", note), bench.bind("double", double), burst=True
            ) as one:
                await asyncio.wait_for(one.task, TIMEOUT_S)
        operation = await desk.until_ended("o1", desk.carrier())
        async with bench.working(bench.bind("add", note), bench.bind("double", double), burst=True) as one:
            await asyncio.wait_for(one.task, TIMEOUT_S)

        assert counted(operation) == {"matched": 9, "done": 9, "stale": 0, "failed": 0, "left": 0}
        assert len(desk.ended) == 1
    assert len(done) == 9
    assert await dead_count(bench) == 0
    for number in range(9):
        assert (await bench.ended(f"r{number}")).state == RunState.COMPLETED


@pytest.mark.parametrize("after", [False, True], ids=["before_the_count", "after_the_count"])
async def test_what_a_dead_carrier_did_and_did_not_count_is_counted_once(
    bench: Workbench, store_url: str, after: bool
) -> None:
    await bury(bench, *(f"r{number}" for number in range(7)))
    async with open_desk(bench, store_url) as desk:
        dying = DyingOperations(desk.operations, after=after)
        await died(desk.carrier(operations=dying), "o1", plan("redrive"))
        operation = await desk.until_ended("o1", desk.carrier())

        assert counted(operation) == {"matched": 7, "done": 7, "stale": 0, "failed": 0, "left": 0}
    assert await redriven(bench) == [(f"r{number}", 1) for number in range(7)]


async def test_a_letter_that_another_process_looks_at_is_redriven_later(
    bench: Workbench, store_url: str
) -> None:
    await bury(bench, "r1", "r2")
    async with open_desk(bench, store_url) as desk:
        await desk.operations.create(
            "o1", plan("redrive"), await desk.kinds()["redrive"].find(plan("redrive"), "-")
        )
        held = await bench.next_of(dead_queue(bench.queue_of("add")))
        carrier = desk.carrier()
        await become(lambda: has(desk, "o1", "done", carrier))
        held.hand_back()
        operation = await desk.until_ended("o1", carrier)

        assert counted(operation) == {"matched": 2, "done": 2, "stale": 0, "failed": 0, "left": 0}


async def test_a_letter_that_is_gone_is_no_success(
    bench: Workbench, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.operations.counts._TRIES", 2)
    await bury(bench, "r1", "r2")
    async with open_desk(bench, store_url) as desk:
        await desk.operations.create(
            "o1", plan("redrive"), await desk.kinds()["redrive"].find(plan("redrive"), "-")
        )
        (await bench.next_of(dead_queue(bench.queue_of("add")))).acknowledge()
        operation = await desk.until_ended("o1", desk.carrier())

        assert counted(operation) == {"matched": 2, "done": 1, "stale": 0, "failed": 1, "left": 0}
        assert "not among the dead letters any more" in operation.failures[0].error


async def test_a_stop_ends_an_operation_in_the_middle(bench: Workbench, store_url: str) -> None:
    await bury(bench, *(f"r{number}" for number in range(20)))
    async with open_desk(bench, store_url) as desk:
        carrier = desk.carrier()
        await carrier.begin("o1", plan("redrive", rate=2.0))
        await become(lambda: has(desk, "o1", "done"))
        assert await desk.operations.end("o1", "stopped", just_now_ms()) == "stopped"
        operation = await desk.until_ended("o1", carrier)

        assert operation.state == "stopped"
        assert 0 < operation.done < 20
        assert operation.left == 20 - operation.done
        assert (
            await desk.operations.end("o1", "stopped", just_now_ms()) == "stopped"
        )  # once more changes nothing
        assert await desk.operations.end("o2", "stopped", just_now_ms()) is None


async def test_the_rate_is_kept_over_steps(bench: Workbench, store_url: str) -> None:
    await bury(bench, *(f"r{number}" for number in range(7)))
    async with open_desk(bench, store_url) as desk:
        pauses: list[float] = []

        async def pause(seconds: float) -> None:
            pauses.append(seconds)
            await asyncio.sleep(seconds / 100)

        carrier = Carrier(desk.operations, desk.kinds(), "one", sleep=pause)
        await carrier.begin("o1", plan("redrive", rate=1.0))
        await desk.until_ended("o1", carrier)

    assert sum(it > 0.5 for it in pauses) >= 6


async def test_runs_are_cancelled_by_filter_and_only_those_that_go_on(
    bench: Workbench, store_url: str
) -> None:
    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        await bench.ended(await bench.submit(run_id="ended"))
    open_runs = [await bench.submit() for _ in range(5)]
    async with open_desk(bench, store_url) as desk:
        carrier = desk.carrier()
        await carrier.begin("o1", plan("cancel", filter={"pipeline": bench.pipeline.name}))
        operation = await desk.until_ended("o1", carrier)

        assert counted(operation) == {"matched": 5, "done": 5, "stale": 0, "failed": 0, "left": 0}
        for run_id in open_runs:
            assert await state_of(bench, run_id) == RunState.CANCELLED
        assert await state_of(bench, "ended") == RunState.COMPLETED


@pytest.mark.parametrize("after", [False, True], ids=["before_the_publish", "after_the_publish"])
async def test_a_rerun_whose_carrier_dies_repeats_each_run_once(
    bench: Workbench, store_url: str, after: bool
) -> None:
    done: list[int] = []

    async def note(number: int) -> int:
        done.append(number)
        return number

    async with bench.working(bench.bind("add", note), bench.bind("double", double)):
        for number in range(6):
            await bench.ended(await bench.submit(b"%d" % number))
    filter = {"pipeline": bench.pipeline.name, "state": "completed"}
    async with open_desk(bench, store_url) as desk:
        dying = replace(bench, queue=DyingQueue(bench.queue, 3, after=after))
        await died(desk.carrier(desk.kinds(dying)), "o1", plan("rerun", filter=filter, begin="start"))
        operation = await desk.until_ended("o1", desk.carrier())

        assert counted(operation) == {"matched": 6, "done": 6, "stale": 0, "failed": 0, "left": 0}
    done.clear()
    async with bench.working(bench.bind("add", note), bench.bind("double", double), burst=True) as one:
        await asyncio.wait_for(one.task, TIMEOUT_S)
    assert sorted(done) == list(range(6))
    page = await bench.store.page(RunFilter(pipeline=bench.pipeline.name), limit=50)
    assert len(page.runs) == 12


@on_streams
async def test_a_run_that_cannot_be_repeated_is_named_and_the_others_are(
    bench: Workbench, store_url: str
) -> None:
    def broken(number: int) -> int:
        raise ZeroDivisionError(number)

    async with bench.working(bench.bind("add", add), bench.bind("double", broken)):
        failed = await bench.ended(await bench.submit())
    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        good = await bench.ended(await bench.submit())
    async with open_desk(bench, store_url) as desk:
        carrier = desk.carrier()
        await carrier.begin("o1", plan("rerun", filter={"pipeline": bench.pipeline.name}, begin="failed"))
        operation = await desk.until_ended("o1", carrier)

        assert counted(operation) == {"matched": 2, "done": 1, "stale": 0, "failed": 1, "left": 0}
        assert [it.target for it in operation.failures] == [good.id]
        assert "has not failed" in operation.failures[0].error
        assert failed.id


@on_streams
async def test_targets_are_found_page_by_page_before_any_is_tried(
    bench: Workbench, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runs that a re-run starts match as well, and are not repeated."""
    monkeypatch.setattr("mousetrap.operations.runs._PAGE", 3)
    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        for _ in range(10):
            await bench.ended(await bench.submit())
        async with open_desk(bench, store_url) as desk:
            carrier = desk.carrier()
            await carrier.begin("o1", plan("rerun", filter={"pipeline": bench.pipeline.name}, begin="start"))
            operation = await desk.until_ended("o1", carrier)
            few = desk.carrier()
            await few.begin("o2", plan("cancel", filter={"state": "completed"}, limit=5))
            limited = await desk.until_ended("o2", few)

    assert (operation.matched, operation.done, operation.unseen) == (10, 10, 0)
    assert (limited.matched, limited.stale, limited.unseen) == (5, 5, 0)


@on_streams
async def test_more_targets_than_one_operation_takes_are_left_and_that_is_shown(
    bench: Workbench, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.operations.runs._PAGE", 3)
    monkeypatch.setattr("mousetrap.operations.fate.MOST_TARGETS", 5)
    for _ in range(8):
        await bench.submit()
    async with open_desk(bench, store_url) as desk:
        carrier = desk.carrier()
        await carrier.begin("o1", plan("cancel"))
        operation = await desk.until_ended("o1", carrier)

    assert (operation.matched, operation.done, operation.unseen) == (5, 5, None)


class AwayQueue:
    """A queue that is away until it is let in."""

    def __init__(self, queue: Any) -> None:
        self._queue, self.is_away = queue, True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        if self.is_away:
            raise QueueUnreachable("cannot reach the broker at secret-host:5672: refused")
        await self._queue.publish(queue, message, after=after)


async def test_an_operation_waits_for_a_broker_that_is_away_and_goes_on(
    bench: Workbench, store_url: str
) -> None:
    await bury(bench, "r1", "r2", "r3")
    async with open_desk(bench, store_url) as desk:
        queue = AwayQueue(bench.queue)
        carrier = desk.carrier(desk.kinds(replace(bench, queue=queue)))
        await carrier.begin("o1", plan("redrive"))
        await become(lambda: has(desk, "o1", "waits", carrier))
        waiting = await desk.operations.get("o1")
        queue.is_away = False
        operation = await desk.until_ended("o1", carrier)

    assert waiting and "the broker cannot be used now" in waiting.waits and "secret" not in waiting.waits
    assert counted(operation) == {"matched": 3, "done": 3, "stale": 0, "failed": 0, "left": 0}
    assert operation.waits == ""


@on_streams
async def test_two_carriers_share_operations_and_count_each_target_once(
    bench: Workbench, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even without a lease that keeps them apart."""
    monkeypatch.setattr(store_module, "LEASE_S", 0.001)
    # Each waits for letters that the other one holds.
    monkeypatch.setattr("mousetrap.dead_letters.held._FIRST_TIMEOUT_S", 0.3)
    monkeypatch.setattr("mousetrap.dead_letters.held._NEXT_TIMEOUT_S", 0.3)
    monkeypatch.setattr("mousetrap.operations.counts._TRIES", 1_000)
    await bury(bench, *(f"r{number:03}" for number in range(150)))
    async with open_desk(bench, store_url) as desk:
        monkeypatch.setattr(store_module, "LEASE_S", 0.001)
        one, other = desk.carrier(), desk.carrier()
        await one.begin("o1", plan("redrive"))
        operation = await desk.until_ended("o1", one, other)

        assert operation.done + operation.stale == 150
        assert len(desk.ended) == 1
    assert await redriven(bench) == [(f"r{number:03}", 1) for number in range(150)]


async def test_a_slow_redrive_hides_no_letter_from_another_that_another_carrier_was_asked_for(
    bench: Workbench, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a process holds a queue's letters no other process finds one."""
    monkeypatch.setattr("mousetrap.operations.counts._TRIES", 3)
    monkeypatch.setattr(store_module, "LEASE_S", 5.0)
    await bury(bench, *(f"slow{number}" for number in range(12)))
    await bury(bench, *(f"r{number}" for number in range(5)), reason="contract")
    async with open_desk(bench, store_url) as desk:
        one, other = desk.carrier(), desk.carrier()
        asked = plan("redrive", filter={"reason": "contract"})
        finding = await desk.kinds()["redrive"].find(asked, "-")
        await one.begin("slow", plan("redrive", filter={"reason": "max-retries"}, rate=3.0))
        await become(lambda: has(desk, "slow", "done"))
        await desk.operations.create("quick", asked, finding)
        quick = await desk.until_ended("quick", other, one)
        slow = await desk.until_ended("slow", one, other)

    assert counted(quick) == {"matched": 5, "done": 5, "stale": 0, "failed": 0, "left": 0}
    assert counted(slow) == {"matched": 12, "done": 12, "stale": 0, "failed": 0, "left": 0}


class Strange:
    """A kind that meets an error that no one foresaw."""

    has_one_carrier = False

    async def find(self, plan: Plan, after: str) -> Finding:
        return Finding([Target("a"), Target("b"), Target("c")])

    async def act(self, operation_id: str, plan: Plan, targets: Any) -> AsyncGenerator[Fate, None]:
        for target, _ in targets:
            if target.id == "b":
                raise ZeroDivisionError
            yield Fate("done")


STRANGE: Mapping[str, Kind] = {"redrive": Strange()}


@on_streams
async def test_an_error_that_no_one_foresaw_ends_nothing_else(bench: Workbench, store_url: str) -> None:
    async with open_desk(bench, store_url) as desk:
        carrier = desk.carrier(STRANGE)
        await carrier.begin("o1", plan("redrive"))
        operation = await desk.until_ended("o1", carrier)

    assert counted(operation) == {"matched": 3, "done": 2, "stale": 0, "failed": 1, "left": 0}
    assert [(it.target, it.error) for it in operation.failures] == [("b", "unexpected: ZeroDivisionError")]


@on_streams
async def test_an_operation_that_no_key_of_ours_signed_is_not_carried_out(
    bench: Workbench, store_url: str
) -> None:
    await bury(bench, "r1")
    other = Keyring.parse("test:another-secret-of-16")
    async with (
        open_desk(bench, store_url) as desk,
        open_operations(store_url, retention=3600, keyring=other) as forged,
    ):
        await forged.create("o1", plan("redrive"), Finding([Target("x")]))
        operation = await desk.until_ended("o1", desk.carrier())

        assert [it.state for it in desk.ended] == ["failed"]
    assert (operation.state, operation.done) == ("failed", 0)
    assert "not ours" in operation.failures[0].error


@on_streams
async def test_all_letters_that_are_there_are_redriven_though_a_look_of_before_is_shared(
    bench: Workbench, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.dead_letters.shared_look._FEW", 0)
    monkeypatch.setattr("mousetrap.dead_letters.shared_look._REST", 1e6)
    await bury(bench, "r1")
    async with open_desk(bench, store_url) as desk:
        kinds = desk.kinds()
        looked = await desk.dead_letters[-1].look(Selection())
        await bury(bench, "r2")
        shared = await desk.dead_letters[-1].look(Selection())
        carrier = desk.carrier(kinds)
        await carrier.begin("o1", plan("redrive"))
        operation = await desk.until_ended("o1", carrier)

    assert (len(looked.letters), len(shared.letters), operation.done) == (1, 1, 2)


@on_streams
async def test_a_record_that_is_none_is_no_operation(bench: Workbench, store_url: str) -> None:
    async with open_desk(bench, store_url) as desk:
        for number, facts in enumerate((b"{", b"[]", b"\xff", b'{"kind": "redrive"}')):
            await desk.operations.create(f"o{number}", plan("cancel"), Finding([Target("x")]))
            key = f"mousetrap:{{operation:o{number}}}"
            await desk.operations._client.call("HSET", key, "facts", facts)
        carrier = desk.carrier()
        await become(lambda: none_open(desk, carrier))

        assert (await desk.operations.page(limit=9)).operations == ()
        assert await desk.operations.get("o0") is None


@on_streams
async def test_the_same_id_is_one_operation(bench: Workbench, store_url: str) -> None:
    async with open_desk(bench, store_url) as desk:
        assert await desk.operations.create("o1", plan("cancel"), Finding([Target("x")]))
        assert not await desk.operations.create(
            "o1", plan("cancel", created_ms=just_now_ms() + 50), Finding([Target("x"), Target("y")])
        )

        assert await has(desk, "o1", "matched") == 1
        assert [it.id for it in (await desk.operations.page(limit=10)).operations] == ["o1"]
        assert await desk.operations.open_ids() == ["o1"]


@on_streams
async def test_operations_are_listed_newest_first_bounded_and_forgotten(
    bench: Workbench, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "MOST_LISTED", 4)
    now = just_now_ms()
    async with (
        open_desk(bench, store_url) as desk,
        open_operations(store_url, retention=0.05, keyring=KEYRING) as brief,
    ):
        for number in range(6):
            await desk.operations.create(f"o{number}", plan("cancel", created_ms=now + number), Finding([]))
        await brief.create("o6", plan("cancel", created_ms=now + 6), Finding([]))
        await become(lambda: forgotten(desk, "o6"))
        first = await desk.operations.page(limit=2)
        rest = await desk.operations.page(limit=2, after=first.next)
        running = await desk.operations.page(limit=9, state="running")

    assert [it.id for it in first.operations] == ["o5", "o4"]
    assert [it.id for it in rest.operations] == ["o3"]
    assert (rest.next, running.operations) == (None, ())


@on_streams
async def test_no_more_operations_are_under_way_than_may_be(
    bench: Workbench, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "MOST_OPEN", 2)
    async with open_desk(bench, store_url) as desk:
        for number in range(2):
            await desk.operations.create(f"o{number}", plan("cancel"), Finding([Target("x")]))
        with pytest.raises(TooManyOperations, match="2 operations are under way"):
            await desk.operations.create("o2", plan("cancel"), Finding([Target("x")]))


@on_streams
async def test_an_entry_without_a_record_is_taken_away_after_a_while(
    bench: Workbench, store_url: str
) -> None:
    """Its request died before the record; one of this moment may still be about to record it."""
    now = int(time.time() * 1000)
    async with open_desk(bench, store_url) as desk:
        entries = [f"{now - 120_000:013}:old", f"{now:013}:new"]
        await desk.operations._client.call(
            "ZADD", store_module._OPEN, *(it for e in entries for it in (0, e))
        )
        carrier = desk.carrier()
        await become(lambda: only_new(desk, carrier))
        await carrier.close()


@on_streams
async def test_operations_are_kept_by_a_cluster(bench: Workbench, valkey_cluster: Any) -> None:
    async with open_operations(valkey_cluster.url, retention=3600, keyring=KEYRING) as operations:
        desk = Desk(bench, operations, [])
        carrier = desk.carrier(STRANGE)
        for number in range(5):
            await carrier.begin(f"o{number}", plan("redrive"))
        ended = [await desk.until_ended(f"o{number}", carrier) for number in range(5)]

    assert [it.done for it in ended] == [2] * 5


class HeldByAnother:
    """Operations of which another carrier has the only one."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.claims = 0

    async def open_ids(self) -> list[str]:
        return ["one"]

    async def plan(self, operation_id: str) -> Plan:
        return self._plan

    async def claim(self, operation_id: str, token: str, most: int) -> str:
        self.claims += 1
        return "held"


async def test_an_operation_that_another_carrier_has_is_not_tried_at_each_look(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.operations.carrier._HELD_S", 2.5)
    held, clock = HeldByAnother(plan("cancel")), [1_000.0]
    operations: Any = held
    carrier = Carrier(operations, {"cancel": CancelRuns(bench.store)}, "me", now=lambda: clock[0])

    for looks, clock[0] in ((1, 1_000.0), (1, 1_001.0), (1, 1_002.0), (2, 1_003.0)):
        await carrier.look()
        await asyncio.gather(*carrier._tasks.values())
        assert held.claims == looks
