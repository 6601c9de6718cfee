"""A worker with real queues, the same on both of them."""

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib import import_module
from itertools import count
from typing import Any

import pytest
from msgspec import Raw, structs

from mousetrap.handlers import Context
from mousetrap.jobs import (
    Delivery,
    Job,
    Message,
    Queue,
    QueueUnreachable,
    Settled,
    StoreUnreachable,
    decode,
    encode,
    first_job,
)
from mousetrap.pipeline import Lock
from mousetrap.run_store import Granted
from mousetrap.shapes import RunState
from mousetrap.worker.attempts import Attempt, Attempts
from support.workbench import KEYRING, TIMEOUT_S, Workbench, add, double, just_now_ms

pytestmark = pytest.mark.own_queues


async def test_a_run_goes_through_its_stages_to_its_result(bench: Workbench) -> None:
    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        run = await bench.ended(await bench.submit(b"20"))

    assert (run.state, run.result) == (RunState.COMPLETED, 42)


async def test_a_failing_job_is_tried_again_until_it_goes_well(bench: Workbench) -> None:
    attempts: list[int] = []

    def flaky(number: int, context: Context[None]) -> int:
        attempts.append(context.attempt)
        if context.attempt < 3:
            raise ConnectionError(f"attempt {context.attempt} failed")
        return number

    async with bench.working(bench.bind("add", flaky), bench.bind("double", double)):
        run = await bench.ended(await bench.submit())

    assert (run.state, attempts) == (RunState.COMPLETED, [1, 2, 3])
    retries = [event for event in run.timeline if event.kind == "retrying"]
    assert [(event.attempt, event.failure and event.failure.text) for event in retries] == [
        (1, "attempt 1 failed"),
        (2, "attempt 2 failed"),
    ]


