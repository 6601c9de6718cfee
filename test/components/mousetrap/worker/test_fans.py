"""Tests fan-outs, forks and joins on a worker."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import replace
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from msgspec import Raw
from redis.asyncio import Redis

from mousetrap.dead_letters import DeadLetters, Selection
from mousetrap.embedded_valkey import EmbeddedValkey
from mousetrap.handlers import Context
from mousetrap.job_queue import QueueOptions
from mousetrap.jobs import (
    Done,
    Failure,
    GiveUp,
    Message,
    MousetrapError,
    Outcome,
    StoreUnreachable,
    decode,
    first_job,
)
from mousetrap.payloads import PayloadOptions
from mousetrap.pipeline import All, Each, Gathered, Keyed, Lock, Many, Pipeline, Stage
from mousetrap.retry import RetryPolicy
from mousetrap.run_store import Decision, DecisionRequest, Fired, Granted, StoredRun
from mousetrap.run_store.keys import fan_out_key, packed_job_key
from mousetrap.shapes import RunState
from mousetrap.submit_run import SubmitOptions
from mousetrap.worker.endings import ANCHOR
from mousetrap.worker.joins import join_text
from mousetrap.worker.suspects import SuspectGate
from support import isolated_fan
from support.rabbitmq import virtual_host
from support.workbench import KEYRING, TIMEOUT_S, Workbench, just_now_ms, on_streams, workbench_for

pytestmark = pytest.mark.own_queues

#: Three tries without a noticeable pause; a division by zero is not tried again.
POLICY = RetryPolicy(attempts=3, base=0.001, cap=0.001, dont_retry_on=(ZeroDivisionError,))


async def find(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


async def read(number: int) -> int:
    return number * 10


async def add_up(numbers: Gathered[int]) -> list[int]:
    """How many came, how many are lost, and their sum, in the order of their indexes."""
    indexes, values = [], []
    async for index, value in numbers:
        indexes.append(index)
        values.append(value)
    assert indexes == sorted(indexes)
    return [len(values), numbers.lost, sum(values)]


HANDLERS: dict[str, Callable[..., Any]] = {"find": find, "read": read, "sum": add_up}


class Marked:
    """Makes stages whose queues no other test uses."""

    def __init__(self) -> None:
        self.mark = uuid4().hex[:8]

    def stage(self, name: str, takes: Any, gives: Any, **more: Any) -> Stage:
        return Stage(
            **{
                "name": name,
                "queue": f"{name}_{self.mark}",
                "input": takes,
                "output": gives,
                "retry": POLICY,
                **more,
            }
        )

    def pipeline(self, *stages: Stage) -> Pipeline:
        return Pipeline(name=f"fan_{self.mark}", description="Fans out.", stages=stages)


def a_fan(need: float = 1.0, *, of_find: Any = None, item: Any = int, **of_read: Any) -> Pipeline:
    """find -> read each -> sum."""
    made = Marked()
    return made.pipeline(
        made.stage("find", int, Many[item], **(of_find or {})),
        made.stage("read", item, item, after=Each("find"), **of_read),
        made.stage("sum", Gathered[item], list[int], after=All("read", need=need)),
    )


@asynccontextmanager
async def served(
    pipeline: Pipeline,
    queue_url: str,
    store_url: str,
    *,
    options: Any = None,
    handlers: Any = None,
    **worker: Any,
) -> AsyncIterator[Workbench]:
    """A bench whose worker serves all stages."""
    async with (
        workbench_for(pipeline, queue_url, store_url, options) as bench,
        working(bench, handlers, **worker),
    ):
        yield bench


@asynccontextmanager
async def working(bench: Workbench, handlers: Any = None, **worker: Any) -> AsyncIterator[None]:
    known = {**HANDLERS, **(handlers or {})}
    bound = [
        bench.bind(stage.name, known[stage.name]) for stage in bench.pipeline.stages if stage.name in known
    ]
    async with bench.working(*bound, **worker):
        yield


def letters_of(bench: Workbench) -> DeadLetters:
    return DeadLetters(bench.queue, bench.store, KEYRING, {bench.pipeline.name: bench.pipeline})


async def finished(bench: Workbench, body: bytes) -> StoredRun:
    return await bench.ended(await bench.submit(body))


@pytest.mark.parametrize("count", [0, 1, 3, 257, 1001])
async def test_each_child_is_done_and_joined_once(queue_url: str, store_url: str, count: int) -> None:
    """No child, one, several, more than a page of outputs, and more than two windows."""
    async with served(a_fan(), queue_url, store_url) as bench:
        run = await finished(bench, b"%d" % count)

    assert (run.state, run.result) == (RunState.COMPLETED, [count, 0, 10 * sum(range(count))])


def find_list(count: int) -> list[int]:
    return list(range(count))


@on_streams
@pytest.mark.parametrize("finder", [isolated_fan.find, find_list])
async def test_handlers_may_be_sync(queue_url: str, store_url: str, finder: Any) -> None:
    handlers = {"find": finder, "read": isolated_fan.read, "sum": isolated_fan.add_up}
    async with served(a_fan(), queue_url, store_url, handlers=handlers) as bench:
        run = await finished(bench, b"600")

    assert run.result == [600, 0, 10 * sum(range(600))]


@on_streams
async def test_handlers_may_be_isolated(queue_url: str, store_url: str) -> None:
    async with workbench_for(a_fan(), queue_url, store_url) as bench:
        isolated: dict[str, Callable[..., Any]] = {
            "find": isolated_fan.find,
            "read": isolated_fan.read,
            "sum": isolated_fan.add_up,
        }
        bound = [bench.bind(name, handler, isolated=True) for name, handler in isolated.items()]
        async with bench.working(*bound, concurrency=1):
            run = await finished(bench, b"20")

    assert run.result == [20, 0, 1900]


# Forks


class Both(msgspec.Struct):
    """What two branches of one job give, by the stages that gave it."""

    left: int
    finish: str


def a_fork(**of_left: Any) -> Pipeline:
    """split -> left, and right -> finish; both joined by name."""
    made = Marked()
    return made.pipeline(
        made.stage("split", int, int),
        made.stage("left", int, int, after="split", **of_left),
        made.stage("right", int, str, after="split"),
        made.stage("finish", str, str, after="right"),
        made.stage("meet", Both, str, after=All("left", "finish")),
    )


async def split(number: int) -> int:
    return number + 1


async def left(number: int) -> int:
    return -number


async def right(number: int) -> str:
    return f"r{number}"


async def finish(text: str) -> str:
    return text.upper()


async def meet(both: Both) -> str:
    return f"{both.left} {both.finish}"


FORKED = {"split": split, "left": left, "right": right, "finish": finish, "meet": meet}


async def test_two_branches_of_one_job_are_joined_by_name(queue_url: str, store_url: str) -> None:
    async with served(a_fork(), queue_url, store_url, handlers=FORKED) as bench:
        runs = [await finished(bench, b"%d" % number) for number in range(3)]

    assert [run.result for run in runs] == ["-1 R1", "-2 R2", "-3 R3"]


@on_streams
async def test_branches_that_are_too_large_together_give_their_join_up_with_their_size(
    queue_url: str, store_url: str
) -> None:
    made = Marked()

    class Texts(msgspec.Struct):
        one: str
        two: str

    async def text(number: int) -> str:
        return "x" * number

    async def joined(texts: Texts) -> int:
        return len(texts.one + texts.two)

    pipeline = made.pipeline(
        made.stage("split", int, int),
        made.stage("one", int, str, after="split"),
        made.stage("two", int, str, after="split"),
        made.stage("meet", Texts, int, after=All("one", "two")),
    )
    handlers = {"split": left, "one": text, "two": text, "meet": joined}
    payloads = PayloadOptions(largest=1_000)
    async with (
        workbench_for(pipeline, queue_url, store_url, payloads=payloads) as bench,
        working(bench, handlers),
    ):
        run = await finished(bench, b"-600")
        letter = await bench.dead_letter("meet")

    assert run.state is RunState.FAILED
    assert letter.headers["mousetrap-reason"] == "too-large"
    assert run.failure is not None
    assert "has 1219 bytes, which is more than" in run.failure.text


async def test_a_branch_that_is_given_up_and_redriven_completes_its_run(
    queue_url: str, store_url: str
) -> None:
    broken = [True]

    async def may_fail(number: int) -> int:
        return number // (0 if broken[0] else 1)

    async with served(a_fork(), queue_url, store_url, handlers={**FORKED, "left": may_fail}) as bench:
        run_id = await bench.submit(b"4")
        assert (await bench.ended(run_id)).state is RunState.FAILED
        broken[0] = False
        await redriven(bench, 1)
        run = await bench.ended(run_id)

    assert (run.state, run.result) == (RunState.COMPLETED, "5 R5")


async def test_a_fork_whose_message_comes_again_sends_no_branch_again_that_was_given_up(
    queue_url: str, store_url: str
) -> None:
    """As it does until the run is repaired: each copy of the branch would make another dead letter."""

    async def fails_at_5(number: int) -> int:
        return number // (number - 5)

    async with workbench_for(a_fork(), queue_url, store_url) as bench:
        first = await bench.submit(b"4")
        delivery = await bench.next_of(bench.queue_of("split"))
        delivery.hand_back()
        async with working(bench, {**FORKED, "left": fails_at_5}, concurrency=1):
            failed = await bench.ended(first)
            sent = delivery.message
            anchor = Message(sent.id, sent.body, {**sent.headers, ANCHOR: "1"})  # the fence of its only claim
            await bench.queue.publish(bench.queue_of("split"), anchor)
            second = await finished(bench, b"5")  # behind it in every queue
        letters = await bench.queue.count_ready(f"{bench.queue_of('left')}.dead")

    assert (failed.state, second.state) == (RunState.FAILED, RunState.COMPLETED)
    assert letters == 1


@on_streams
async def test_a_fork_that_is_given_up_and_goes_on_with_null_has_its_failure_in_the_timeline(
    queue_url: str, store_url: str
) -> None:
    made = Marked()
    pipeline = made.pipeline(
        made.stage("split", int, int, on_failure="skip"),
        made.stage("left", int | None, int, after="split"),
        made.stage("finish", int | None, str, after="split"),
        made.stage("meet", Both, str, after=All("left", "finish")),
    )

    async def broken(number: int) -> int:
        return number // 0

    async def minus_one(number: int | None) -> int:
        return -1

    async def empty(number: int | None) -> str:
        return str(number)

    handlers = {"split": broken, "left": minus_one, "finish": empty, "meet": meet}
    async with served(pipeline, queue_url, store_url, handlers=handlers) as bench:
        run = await finished(bench, b"4")

    assert (run.state, run.result) == (RunState.COMPLETED, "-1 None")
    (gave_up,) = [event for event in run.timeline if event.kind == "gave_up"]
    assert (gave_up.stage, gave_up.failure and gave_up.failure.kind) == ("split", "ZeroDivisionError")


async def redriven(bench: Workbench, count: int) -> None:
    """Redrives so many dead letters, once they are there."""
    letters = letters_of(bench)
    async with asyncio.timeout(TIMEOUT_S):
        while count:
            count -= (await letters.redrive(Selection(), rate=1000, limit=count)).done


# Nested


def nested() -> Pipeline:
    """outer -> inner each -> leaf each -> gathered by inner, then by outer."""
    made = Marked()
    return made.pipeline(
        made.stage("outer", int, Many[int]),
        made.stage("inner", int, Many[int], after=Each("outer")),
        made.stage("leaf", int, int, after=Each("inner")),
        made.stage("some", Gathered[int], int, after=All("leaf")),
        made.stage("all", Gathered[int], list[int], after=All("some", need=0.5)),
    )


async def some(numbers: Gathered[int]) -> int:
    return sum([value async for _, value in numbers])


NESTED = {"outer": find, "inner": find, "leaf": read, "some": some, "all": add_up}


async def test_fans_in_fans_are_joined_from_the_innermost_out(queue_url: str, store_url: str) -> None:
    async with served(nested(), queue_url, store_url, handlers=NESTED) as bench:
        run = await finished(bench, b"6")

    assert run.result == [6, 0, sum(10 * sum(range(count)) for count in range(6))]


@on_streams
async def test_a_fan_that_breaks_in_another_is_one_lost_child_of_it(queue_url: str, store_url: str) -> None:
    async def fail_at_three(number: int) -> int:
        return number // (3 - number)

    async with served(nested(), queue_url, store_url, handlers={**NESTED, "leaf": fail_at_three}) as bench:
        run = await finished(bench, b"5")

    # The fans of 0, 1, 2 and 3 leaves are whole, that of 4 has lost its last.
    assert run.state is RunState.COMPLETED
    assert run.result[:2] == [4, 1]


async def test_stages_that_go_on_in_place_may_lead_to_a_fan_out_through_it_and_from_it(
    queue_url: str, store_url: str
) -> None:
    made = Marked()
    stages = (
        made.stage("first", int, int),
        made.stage("find", int, Many[int]),
        made.stage("read", int, int, after=Each("find")),
        made.stage("twice", int, int),
        made.stage("sum", Gathered[int], list[int], after=All("twice")),
        made.stage("last", list[int], int),
    )
    handlers = {"first": split, "twice": left, "last": third}
    pipeline = replace(made.pipeline(*stages), in_place=True)
    async with served(pipeline, queue_url, store_url, handlers=handlers) as bench:
        run = await finished(bench, b"29")

    assert run.result == -10 * sum(range(30))


async def third(counts: list[int]) -> int:
    return counts[2]


# Failures of children


async def fail_each_tenth(number: int) -> int:
    return 10 * number // (number % 10 and 1)


async def test_lost_children_are_tolerated_as_far_as_the_join_needs(queue_url: str, store_url: str) -> None:
    async with served(a_fan(0.9), queue_url, store_url, handlers={"read": fail_each_tenth}) as bench:
        run = await finished(bench, b"100")
        letters = await letters_of(bench).look(Selection())

    assert (run.state, run.result[:2]) == (RunState.COMPLETED, [90, 10])
    assert len(letters.letters) == 10


async def test_more_lost_children_fail_the_run_and_their_redrive_completes_it(
    queue_url: str, store_url: str
) -> None:
    failed, done = set[int](), Counter[int]()

    async def may_fail(number: int) -> int:
        # Each once: the run fails with the first, before the others are there.
        if number < 3 and number not in failed:
            failed.add(number)
            raise ZeroDivisionError
        done[number] += 1
        return number * 10

    async with served(a_fan(), queue_url, store_url, handlers={"read": may_fail}) as bench:
        run_id = await bench.submit(b"50")
        assert (await bench.ended(run_id)).state is RunState.FAILED
        await redriven(bench, 3)
        run = await bench.ended(run_id)

    assert (run.state, run.result) == (RunState.COMPLETED, [50, 0, 10 * sum(range(50))])
    assert set(done.values()) == {1}


@on_streams
async def test_a_child_redriven_after_the_join_runs_and_changes_nothing(
    queue_url: str, store_url: str
) -> None:
    broken, again = [True], asyncio.Event()

    async def may_fail(number: int) -> int:
        if broken[0] and number == 3:
            raise ZeroDivisionError
        if number == 3:
            again.set()
        return number * 10

    async with served(a_fan(0.5), queue_url, store_url, handlers={"read": may_fail}) as bench:
        before = await finished(bench, b"5")
        broken[0] = False
        await redriven(bench, 1)
        await asyncio.wait_for(again.wait(), TIMEOUT_S)
        run = await bench.ended(before.id)

    assert before.result == run.result == [4, 1, 70]


async def test_a_child_is_tried_again_as_any_job(queue_url: str, store_url: str) -> None:
    async def flaky(number: int, context: Context[None]) -> int:
        if context.attempt < 1 + number % 3:
            raise ConnectionError("again")
        return number * 10

    async with served(a_fan(), queue_url, store_url, handlers={"read": flaky}) as bench:
        run = await finished(bench, b"30")

    assert run.result == [30, 0, 10 * sum(range(30))]


@on_streams
async def test_children_take_turns_at_a_lock(queue_url: str, store_url: str) -> None:
    at_once, most = [0], [0]

    async def alone(number: int) -> int:
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        await asyncio.sleep(0)
        at_once[0] -= 1
        return number * 10

    pipeline = a_fan(lock=Lock(name=f"lock-{uuid4().hex[:6]}"))
    async with served(pipeline, queue_url, store_url, handlers={"read": alone}) as bench:
        run = await finished(bench, b"6")

    assert (run.result, most) == ([6, 0, 150], [1])


# Failures of who fans out


async def test_a_fan_out_that_fails_on_its_way_goes_on_where_it_was(queue_url: str, store_url: str) -> None:
    done = Counter[int]()

    async def fails_at_first(count: int, context: Context[None]) -> AsyncIterator[int]:
        for number in range(count):
            if (context.attempt, number) in {(1, 700), (2, 30)}:
                raise ConnectionError("lost")
            yield number

    async def noted(number: int) -> int:
        done[number] += 1
        return number * 10

    handlers = {"find": fails_at_first, "read": noted}
    async with served(a_fan(), queue_url, store_url, handlers=handlers) as bench:
        run = await finished(bench, b"900")

    assert run.result == [900, 0, 10 * sum(range(900))]
    assert (len(done), set(done.values())) == (900, {1})


@on_streams
async def test_with_keys_another_order_makes_the_same_children(queue_url: str, store_url: str) -> None:
    done = Counter[int]()

    async def in_another_order(count: int, context: Context[None]) -> AsyncIterator[Keyed[int]]:
        numbers = list(range(count))
        for place, number in enumerate(numbers if context.attempt == 1 else reversed(numbers)):
            if context.attempt == 1 and place == 700:
                raise ConnectionError("lost")
            yield Keyed(str(number), number)

    async def noted(number: int) -> int:
        done[number] += 1
        return number * 10

    handlers = {"find": in_another_order, "read": noted}
    async with served(a_fan(), queue_url, store_url, handlers=handlers) as bench:
        run = await finished(bench, b"800")

    assert run.result == [800, 0, 10 * sum(range(800))]
    assert (len(done), set(done.values())) == (800, {1})


@on_streams
async def test_a_fan_out_that_changes_its_mind_is_given_up_with_a_reason_and_can_be_redriven(
    queue_url: str, store_url: str
) -> None:
    changes = [True]

    async def fewer(count: int, context: Context[None]) -> AsyncIterator[int]:
        for number in range(count if context.attempt == 1 or not changes[0] else 2):
            yield number
        if context.attempt == 1 and changes[0]:
            raise ConnectionError("lost")

    async with served(a_fan(), queue_url, store_url, handlers={"find": fewer}) as bench:
        run_id = await bench.submit(b"600")
        assert (await bench.ended(run_id)).state is RunState.FAILED
        letter = await bench.next_of(f"{bench.queue_of('find')}.dead")
        assert letter.message.headers["mousetrap-reason"] == "fan-changed"
        await bench.put_back(letter)
        changes[0] = False
        await redriven(bench, 1)
        run = await bench.ended(run_id)

    assert run.result == [600, 0, 10 * sum(range(600))]


@on_streams
async def test_a_key_that_comes_twice_gives_the_fan_out_up(queue_url: str, store_url: str) -> None:
    async def twice(count: int) -> AsyncIterator[Keyed[int]]:
        for number in range(count):
            yield Keyed("same", number)

    async with served(a_fan(), queue_url, store_url, handlers={"find": twice}) as bench:
        run = await finished(bench, b"2")
        letter = await bench.dead_letter("find")

    assert run.state is RunState.FAILED
    assert letter.headers["mousetrap-reason"] == "contract"
    assert "'same' twice" in letter.headers["mousetrap-error"]


# Ends from outside


@on_streams
async def test_a_fan_out_that_is_cancelled_at_half_stops_and_its_children_end(
    queue_url: str, store_url: str
) -> None:
    done, stopped = Counter[int](), asyncio.Event()

    async def endless(count: int, context: Context[Any]) -> AsyncIterator[int]:
        try:
            number = 0
            while True:
                yield number
                number += 1
                await asyncio.sleep(0)
                if number == 1_000:
                    await context.deps.cancel(context.run_id)
        finally:
            stopped.set()

    async def noted(number: int) -> int:
        done[number] += 1
        return number

    async with workbench_for(a_fan(), queue_url, store_url) as bench:

        @asynccontextmanager
        async def store() -> AsyncIterator[Any]:
            yield bench.store

        bound = [
            bench.bind("find", endless, lifespan=store),
            bench.bind("read", noted),
            bench.bind("sum", add_up),
        ]
        async with bench.working(*bound):
            run = await finished(bench, b"0")
            await asyncio.wait_for(stopped.wait(), TIMEOUT_S)
            async with asyncio.timeout(TIMEOUT_S):
                while await bench.queue.count_ready(bench.queue_of("read")):
                    pass

    assert run.state is RunState.CANCELLED
    assert set(done.values()) <= {1}


@on_streams
async def test_children_of_a_run_whose_time_is_over_do_not_begin(queue_url: str, store_url: str) -> None:
    async with workbench_for(a_fan(), queue_url, store_url) as bench:
        begun = []

        async def noted(number: int) -> int:
            begun.append(number)
            return number

        async with bench.working(bench.bind("find", find)):
            accepted = await bench.submitter.submit(
                bench.pipeline, b"5", run_id=uuid4().hex, options=SubmitOptions(expires_in=1.5)
            )
        over_ms = just_now_ms() + 1_600
        while just_now_ms() < over_ms:  # the time of the run is over
            await bench.queue.count_ready(bench.queue_of("read"))
        handlers = {**HANDLERS, "read": noted}  # it may be over before the first began, too
        async with bench.working(*(bench.bind(name, handler) for name, handler in handlers.items())):
            run = await bench.ended(accepted.run_id)

    assert (run.state, begun) == (RunState.EXPIRED, [])


# Sizes and limits


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_a_queue_that_takes_few_children_at_a_time_gets_them_all(
    queue_url: str, store_url: str, concurrency: int
) -> None:
    """Also where the only worker of that queue is the one that fans out."""
    limits = QueueOptions(max_length=20)
    async with served(a_fan(), queue_url, store_url, options=limits, concurrency=concurrency) as bench:
        runs = await asyncio.gather(*(finished(bench, b"90") for _ in range(3)))

    assert [run.result for run in runs] == 3 * [[90, 0, 10 * sum(range(90))]]


async def killed_two_workers(bench: Workbench, stage: str) -> None:
    """The next job of a stage goes back as one that two workers died of: from now on it runs alone."""
    delivery = await bench.next_of(bench.queue_of(stage))
    job = decode(delivery.message.body)
    for worker in ("dead one", "dead two"):
        claim = await bench.store.claim(job, worker=worker, redelivered=True, lease=30)
        assert isinstance(claim, Granted)
    delivery.hand_back()


@on_streams
async def test_a_child_that_is_to_run_alone_does_not_wait_for_a_handler_that_waits_for_room(
    queue_url: str, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits until no job runs in its worker, and no other child could make room meanwhile."""
    begun: list[int] = []
    three_begun, handed_back, waits = asyncio.Event(), asyncio.Event(), asyncio.Event()
    enter = SuspectGate.enter

    async def read_later(number: int) -> int:
        """Of the first three one goes on once the suspect is in its queue, the others once it waits to be alone."""
        begun.append(number)
        if len(begun) == 3:
            three_begun.set()
        if not handed_back.is_set():
            await (handed_back if number == begun[0] else waits).wait()
        return number * 10

    async def noted(gate: SuspectGate, *, suspect: bool) -> None:
        if suspect:
            waits.set()
        await enter(gate, suspect=suspect)

    monkeypatch.setattr(SuspectGate, "enter", noted)
    more: Any = {"options": QueueOptions(max_length=20), "handlers": {"read": read_later}, "concurrency": 4}
    async with served(a_fan(), queue_url, store_url, **more) as bench:
        run_id = await bench.submit(b"300")
        await asyncio.wait_for(three_begun.wait(), TIMEOUT_S)
        await killed_two_workers(bench, "read")
        handed_back.set()
        run = await bench.ended(run_id)

    assert waits.is_set()
    assert run.result == [300, 0, 10 * sum(range(300))]


