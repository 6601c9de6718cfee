"""Stops of an attempt: cancels, expiry, locks, suspects."""

import asyncio
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from redis import Redis

from mousetrap.handlers import Context, SoftTimeout
from mousetrap.job_queue import QueueOptions
from mousetrap.jobs import Queue, QueueUnreachable
from mousetrap.pipeline import Lock
from mousetrap.retry import RetryPolicy, TryAgain
from mousetrap.shapes import RunState
from mousetrap.submit_run import SubmitOptions, submit_run
from support import isolated_handlers as handlers
from support.valkey import administrator
from support.waiting import until
from support.workbench import KEYRING, TIMEOUT_S, Workbench, Working, add, double, workbench

pytestmark = pytest.mark.own_queues

#: Seconds; a broker drops a connection that is silent for two heartbeats.
HEARTBEAT = 2
#: Seconds, as text; some minutes of it are to be had by asking.
COMPUTING = os.environ.get("MOUSETRAP_TEST_COMPUTING", "8")


async def test_an_async_handler_of_a_cancelled_run_is_cancelled(bench: Workbench) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def hold(number: int) -> int:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return number

    async with bench.working(bench.bind("add", hold), bench.bind("double", double)):
        run_id = await bench.submit()
        await begun.wait()
        assert await bench.store.cancel(run_id) == RunState.CANCELLED
        await asyncio.wait_for(cancelled.wait(), TIMEOUT_S)
        run = await bench.ended(run_id)

    assert [event.kind for event in run.timeline] == ["accepted", "started", "cancelled"]
    assert await bench.queue.count_ready(bench.queue_of("add")) == 0


@pytest.mark.parametrize("stage", [{}, {"lock": Lock(name="only-one")}])
async def test_a_worker_that_holds_one_message_at_a_time_goes_on_after_a_cancel(
    queue_url: str, store_url: str, stage: dict[str, Any]
) -> None:
    async with workbench(queue_url, store_url, **stage) as bench:
        begun = asyncio.Event()

        async def hold_the_first(number: int) -> int:
            if not begun.is_set():
                begun.set()
                await asyncio.Event().wait()
            return number

        async with bench.working(
            bench.bind("add", hold_the_first), bench.bind("double", double), concurrency=1, prefetch=1
        ):
            run_id = await bench.submit()
            await begun.wait()
            await bench.store.cancel(run_id)
            run = await bench.ended(await bench.submit())

        assert run.state == RunState.COMPLETED


async def test_a_sync_handler_of_a_cancelled_run_can_see_it_and_what_it_gives_is_dropped(
    bench: Workbench,
) -> None:
    begun, seen = threading.Event(), threading.Event()

    def hold(number: int, context: Context[None]) -> int:
        begun.set()
        assert context.stopped.wait(TIMEOUT_S)
        assert context.cancelled
        seen.set()
        return number

    async with bench.working(bench.bind("add", hold), bench.bind("double", double)):
        run_id = await bench.submit()
        await asyncio.to_thread(begun.wait, TIMEOUT_S)
        await bench.store.cancel(run_id)
        assert await asyncio.to_thread(seen.wait, TIMEOUT_S)

    run = await bench.ended(run_id)
    assert (run.state, run.result) == (RunState.CANCELLED, None)
    assert await bench.queue.count_ready(bench.queue_of("double")) == 0


@pytest.mark.stages(input=str, output=str)
async def test_an_isolated_handler_of_a_cancelled_run_is_killed_whatever_it_does(
    bench: Workbench, tmp_path: Path
) -> None:
    notes = tmp_path / "pid"
    async with bench.working(bench.bind("add", handlers.hold, isolated=True)):
        run_id = await bench.submit(msgspec.json.encode(str(notes)))
        await asyncio.to_thread(until, lambda: notes.exists() and notes.read_text(), "it holds")
        pid = notes.read_text().strip()
        await bench.store.cancel(run_id)
        await asyncio.to_thread(until, lambda: not Path(f"/proc/{pid}").exists(), "it is killed")

    assert (await bench.ended(run_id)).state == RunState.CANCELLED
    assert await bench.queue.count_ready(bench.queue_of("add")) == 0