async def test_nothing_of_an_attempt_outlasts_its_worker(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector does not know attempts: one that were left in a cycle would stay for good."""
    held = deliveries_held(monkeypatch)

    async def wait_or_fail(number: int) -> int:
        await asyncio.sleep(0)
        return 1 // number

    async with bench.working(bench.bind("add", wait_or_fail), bench.bind("double", double)):
        for each in [await bench.submit(b"1"), await bench.submit(b"0")]:
            await bench.ended(each)
    gc.collect()

    assert len(held) == 3
    assert [each() for each in held] == [None] * 3


async def test_nothing_of_an_attempt_that_is_handed_back_outlasts_its_worker(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = deliveries_held(monkeypatch)
    begun = asyncio.Event()

    async def wait(number: int) -> int:
        begun.set()
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async with bench.working(bench.bind("add", wait)) as worker:
        await bench.submit()
        await asyncio.wait_for(begun.wait(), TIMEOUT_S)
        worker.stop.ask()
        worker.stop.forced.set()
    gc.collect()

    assert held
    assert [each() for each in held] == [None] * len(held)


def deliveries_held(monkeypatch: pytest.MonkeyPatch) -> "list[weakref.ref[Deliveries]]":
    """The deliveries of each attempt that begins from now on."""
    held: list[weakref.ref[Deliveries]] = []
    begin = Attempts.begin

    def begin_and_note(attempts: Attempts, job: Job, delivery: Delivery) -> Attempt | None:
        if (attempt := begin(attempts, job, delivery)) is not None:
            attempt.deliveries = Deliveries(attempt.deliveries)
            held.append(weakref.ref(attempt.deliveries))
        return attempt

    monkeypatch.setattr(Attempts, "begin", begin_and_note)
    return held


class Deliveries(list[Delivery]):
    """A list that can be referred to weakly."""


@pytest.mark.parametrize(
    ("error", "reason", "attempts"),
    [
        (ConnectionError("gone"), "max-retries", 3),
        (ZeroDivisionError("by zero"), "not-retryable", 1),
        (SystemExit(3), "max-retries", 3),
    ],
)
async def test_a_job_given_up_is_kept_with_its_story(
    bench: Workbench, error: BaseException, reason: str, attempts: int
) -> None:
    async def failing(number: int) -> int:
        raise error

    async with bench.working(bench.bind("add", failing)) as worker:
        run_id = await bench.submit(b"5")
        run = await bench.ended(run_id)
        letter = await bench.dead_letter("add")

    assert run.state == RunState.FAILED
    assert run.failure is not None
    assert run.failure.kind == type(error).__name__
    assert "in failing" in run.failure.traceback
    assert run_id.encode() in letter.body
    headers = dict(letter.headers)
    assert headers.pop("mousetrap-signature")
    assert run.finished_ms is not None
    assert run.accepted_ms <= int(headers.pop("mousetrap-at")) <= run.finished_ms + 60_000
    assert "in failing" in headers.pop("mousetrap-traceback")
    assert headers == {
        "mousetrap-reason": reason,
        "mousetrap-error-type": type(error).__name__,
        "mousetrap-error": str(error),
        "mousetrap-attempts": str(attempts),
        "mousetrap-queue": bench.queue_of("add"),
        "mousetrap-worker": worker.name,
        "mousetrap-run": run_id,
        "mousetrap-stage": "add",
    }


def poisons(bench: Workbench) -> dict[str, Message]:
    """Messages that must not be done, by the reason they are refused for."""
    job = first_job(
        run_id="r1", pipeline=bench.pipeline.name, stage="add", payload=b"1", accepted_ms=just_now_ms()
    )

    def signed(body: bytes) -> Message:
        return Message(job.id, body, KEYRING.headers(body))

    stranger = encode(replace_stage(job, "unknown"))
    return {
        "undecodable": signed(b"\x00 not json"),
        "signature": structs.replace(signed(encode(job)), body=encode(with_payload(job, b"2"))),
        "unknown-stage": signed(stranger),
        "contract": signed(encode(with_payload(job, b'"one"'))),
    }


def with_payload(job: Job, payload: bytes) -> Job:
    """The job with another payload."""
    return structs.replace(job, payload=Raw(payload))


def replace_stage(job: Any, stage: str) -> Any:
    """The job as one of another stage."""
    return first_job(run_id="r2", pipeline=job.pipeline, stage=stage, payload=b"1", accepted_ms=just_now_ms())


@pytest.mark.parametrize("reason", ["undecodable", "signature", "unsigned", "unknown-stage", "contract"])
async def test_a_message_that_must_not_be_done_is_buried_and_the_worker_goes_on(
    bench: Workbench, reason: str
) -> None:
    done: list[int] = []
    if reason == "unsigned":
        message = structs.replace(poisons(bench)["contract"], headers={})
    else:
        message = poisons(bench)[reason]

    def note(number: int) -> int:
        done.append(number)
        return number

    async with bench.working(bench.bind("add", note), bench.bind("double", double)):
        await bench.queue.publish(bench.queue_of("add"), message)
        letter = await bench.dead_letter("add")
        run = await bench.ended(await bench.submit(b"7"))

    assert letter.headers["mousetrap-reason"] == ("signature" if reason == "unsigned" else reason)
    assert letter.body == message.body
    assert (run.state, done) == (RunState.COMPLETED, [7])


async def test_a_handler_that_breaks_its_own_contract_is_not_believed(bench: Workbench) -> None:
    async with bench.working(bench.bind("add", lambda number: "one")):
        run = await bench.ended(await bench.submit())

    assert run.failure is not None
    assert run.failure.text == "the output of stage 'add': Expected `int`, got `str` (at $)"


async def test_a_job_published_many_times_is_done_once(bench: Workbench) -> None:
    done: list[int] = []

    async def note(number: int) -> int:
        done.append(number)
        return number

    run_id = await bench.submit()
    for _ in range(20):  # the run is known, and its first job is published again while no worker has met it
        assert await bench.submit(run_id=run_id) == run_id

    async with bench.working(bench.bind("add", note), bench.bind("double", double), burst=True) as worker:
        await asyncio.wait_for(worker.task, TIMEOUT_S)

    run = await bench.ended(run_id)
    assert (run.state, done) == (RunState.COMPLETED, [1])


async def test_an_outcome_on_record_is_acted_on_without_doing_the_work_again(bench: Workbench) -> None:
    """A worker records an outcome and dies before it publishes what follows."""
    done: list[str] = []
    run_id = await bench.submit()
    delivery = await bench.next_of(bench.queue_of("add"))
    await record_and_die(bench, delivery)

    async with bench.working(
        bench.bind("add", lambda number: done.append("add")), bench.bind("double", double)
    ):
        run = await bench.ended(run_id)

    assert (run.result, done) == (100, [])


async def record_and_die(bench: Workbench, delivery: Any) -> None:
    """Records 50 as the job's output; then the message comes back, as from a lost connection."""
    import msgspec

    from mousetrap.jobs import Done, decode

    job = decode(delivery.message.body)
    claim = await bench.store.claim(job, worker="dead", redelivered=False, lease=60)
    assert isinstance(claim, Granted)
    decision = await bench.store.decide(
        job, Done(msgspec.Raw(b"50")), fence=claim.fence, worker="dead", last=False, next_stage="double"
    )
    assert decision == "recorded"
    delivery.hand_back()


class Away:
    """A real queue whose broker takes nothing until it is back."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self.refused = asyncio.Event()
        self.back = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        if not self.back:
            self.refused.set()
            raise QueueUnreachable("away")
        await self._queue.publish(queue, message, after=after)

    def post(self, queue: str, message: Message, settled: Settled) -> None:
        if self.back:
            self._queue.post(queue, message, settled)
        else:
            self.refused.set()
            asyncio.get_running_loop().call_soon(settled, QueueUnreachable("away"))


async def test_an_outcome_on_record_is_acted_on_however_long_the_broker_stays_away(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease is renewed again and again; that the job is decided does not make it another's."""
    run_id = await bench.submit()
    away = Away(bench.queue)
    renewed, kept = bench.store.renew, asyncio.Queue[bool]()

    async def noted(job: Job, *, fence: int, lease: float) -> bool:
        kept.put_nowait(await renewed(job, fence=fence, lease=lease))
        return True

    async with replace(bench, queue=away).working(
        bench.bind("add", add), bench.bind("double", double), lease=0.1
    ):
        await asyncio.wait_for(away.refused.wait(), TIMEOUT_S)
        monkeypatch.setattr(bench.store, "renew", noted)
        renewals = [await asyncio.wait_for(kept.get(), TIMEOUT_S) for _ in range(3)]
        monkeypatch.undo()
        away.back = True
        run = await bench.ended(run_id)

    assert renewals == [True, True, True]
    assert (run.state, run.result) == (RunState.COMPLETED, 4)


async def test_a_letter_sent_round_while_its_worker_still_writes_it_is_not_taken_for_the_same(
    bench: Workbench,
) -> None:
    """The dead letter has arrived, its confirm has not; it is redriven then, and the same worker gets it."""
    repaired, again = asyncio.Event(), asyncio.Event()

    class Late(Away):
        """A real queue that keeps the confirm of a dead letter to itself."""

        async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
            await bench.queue.publish(queue, message, after=after)
            if queue.endswith(".dead"):
                repaired.set()
                await again.wait()

        def post(self, queue: str, message: Message, settled: Settled) -> None:
            bench.queue.post(queue, message, settled)

    async def handle(number: int) -> int:
        if not repaired.is_set():
            raise ZeroDivisionError("by zero")
        again.set()
        return number

    late = replace(bench, queue=Late(bench.queue))
    async with late.working(bench.bind("add", handle), bench.bind("double", double)):
        run_id = await bench.submit(b"21")
        await asyncio.wait_for(repaired.wait(), TIMEOUT_S)
        letter = await bench.store.redrive(decode((await bench.dead_letter("add")).body))
        assert isinstance(letter, Job)
        body = encode(letter)
        await bench.queue.publish(bench.queue_of("add"), Message(letter.id, body, KEYRING.headers(body)))
        await asyncio.wait_for(again.wait(), TIMEOUT_S)
        run = await bench.ended(run_id)

    assert run.result == 42


async def test_a_job_that_kills_every_worker_is_given_up(bench: Workbench) -> None:
    run_id = await bench.submit()
    delivery = await bench.next_of(bench.queue_of("add"))
    job = decode(delivery.message.body)
    for number in range(5):  # each begins the job and does not end it
        claim = await bench.store.claim(job, worker=f"dead{number}", redelivered=True, lease=0.1)
        assert isinstance(claim, Granted)
        if claim.suspect:
            await bench.store.begin(job, fence=claim.fence, worker=f"dead{number}")
    delivery.hand_back()

    # The one that would give it up waits for a lease, so that a worker that lives can say so.
    async with bench.working(bench.bind("add", add), lease=1.0):
        run = await bench.ended(run_id)
        letter = await bench.dead_letter("add")

    assert run.state == RunState.FAILED
    assert len([event for event in run.timeline if event.kind == "started"]) == 5
    assert letter.headers["mousetrap-reason"] == "crash-loop"


async def test_no_more_jobs_run_at_once_than_configured(bench: Workbench) -> None:
    running, most = 0, 0
    full = asyncio.Event()

    async def hold(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            full.set()
        await asyncio.wait_for(full.wait(), TIMEOUT_S)
        await asyncio.sleep(0)
        running -= 1
        return number

    runs = [await bench.submit(b"%d" % number) for number in range(12)]
    async with bench.working(
        bench.bind("add", hold), bench.bind("double", double), concurrency=3, prefetch=6
    ):
        ended = [await bench.ended(run) for run in runs]

    assert [run.result for run in ended] == [2 * number for number in range(12)]
    assert most == 3


async def test_a_worker_asked_to_stop_finishes_what_it_runs_and_hands_back_what_waits(
    bench: Workbench,
) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()
    done: list[int] = []

    async def slow(number: int) -> int:
        begun.set()
        await asyncio.wait_for(may_end.wait(), TIMEOUT_S)
        done.append(number)
        return number

    runs = [await bench.submit(b"%d" % number) for number in (1, 2)]
    async with bench.working(bench.bind("add", slow), concurrency=1, prefetch=2) as worker:
        await asyncio.wait_for(begun.wait(), TIMEOUT_S)
        worker.stop.ask()
        may_end.set()
        assert await asyncio.wait_for(worker.task, TIMEOUT_S) is True

    assert len(done) == 1
    async with bench.working(bench.bind("add", slow), bench.bind("double", double)):
        ended = [await bench.ended(run) for run in runs]
    assert [run.result for run in ended] == [2, 4]
    assert sorted(done) == [1, 2]


async def test_what_a_forced_worker_had_no_time_for_is_done_by_the_next(bench: Workbench) -> None:
    begun = asyncio.Event()

    async def endless(number: int) -> int:
        begun.set()
        await asyncio.Event().wait()
        return number

    run_id = await bench.submit()
    async with bench.working(bench.bind("add", endless)) as worker:
        await asyncio.wait_for(begun.wait(), TIMEOUT_S)
        worker.stop.ask()
        worker.stop.ask()
        assert await asyncio.wait_for(worker.task, TIMEOUT_S) is False

    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        run = await bench.ended(run_id)
    assert run.result == 4
    assert [event.kind for event in run.timeline][:4] == ["accepted", "started", "handed_back", "started"]


async def test_a_late_worker_is_stopped_and_its_result_dropped(bench: Workbench) -> None:
    """The job is claimed by another while its handler still runs, as after a pause of the whole process."""
    begun, stopped = asyncio.Event(), asyncio.Event()
    contexts: list[Context[None]] = []

    async def late(number: int, context: Context[None]) -> int:
        contexts.append(context)
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return number

    run_id = await bench.submit()
    async with bench.working(bench.bind("add", late), lease=0.3):
        await asyncio.wait_for(begun.wait(), TIMEOUT_S)
        job = first_job(
            run_id=run_id,
            pipeline=bench.pipeline.name,
            stage="add",
            payload=b"1",
            accepted_ms=just_now_ms(),
        )
        claim = await bench.store.claim(job, worker="other", redelivered=True, lease=60)
        await asyncio.wait_for(stopped.wait(), TIMEOUT_S)

    assert isinstance(claim, Granted)
    assert claim.fence > contexts[0].fence
    assert contexts[0].cancelled
    run = await bench.store.get(run_id)
    assert run is not None
    assert [event.kind for event in run.timeline] == ["accepted", "started", "started"]
    third = await bench.store.claim(job, worker="third", redelivered=True, lease=60)
    assert isinstance(third, Granted)
    assert not third.suspect  # the late worker did not die of it


async def test_a_worker_that_lost_its_job_in_an_outage_has_its_start_taken_back_after_it(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, noted = asyncio.Event(), asyncio.Event()
    outage, mark_survived = iter(range(3)), bench.store.mark_survived

    async def mark(job: Job, *, worker: str) -> None:
        for _ in outage:
            raise StoreUnreachable("away")
        await mark_survived(job, worker=worker)
        noted.set()

    async def late(number: int) -> int:
        begun.set()
        await asyncio.Event().wait()
        return number

    monkeypatch.setattr(bench.store, "mark_survived", mark)
    run_id = await bench.submit()
    async with bench.working(bench.bind("add", late), lease=0.3):
        await asyncio.wait_for(begun.wait(), TIMEOUT_S)
        job = first_job(
            run_id=run_id,
            pipeline=bench.pipeline.name,
            stage="add",
            payload=b"1",
            accepted_ms=just_now_ms(),
        )
        await bench.store.claim(job, worker="other", redelivered=True, lease=60)
        await asyncio.wait_for(noted.wait(), TIMEOUT_S)

    third = await bench.store.claim(job, worker="third", redelivered=True, lease=60)
    assert isinstance(third, Granted)
    assert not third.suspect


@pytest.mark.parametrize("quick", [False, True])
async def test_a_job_that_no_living_worker_has_claimed_comes_again(bench: Workbench, quick: bool) -> None:
    """A claim reaches the store when its asker has long given it up: it wins, and no worker uses it."""
    begun, taken = asyncio.Event(), asyncio.Event()

    async def handle(number: int) -> int:
        if not begun.is_set():
            begun.set()
            await (taken if quick else asyncio.Event()).wait()
        return number

    run_id = await bench.submit()
    async with bench.working(bench.bind("add", handle), bench.bind("double", double), lease=0.3):
        await asyncio.wait_for(begun.wait(), TIMEOUT_S)
        job = first_job(
            run_id=run_id,
            pipeline=bench.pipeline.name,
            stage="add",
            payload=b"1",
            accepted_ms=just_now_ms(),
        )
        await bench.store.claim(job, worker="gone", redelivered=True, lease=0.5)
        taken.set()
        run = await bench.ended(run_id)

    assert (run.state, run.result) == (RunState.COMPLETED, 2)


async def test_a_message_that_met_a_defect_of_ours_comes_again(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange, calls = bench.store.exchange, count()

    async def broken_twice(*requests: Any, **how: Any) -> Any:
        if next(calls) == 1:  # with others, and then alone
            monkeypatch.setattr(bench.store, "exchange", exchange)
        raise RuntimeError("a defect")

    monkeypatch.setattr(bench.store, "exchange", broken_twice)
    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        run = await bench.ended(await bench.submit())

    assert (run.state, run.result) == (RunState.COMPLETED, 4)


@pytest.mark.parametrize("place", ["claims.lock_key", "turns.verified", "claims.ending_of"])
@pytest.mark.stages(lock=Lock(name="only-one"))
async def test_a_defect_of_ours_in_one_job_costs_none_of_those_that_go_with_it(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    module, name = place.split(".")
    working, calls = getattr(import_module(f"mousetrap.worker.{module}"), name), count(1)

    def broken_at_the_second_call(*given: Any) -> Any:
        if next(calls) == 2:
            raise RuntimeError("a defect")
        return working(*given)

    monkeypatch.setattr(f"mousetrap.worker.{place}", broken_at_the_second_call)
    runs = [await bench.submit(b"%d" % number) for number in range(4)]
    async with bench.working(bench.bind("add", add), bench.bind("double", double), lease=3.0):
        ended = [await bench.ended(run) for run in runs]

    assert [run.result for run in ended] == [2, 4, 6, 8]


@pytest.mark.stages(timeout=0.05)
async def test_an_attempt_that_takes_too_long_has_failed(bench: Workbench) -> None:
    deadlines: list[float | None] = []

    async def endless(number: int, context: Context[None]) -> int:
        deadlines.append(context.deadline)
        await asyncio.Event().wait()
        return number

    async with bench.working(bench.bind("add", endless)):
        run = await bench.ended(await bench.submit())

    assert run.failure is not None
    assert run.failure.kind == "mousetrap.retry.errors.TimeLimitExceeded"
    assert len(deadlines) == 3
    assert None not in deadlines


async def test_handlers_get_what_the_lifespan_opened_and_it_is_closed_after_the_last_job(
    bench: Workbench,
) -> None:
    story: list[str] = []

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[str]:
        story.append("opened")
        yield "the database"
        story.append("closed")

    def use(number: int, context: Context[str]) -> int:
        story.append(f"used {context.deps} in {threading.current_thread().name.split('_')[0]}")
        context.log.info("a line with ids")
        return number

    async with bench.working(bench.bind("add", use, lifespan=lifespan), bench.bind("double", double)):
        await bench.ended(await bench.submit())

    assert story == ["opened", "used the database in handler", "closed"]


async def test_progress_reaches_those_who_watch(bench: Workbench) -> None:
    seen = threading.Event()

    def report(number: int, context: Context[None]) -> int:
        context.progress(3, 10, "rows")
        assert seen.wait(TIMEOUT_S)
        return number

    run_id = await bench.submit()
    async with bench.working(bench.bind("add", report), bench.bind("double", double)):
        async for news in bench.store.watch(run_id):
            if getattr(news, "note", "") == "rows":
                seen.set()

    run = await bench.ended(run_id)
    assert run.progress is not None
    assert (run.progress.stage, run.progress.done, run.progress.total) == ("add", 3, 10)