@on_streams
async def test_a_handler_that_is_to_run_alone_waits_for_no_room_that_only_others_could_make(
    queue_url: str, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part of its way runs alone: what it killed its workers with may be behind the items that are sent by now."""
    alone, enter = 0, SuspectGate.enter

    async def counted(gate: SuspectGate, *, suspect: bool) -> None:
        nonlocal alone
        alone += suspect
        await enter(gate, suspect=suspect)

    monkeypatch.setattr(SuspectGate, "enter", counted)
    async with workbench_for(a_fan(), queue_url, store_url, QueueOptions(max_length=20)) as bench:
        run_id = await bench.submit(b"90")
        await killed_two_workers(bench, "find")
        async with working(bench, concurrency=4):
            run = await bench.ended(run_id)

    assert alone > 1
    assert run.result == [90, 0, 10 * sum(range(90))]


@on_streams
async def test_large_children_and_large_outputs_go_by_reference(queue_url: str, store_url: str) -> None:
    async def find_large(count: int) -> AsyncIterator[str]:
        for number in range(count):
            yield str(number) * 5_000

    async def repeat(text: str) -> str:
        return text + text

    async def measure(texts: Gathered[str]) -> list[int]:
        return [len(text) async for _, text in texts]

    handlers = {"find": find_large, "read": repeat, "sum": measure}
    small = PayloadOptions(inline=1_024)
    async with (
        workbench_for(a_fan(item=str), queue_url, store_url, payloads=small) as bench,
        working(bench, handlers),
    ):
        run = await finished(bench, b"12")

    assert run.result == 10 * [10_000] + 2 * [20_000]


@on_streams
async def test_what_nothing_joins_ends_its_run_with_the_counts(queue_url: str, store_url: str) -> None:
    made = Marked()
    pipeline = made.pipeline(
        made.stage("find", int, Many[int]), made.stage("read", int, int, after=Each("find"))
    )
    async with served(pipeline, queue_url, store_url) as bench:
        runs = [await finished(bench, body) for body in (b"7", b"0")]

    assert [(run.state, run.result) for run in runs] == [
        (RunState.COMPLETED, {"total": 7, "done": 7, "lost": 0}),
        (RunState.COMPLETED, {"total": 0, "done": 0, "lost": 0}),
    ]


@on_streams
async def test_a_run_with_more_children_than_it_may_have_is_given_up(queue_url: str, store_url: str) -> None:
    async with served(a_fan(), queue_url, store_url, fan_most=700) as bench:
        wide = await finished(bench, b"701")
        letter = await bench.dead_letter("find")
        run = await finished(bench, b"700")

    assert (wide.state, run.state) == (RunState.FAILED, RunState.COMPLETED)
    assert letter.headers["mousetrap-reason"] == "fan-too-wide"


# Crashes and losses


async def dies_after_the_record(bench: Workbench, stage: str, outcome: Outcome, **about: Any) -> Decision:
    """Does the next job of a stage as a worker that records this outcome, and dies before it publishes."""
    delivery = await bench.next_of(bench.queue_of(stage))
    job = decode(delivery.message.body)
    claim = await bench.store.claim(job, worker="dead", redelivered=False, lease=60.0)
    assert isinstance(claim, Granted)
    request = DecisionRequest(job, outcome, claim, False, **about)
    (decision,) = (await bench.store.exchange([request], (), worker="dead")).decisions
    assert not isinstance(decision, MousetrapError)
    delivery.hand_back()
    return decision


async def test_a_fork_whose_worker_died_before_it_published_goes_on_in_all_branches(
    queue_url: str, store_url: str
) -> None:
    async with workbench_for(a_fork(), queue_url, store_url) as bench:
        run_id = await bench.submit(b"0")
        fan = bench.pipeline.opened_by(bench.pipeline.first)
        assert fan is not None
        job = first_job(run_id=run_id, pipeline="", stage="split", payload=b"", accepted_ms=0)
        outcome = Done(Raw(b"5"), forks=("left", "right"))
        text = join_text(fan, job, KEYRING)
        assert (
            await dies_after_the_record(bench, "split", outcome, next_stage="meet", join=text) == "recorded"
        )
        async with working(bench, FORKED):
            run = await bench.ended(run_id)

    assert run.result == "-5 R5"


async def test_a_last_child_that_was_given_up_is_a_dead_letter_and_its_fan_is_joined_though_its_worker_died(
    queue_url: str, store_url: str
) -> None:
    given_up = GiveUp("not-retryable", Failure(kind="ValueError", text="no"))
    async with workbench_for(a_fan(0.0), queue_url, store_url) as bench:
        run_id = await bench.submit(b"1")
        async with bench.working(bench.bind("find", find)):
            await bench.until(run_id, "closed")
        fired = await dies_after_the_record(bench, "read", given_up)
        assert isinstance(fired, Fired)
        async with working(bench):
            run = await bench.ended(run_id)
            letter = await bench.dead_letter("read")

    assert (run.state, run.result) == (RunState.COMPLETED, [0, 1, 0])
    assert letter.headers["mousetrap-reason"] == "not-retryable"


async def joined_by_none(bench: Workbench, body: bytes) -> str:
    """A run whose fan has fired, and whose join waits for a worker."""
    run_id = await bench.submit(body)
    async with (
        bench.working(bench.bind("find", find), bench.bind("read", read)),
        asyncio.timeout(TIMEOUT_S),
    ):
        while not await bench.queue.count_ready(bench.queue_of("sum")):
            pass
    return run_id


async def test_a_join_waits_in_its_queue_for_a_worker(queue_url: str, store_url: str) -> None:
    async with workbench_for(a_fan(), queue_url, store_url) as bench:
        run_id = await joined_by_none(bench, b"30")
        async with bench.working(bench.bind("sum", add_up)):
            run = await bench.ended(run_id)

    assert run.result == [30, 0, 10 * sum(range(30))]


@on_streams
async def test_a_fan_of_which_nothing_is_decided_for_too_long_is_given_up_and_its_redrive_completes_it(
    queue_url: str, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its children have no worker; who opened them looks after ten seconds."""
    monkeypatch.setattr("mousetrap.worker.claims._STALLED_S", 1.0)
    brief = RetryPolicy(outage_limit=1.0)
    pipeline = a_fan()
    pipeline = replace(pipeline, stages=tuple(replace(each, retry=brief) for each in pipeline.stages))
    async with workbench_for(pipeline, queue_url, store_url) as bench:
        run_id = await bench.submit(b"3")
        async with bench.working(bench.bind("find", find)):
            failed = await bench.ended(run_id)
        letter = await bench.next_of(f"{bench.queue_of('find')}.dead")
        assert letter.message.headers["mousetrap-reason"] == "fan-stalled"
        await bench.put_back(letter)
        async with working(bench):
            await redriven(bench, 1)
            run = await bench.ended(run_id)

    assert (failed.state, run.result) == (RunState.FAILED, [3, 0, 30])


@on_streams
async def test_a_join_whose_child_the_store_has_lost_is_given_up_with_that_reason(
    queue_url: str, store_url: str
) -> None:
    async with workbench_for(a_fan(), queue_url, store_url) as bench:
        run_id = await joined_by_none(bench, b"3")
        first = first_job(run_id=run_id, pipeline="", stage="find", payload=b"", accepted_ms=0, v=5)
        child = first.child("read", b"", index=1, fence=1)
        async with Redis.from_url(store_url.replace("valkey", "redis", 1)) as store:
            assert await store.delete(packed_job_key(run_id, child.id)) == 1
        async with bench.working(bench.bind("sum", add_up)):
            run = await bench.ended(run_id)
            letter = await bench.dead_letter("sum")

    assert run.state is RunState.FAILED
    assert letter.headers["mousetrap-reason"] == "fan-forgotten"


@on_streams
async def test_a_join_whose_children_s_ends_the_store_has_lost_sums_no_part_of_them(
    queue_url: str, store_url: str
) -> None:
    """As a replica can have lost the last ones, that took over."""
    async with workbench_for(a_fan(), queue_url, store_url) as bench:
        run_id = await joined_by_none(bench, b"3")
        first = first_job(run_id=run_id, pipeline="", stage="find", payload=b"", accepted_ms=0, v=5)
        async with Redis.from_url(store_url.replace("valkey", "redis", 1)) as store:
            key = fan_out_key(run_id, first.id)
            ends = await store.get(key)
            assert isinstance(ends, bytes)
            assert len(ends) == 3 * 17
            await store.set(key, ends[:17], keepttl=True)
        async with bench.working(bench.bind("sum", add_up)):
            run = await bench.ended(run_id)
            letter = await bench.dead_letter("sum")

    assert run.state is RunState.FAILED
    assert letter.headers["mousetrap-reason"] == "fan-forgotten"


@pytest.mark.parametrize("own_url", ["streams", "rabbitmq"])
async def test_servers_that_are_killed_in_the_middle_of_a_fan_out_cost_and_double_no_child(
    request: pytest.FixtureRequest, own_valkey: EmbeddedValkey, own_url: str
) -> None:
    """The store, with the embedded queue in it; and RabbitMQ."""
    done, some = Counter[int](), asyncio.Event()

    async def noted(number: int) -> int:
        done[number] += 1
        if len(done) == 300:
            some.set()
        return number * 10

    with ExitStack() as hosts:
        server: Any = own_valkey
        url = own_valkey.url
        if own_url == "rabbitmq":
            server = request.getfixturevalue("own_rabbitmq")
            url = hosts.enter_context(virtual_host(server))
        async with served(a_fan(), url, own_valkey.url, handlers={"read": noted}) as bench:
            run_id = await bench.submit(b"1200")
            await asyncio.wait_for(some.wait(), TIMEOUT_S)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            run = await followed(bench, run_id)

    assert run.result == [1200, 0, 10 * sum(range(1200))]
    assert len(done) == 1200


async def followed(bench: Workbench, run_id: str) -> StoredRun:
    """The run once it has ended, through an outage of the store."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            with suppress(StoreUnreachable):
                return await bench.ended(run_id)
            await bench.queue.count_ready(bench.queue_of("sum"))
