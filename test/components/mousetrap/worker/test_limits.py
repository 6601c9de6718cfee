"""Tests limits with real workers, queues and stores."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from mousetrap.pipeline import All, AtMost, Each, Gathered, Lock, Many, Pipeline, Rate, Stage
from mousetrap.retry import RetryPolicy
from mousetrap.run_store.records import HEAD
from mousetrap.submit_run import SubmitOptions
from mousetrap.worker import Pauses
from support.packed import passed
from support.valkey import console, names
from support.workbench import TIMEOUT_S, Workbench, just_now_ms, on_streams, workbench_for


class Order(msgspec.Struct, frozen=True):
    customer: str
    number: int = 0


class Till:
    """A handler that notes who begins, and holds each job until it may go on."""

    def __init__(self) -> None:
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.begun: defaultdict[str, list[int]] = defaultdict(list)
        self.failing: set[int] = set()
        self._may_end: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(0))
        self._changed = asyncio.Condition()

    async def __call__(self, order: Order) -> int:
        who = order.customer
        self.begun[who].append(order.number)
        self.now[who] += 1
        self.most[who] = max(self.most[who], self.now[who])
        async with self._changed:
            self._changed.notify_all()
        try:
            await self._may_end[who].acquire()
        finally:
            self.now[who] -= 1
        if order.number in self.failing:
            self.failing.remove(order.number)
            raise OSError("once")
        return order.number

    def let_end(self, customer: str, count: int = 1) -> None:
        for _ in range(count):
            self._may_end[customer].release()

    async def until(self, met: Callable[[], bool]) -> None:
        async with asyncio.timeout(TIMEOUT_S), self._changed:
            await self._changed.wait_for(met)


def orders(limit: Any, **more: Any) -> Pipeline:
    mark = uuid4().hex[:8]
    policy = RetryPolicy(attempts=3, base=0.001, cap=0.001)
    stage = Stage(
        **{
            "name": "charge",
            "queue": f"charge_{mark}",
            "input": Order,
            "output": int,
            "limit": limit,
            "retry": policy,
            **more,
        }
    )
    return Pipeline(name=f"orders_{mark}", description="Charges.", stages=(stage,))


async def submitted(bench: Workbench, *orders: Order) -> list[str]:
    return [await bench.submit(msgspec.json.encode(order)) for order in orders]


async def states(bench: Workbench, runs: list[str]) -> set[str]:
    return {str((await bench.ended(run)).state) for run in runs}


async def in_line(bench: Workbench, url: str, count: int) -> None:
    """Returns once so many jobs wait in a line with their messages."""
    key = f"mousetrap:limits:{bench.pipeline.name}.charge:bodies"
    async with asyncio.timeout(TIMEOUT_S):
        with console(url) as client:
            while client.hlen(key) != count:  # noqa: ASYNC110  the store announces no line
                await asyncio.sleep(0.01)


async def test_never_more_than_the_limit_run_at_once_and_all_are_done(queue_url: str, store_url: str) -> None:
    till = Till()
    for customer in "ab":
        till.let_end(customer, 20)
    async with workbench_for(orders(AtMost(2, per="customer")), queue_url, store_url) as bench:
        runs = await submitted(bench, *(Order("ab"[number % 2], number) for number in range(40)))
        binding = bench.bind("charge", till)
        async with bench.working(binding), bench.working(binding):
            assert await states(bench, runs) == {"completed"}

    assert max(till.most.values()) <= 2
    assert sorted(till.begun["a"] + till.begun["b"]) == list(range(40))


async def test_who_is_over_a_limit_takes_no_place_of_a_worker_and_begins_in_its_order(
    queue_url: str, store_url: str
) -> None:
    till = Till()
    async with workbench_for(orders(AtMost(1, per="customer")), queue_url, store_url) as bench:
        large = await submitted(bench, *(Order("large", number) for number in range(6)))
        small = await submitted(bench, Order("small"))
        async with bench.working(bench.bind("charge", till), concurrency=2, prefetch=2):
            await till.until(lambda: bool(till.begun["small"]))
            assert till.begun["large"] == [0]
            till.let_end("small")
            till.let_end("large", 6)
            assert await states(bench, large + small) == {"completed"}

    assert till.begun["large"] == list(range(6))


async def test_a_job_that_waited_for_a_limit_was_tried_once(queue_url: str, store_url: str) -> None:
    till = Till()
    async with workbench_for(orders(AtMost(1)), queue_url, store_url) as bench:
        runs = await submitted(bench, Order("a", 1), Order("a", 2))
        async with bench.working(bench.bind("charge", till)):
            await in_line(bench, store_url, 1)
            till.let_end("a", 2)
            assert await states(bench, runs) == {"completed"}
            kinds = [event.kind for event in (await bench.ended(runs[1])).timeline]

    assert kinds == ["accepted", "waiting", "started", "finished", "completed"]


async def test_an_attempt_that_failed_gives_its_place_back_and_the_next_one_waits_for_it(
    queue_url: str, store_url: str
) -> None:
    till = Till()
    till.failing.add(1)
    async with workbench_for(orders(AtMost(1)), queue_url, store_url) as bench:
        runs = await submitted(bench, Order("a", 1), Order("a", 2))
        async with bench.working(bench.bind("charge", till)):
            await in_line(bench, store_url, 1)
            till.let_end("a", 3)
            assert await states(bench, runs) == {"completed"}

    assert till.most["a"] == 1
    assert sorted(till.begun["a"]) == [1, 1, 2]


async def test_a_run_that_waits_can_be_cancelled_and_expires(queue_url: str, store_url: str) -> None:
    till = Till()
    async with workbench_for(orders(AtMost(1)), queue_url, store_url) as bench:
        (first,) = await submitted(bench, Order("a", 1))
        async with bench.working(bench.bind("charge", till)):
            await till.until(lambda: till.begun["a"] == [1])
            (cancelled,) = await submitted(bench, Order("a", 2))
            body, soon = msgspec.json.encode(Order("a", 3)), SubmitOptions(expires_in=5.0)
            late = await bench.submitter.submit(bench.pipeline, body, run_id=uuid4().hex, options=soon)
            over_ms = just_now_ms() + 5_000
            (last,) = await submitted(bench, Order("a", 4))
            await in_line(bench, store_url, 3)
            await bench.store.cancel(cancelled)
            await passed(bench.store, over_ms)
            till.let_end("a", 2)
            assert await states(bench, [cancelled]) == {"cancelled"}
            assert await states(bench, [late.run_id]) == {"expired"}
            assert await states(bench, [first, last]) == {"completed"}

    assert till.begun["a"] == [1, 4]


async def test_a_paused_queue_keeps_those_in_its_lines(queue_url: str, store_url: str) -> None:
    till, pauses = Till(), Pauses()
    async with workbench_for(orders(AtMost(1)), queue_url, store_url) as bench:
        runs = await submitted(bench, Order("a", 1), Order("a", 2))
        async with bench.working(bench.bind("charge", till), pauses=pauses):
            await in_line(bench, store_url, 1)
            pauses.set([bench.queue_of("charge")])
            till.let_end("a", 2)
            assert await states(bench, runs[:1]) == {"completed"}
            assert till.begun["a"] == [1]
            pauses.set([])
            assert await states(bench, runs) == {"completed"}


async def test_a_worker_that_drains_leaves_those_in_line_to_others(queue_url: str, store_url: str) -> None:
    till = Till()
    async with workbench_for(orders(AtMost(1)), queue_url, store_url) as bench:
        runs = await submitted(bench, Order("a", 1), Order("a", 2), Order("a", 3))
        binding = bench.bind("charge", till)
        async with bench.working(binding) as leaving:
            await in_line(bench, store_url, 2)
            leaving.stop.ask()
            till.let_end("a", 3)
            await leaving.task
        assert till.begun["a"] == [1]
        async with bench.working(binding):
            assert await states(bench, runs) == {"completed"}

    assert till.begun["a"] == [1, 2, 3]


async def test_a_store_that_forgets_its_lines_loses_no_job(
    queue_url: str, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.worker.endings.SPARE_MIN_S", 1.0)
    till = Till()
    async with workbench_for(orders(AtMost(1)), queue_url, store_url) as bench:
        runs = await submitted(bench, Order("a", 1), Order("a", 2), Order("a", 3))
        async with bench.working(bench.bind("charge", till)):
            await in_line(bench, store_url, 2)
            with console(store_url) as client:
                client.delete(*names(store_url, "mousetrap:limit*"))
            till.let_end("a", 3)
            assert await states(bench, runs) == {"completed"}


async def test_the_message_that_comes_again_makes_no_second_dead_letter(
    queue_url: str, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.worker.endings.SPARE_MIN_S", 1.0)
    till = Till()
    till.failing.add(2)
    pipeline = orders(AtMost(1), retry=RetryPolicy(attempts=1))
    async with workbench_for(pipeline, queue_url, store_url) as bench:
        runs = await submitted(bench, Order("a", 1), Order("a", 2))
        async with bench.working(bench.bind("charge", till)):
            await in_line(bench, store_url, 1)
            till.let_end("a", 4)
            assert await states(bench, runs) == {"completed", "failed"}
            # A run that waits later than the message that comes again has gone through after that.
            later = await bench.submitter.submit(
                bench.pipeline,
                msgspec.json.encode(Order("a", 3)),
                run_id=uuid4().hex,
                options=SubmitOptions(delay_s=2.5),
            )
            await bench.ended(later.run_id)
        assert await bench.queue.count_ready(f"{bench.queue_of('charge')}.dead") == 1


async def test_a_rate_and_places_hold_together_and_with_a_lock(queue_url: str, store_url: str) -> None:
    till = Till()
    till.let_end("a", 12)
    limit = (AtMost(2), Rate(200))
    pipeline = orders(limit, lock=Lock(name=f"l{uuid4().hex[:8]}", by="customer"))
    async with workbench_for(pipeline, queue_url, store_url) as bench:
        runs = await submitted(bench, *(Order("a", number) for number in range(6)))
        binding = bench.bind("charge", till)
        async with bench.working(binding), bench.working(binding):
            assert await states(bench, runs) == {"completed"}

    assert till.most["a"] == 1


@on_streams
async def test_jobs_of_a_fan_out_are_limited_too(queue_url: str, store_url: str) -> None:
    till, mark = Till(), uuid4().hex[:8]
    till.let_end("a", 12)
    pipeline = Pipeline(
        name=f"fan_{mark}",
        description="Fans out.",
        stages=(
            Stage(name="list", queue=f"list_{mark}", input=int, output=Many[Order]),
            Stage(
                name="charge",
                queue=f"charge_{mark}",
                input=Order,
                output=int,
                after=Each("list"),
                limit=AtMost(2),
            ),
            Stage(name="sum", queue=f"sum_{mark}", input=Gathered[int], output=int, after=All("charge")),
        ),
    )

    async def list_orders(count: int) -> list[Order]:
        return [Order("a", number) for number in range(count)]

    def total(numbers: Gathered[int]) -> int:
        return sum(number for _, number in numbers)

    async with workbench_for(pipeline, queue_url, store_url) as bench:
        run = await bench.submit(b"12")
        handlers = (bench.bind("list", list_orders), bench.bind("charge", till), bench.bind("sum", total))
        async with bench.working(*handlers), bench.working(*handlers):
            ended = await bench.ended(run)

    assert (ended.state, ended.result) == ("completed", sum(range(12)))
    assert till.most["a"] <= 2


@on_streams
async def test_a_chain_in_place_waits_at_a_stage_with_a_limit(queue_url: str, store_url: str) -> None:
    till, mark = Till(), uuid4().hex[:8]
    till.let_end("a", 6)
    pipeline = Pipeline(
        name=f"chain_{mark}",
        description="Goes on in place.",
        in_place=True,
        stages=(
            Stage(name="order", queue=f"order_{mark}", input=int, output=Order, limit=AtMost(3)),
            Stage(name="charge", queue=f"charge_{mark}", input=Order, output=int, limit=AtMost(1)),
        ),
    )

    async def order(number: int) -> Order:
        return Order("a", number)

    async with workbench_for(pipeline, queue_url, store_url) as bench:
        runs = [await bench.submit(b"%d" % number) for number in range(6)]
        handlers = (bench.bind("order", order), bench.bind("charge", till))
        async with bench.working(*handlers), bench.working(*handlers):
            assert await states(bench, runs) == {"completed"}

    assert till.most["a"] == 1


@on_streams
async def test_a_message_that_is_damaged_in_its_line_costs_no_other_and_its_job_runs(
    queue_url: str, store_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mousetrap.worker.endings.SPARE_MIN_S", 1.0)
    till = Till()
    async with workbench_for(orders(AtMost(1)), queue_url, store_url) as bench:
        runs = await submitted(bench, *(Order("a", number) for number in range(3)))
        async with bench.working(bench.bind("charge", till)):
            await in_line(bench, store_url, 2)
            key = f"mousetrap:limits:{bench.pipeline.name}.charge:bodies"
            with console(store_url) as client:
                client.hset(key, next(iter(client.hkeys(key))), b"damaged")
            till.let_end("a", 3)
            assert await states(bench, runs) == {"completed"}

    assert "a message in a line that is not used" in caplog.text


@on_streams
async def test_a_burst_ends_once_no_one_waits_for_a_limit(queue_url: str, store_url: str) -> None:
    till = Till()
    till.let_end("a", 4)
    async with workbench_for(orders(Rate(3)), queue_url, store_url) as bench:
        runs = await submitted(bench, *(Order("a", number) for number in range(4)))
        async with bench.working(bench.bind("charge", till), burst=True) as worker:
            await asyncio.wait_for(worker.task, TIMEOUT_S)
        assert sorted(till.begun["a"]) == [0, 1, 2, 3]
        assert await states(bench, runs) == {"completed"}


async def locked_again(url: str, run: str, times: int) -> None:
    """Returns once the run's job has met its lock so often."""
    fences: set[bytes] = set()
    async with asyncio.timeout(TIMEOUT_S):
        with console(url) as client:
            while len(fences) < times:
                for key in names(url, f"mousetrap:{{{run}}}:job:*"):
                    record: Any = client.get(key)
                    if b'"needs"' in record:
                        fences.add(record[:HEAD])
                await asyncio.sleep(0.02)