@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.test_timeout(float(COMPUTING) + 120)
async def test_a_handler_that_computes_for_longer_than_the_broker_waits_for_a_sign_keeps_its_connection(
    broker_url: str, store_url: str, isolated: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with workbench(
        broker_url, store_url, options=QueueOptions(heartbeat=HEARTBEAT), input=str, output=str
    ) as bench:
        async with bench.working(
            bench.bind("add", handlers.compute, isolated=isolated), bench.bind("double", handlers.longer)
        ):
            run_id = await bench.submit(msgspec.json.encode(COMPUTING))
            async with asyncio.timeout(float(COMPUTING) + TIMEOUT_S):
                async for _ in bench.store.watch(run_id):
                    pass
            run = await bench.ended(run_id)

        kinds = [event.kind for event in run.timeline if event.stage == "add"]
        assert (run.state, kinds) == (RunState.COMPLETED, ["accepted", "started", "finished"])

    assert "cannot be used" not in caplog.text


async def test_a_run_cancelled_while_no_worker_was_up_never_starts(bench: Workbench) -> None:
    begun: list[int] = []

    def note(number: int) -> int:
        begun.append(number)
        return number

    cancelled = await bench.submit(b"1")
    await bench.store.cancel(cancelled)

    async with bench.working(bench.bind("add", note), bench.bind("double", double)):
        await bench.ended(await bench.submit(b"2"))

    assert begun == [2]
    assert await bench.queue.count_ready(bench.queue_of("add")) == 0
    assert (await bench.ended(cancelled)).state == RunState.CANCELLED


async def test_a_run_cancelled_before_its_next_attempt_is_not_tried_again(bench: Workbench) -> None:
    attempts: list[tuple[str, int]] = []
    workers: list[Working] = []

    async def twice(number: int, context: Context[None]) -> int:
        attempts.append((context.run_id, context.attempt))
        if context.attempt == 1:
            workers[0].stop.ask()  # it takes no second attempt, however long the test takes to cancel
            raise TryAgain(after=0.3)
        return number

    run_id = await bench.submit()
    async with bench.working(bench.bind("add", twice)) as worker:
        workers[:] = [worker]
        await bench.until(run_id, "retrying")
    await bench.store.cancel(run_id)
    later = await bench.submit()
    async with bench.working(bench.bind("add", twice)) as worker:
        workers[:] = [worker]
        await bench.until(later, "retrying")
    async with bench.working(bench.bind("add", twice), bench.bind("double", double)):
        assert (await bench.ended(later)).state == RunState.COMPLETED  # its pause ended after the other's

    assert (await bench.ended(run_id)).state == RunState.CANCELLED
    assert attempts == [(run_id, 1), (later, 1), (later, 2)]


async def test_a_run_whose_time_is_over_is_not_begun(bench: Workbench) -> None:
    begun: list[int] = []

    def note(number: int) -> int:
        begun.append(number)
        return number

    accepted = await submit_run(
        bench.store,
        bench.queue,
        KEYRING,
        bench.pipeline,
        b"1",
        run_id="late",
        options=SubmitOptions(expires_in=0.001),
    )
    async with bench.working(bench.bind("add", note), bench.bind("double", double)):
        run = await bench.ended(accepted.run_id)
        await bench.ended(await bench.submit(b"2"))

    assert (run.state, begun) == (RunState.EXPIRED, [2])


@pytest.mark.stages(soft_timeout=0.05, timeout=TIMEOUT_S)
async def test_an_async_handler_is_notified_at_the_soft_limit_and_may_still_give_what_it_has(
    bench: Workbench,
) -> None:
    async def slow(number: int, context: Context[None]) -> int:
        try:
            await asyncio.Event().wait()
        except SoftTimeout:
            assert context.cancelled
            return 20
        return number

    async with bench.working(bench.bind("add", slow), bench.bind("double", double)):
        run = await bench.ended(await bench.submit())

    assert (run.state, run.result) == (RunState.COMPLETED, 40)


@pytest.mark.stages(timeout=0.05, retry=RetryPolicy(on_timeout=False))
async def test_at_the_hard_limit_the_attempt_has_failed_and_the_policy_decides_what_follows(
    bench: Workbench,
) -> None:
    async def slow(number: int) -> int:
        await asyncio.Event().wait()
        return number

    async with bench.working(bench.bind("add", slow)):
        run = await bench.ended(await bench.submit())
        letter = await bench.dead_letter("add")

    assert run.failure is not None
    assert run.failure.text == "the attempt took longer than its 0.05 s"
    assert (letter.headers["mousetrap-reason"], letter.headers["mousetrap-attempts"]) == ("timeout", "1")


@pytest.mark.stages(lock=Lock(name="only-one"))
async def test_jobs_of_one_lock_run_one_at_a_time_and_each_under_a_greater_fence(bench: Workbench) -> None:
    inside, fences = 0, []

    async def alone(number: int, context: Context[None]) -> int:
        nonlocal inside
        inside += 1
        assert inside == 1
        fences.append(context.lock_fence)
        await asyncio.sleep(0)
        inside -= 1
        return number

    async with bench.working(bench.bind("add", alone), bench.bind("double", double)):
        runs = [await bench.submit() for _ in range(6)]
        states = [(await bench.ended(run)).state for run in runs]

    assert states == [RunState.COMPLETED] * 6
    assert fences == sorted(set(fences))


@pytest.mark.stages(lock=Lock(name="only-one"))
async def test_a_job_whose_lock_was_lost_meanwhile_comes_again(bench: Workbench, store_url: str) -> None:
    begun: list[int] = []

    async def hold(number: int, context: Context[None]) -> int:
        begun.append(context.lock_fence)
        if len(begun) == 1:
            with Redis.from_url(administrator(store_url)) as client:
                assert client.delete("mousetrap:lock:only-one") == 1
        return number

    async with bench.working(bench.bind("add", hold)):
        await bench.until(await bench.submit(), "finished")

    assert len(begun) == 2
    assert begun[0] < begun[1]


@pytest.mark.parametrize(
    ("on_conflict", "state", "reason"),
    [
        ("skip", RunState.CANCELLED, None),
        ("fail", RunState.FAILED, "max-retries"),
        ("dead-letter", RunState.FAILED, "lock-held"),
    ],
)
async def test_a_job_that_meets_a_holder_does_what_its_stage_prescribes(
    queue_url: str, store_url: str, on_conflict: Any, state: RunState, reason: str | None
) -> None:
    async with workbench(queue_url, store_url, lock=Lock(name="only-one", on_conflict=on_conflict)) as bench:
        held, free = asyncio.Event(), asyncio.Event()

        async def hold(number: int) -> int:
            held.set()
            await free.wait()
            return number

        async with bench.working(bench.bind("add", hold), bench.bind("double", double)):
            holder = await bench.submit()
            await held.wait()
            refused = await bench.ended(await bench.submit())
            free.set()
            assert (await bench.ended(holder)).state == RunState.COMPLETED
            letter = await bench.dead_letter("add") if reason else None

        assert refused.state == state
        assert refused.failure is not None
        assert f"run {holder} holds the lock" in refused.failure.text
        assert (letter.headers["mousetrap-reason"] if letter else None) == reason


async def test_a_suspect_runs_alone_and_its_neighbours_are_innocent(bench: Workbench) -> None:
    from mousetrap.jobs import decode

    beside: list[int] = []
    running = 0

    async def note(number: int) -> int:
        nonlocal running
        running += 1
        beside.append(running if number == 9 else 1)
        await asyncio.sleep(0.01)
        beside.append(running if number == 9 else 1)
        running -= 1
        return number

    suspect = await bench.submit(b"9")
    delivery = await bench.next_of(bench.queue_of("add"))
    for number in range(2):  # each begins the job and does not end it
        await bench.store.claim(
            decode(delivery.message.body), worker=f"dead{number}", redelivered=True, lease=60
        )
    others = [await bench.submit(b"1") for _ in range(8)]
    delivery.hand_back()
    async with bench.working(bench.bind("add", note), bench.bind("double", add)):
        states = {(await bench.ended(run)).state for run in (suspect, *others)}

    assert states == {RunState.COMPLETED}
    timeline = (await bench.ended(suspect)).timeline
    assert len([event for event in timeline if (event.kind, event.stage) == ("started", "add")]) == 3
    assert beside == [1] * 18


class _Away:
    """A queue whose broker goes away when its messages are counted."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self.asked = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)

    async def count_ready(self, queue: str) -> int:
        self.asked.set()
        raise QueueUnreachable("the broker is away")


async def test_a_burst_worker_that_waits_for_its_broker_ends_when_it_is_asked_to(bench: Workbench) -> None:
    away = _Away(bench.queue)
    async with replace(bench, queue=cast(Queue, away)).working(bench.bind("add", add), burst=True) as worker:
        await asyncio.wait_for(away.asked.wait(), TIMEOUT_S)
        worker.stop.ask()
        assert await asyncio.wait_for(asyncio.shield(worker.task), TIMEOUT_S)