@on_streams
async def test_a_job_from_a_line_that_meets_its_lock_leaves_no_further_copies(
    queue_url: str, store_url: str
) -> None:
    till, lock = Till(), Lock(name="order", by="number")
    async with workbench_for(orders(AtMost(1), lock=lock), queue_url, store_url) as bench:
        locked = f"mousetrap:lock:{lock.key(msgspec.json.encode(Order('x', 7)))}"
        with console(store_url) as client:
            held = {"job": "other", "run": "other", "until_ms": just_now_ms() + 600_000, "fence": 1}
            client.hset(locked, mapping=held)
        await submitted(bench, Order("a", 1))
        async with bench.working(bench.bind("charge", till)):
            await till.until(lambda: till.begun["a"] == [1])
            (run,) = await submitted(bench, Order("x", 7))
            await in_line(bench, store_url, 1)
            till.let_end("a")
            till.let_end("x")
            await locked_again(store_url, run, times=3)
            with console(queue_url) as client:
                delayed = [
                    key for key in client.keys("*") if client.type(key) == b"zset" and b"charge" in key
                ]
                copies = [it for key in delayed for it in client.zrange(key, 0, -1) if b'"number":7' in it]
            with console(store_url) as client:
                client.delete(locked)
            assert await states(bench, [run]) == {"completed"}

    assert len(copies) == 1  # the one that comes again by itself
