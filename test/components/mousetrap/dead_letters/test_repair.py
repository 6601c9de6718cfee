"""Dead letters are repaired without losing one, on both queues."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from msgspec import structs

from mousetrap.dead_letters import DeadLetters, NotEditable, Repaired, Selection
from mousetrap.dead_letters import repair as repair_module
from mousetrap.handlers import Context
from mousetrap.jobs import Job, Message, Queue, QueueUnreachable, dead_queue, decode, encode, first_job
from mousetrap.pipeline import ContractBroken
from mousetrap.shapes import RunState
from support.inbox import eventually
from support.workbench import KEYRING, TIMEOUT_S, Workbench, add, double, just_now_ms

pytestmark = pytest.mark.own_queues

ALL = Selection()


async def at_once(_: float) -> None:
    """A pause for those who are in a hurry."""


def letters_of(
    bench: Workbench,
    pause: Callable[[float], Awaitable[None]] = at_once,
    now: Callable[[], float] = time.monotonic,
) -> DeadLetters:
    return DeadLetters(
        bench.queue, bench.store, KEYRING, {bench.pipeline.name: bench.pipeline}, sleep=pause, now=now
    )


async def bury(bench: Workbench, run_id: str, at_ms: int = 1, payload: bytes = b"1", **story: str) -> Job:
    """A dead letter of the first stage that no worker has made, so that the store knows nothing of it."""
    job = first_job(
        run_id=run_id, pipeline=bench.pipeline.name, stage="add", payload=payload, accepted_ms=just_now_ms()
    )
    await bury_message(bench, Message(job.id, encode(job), KEYRING.headers(encode(job))), at_ms, **story)
    return job


async def bury_message(bench: Workbench, message: Message, at_ms: int = 1, **story: str) -> None:
    named = {"reason": "max-retries", "error-type": "Broken", "error": "no", "at": str(at_ms), **story}
    headers = {**message.headers, **{f"mousetrap-{name}": text for name, text in named.items()}}
    await bench.queue.publish(dead_queue(bench.queue_of("add")), structs.replace(message, headers=headers))


async def dead_count(bench: Workbench) -> int:
    return await bench.queue.count_ready(dead_queue(bench.queue_of("add")))


async def alive_count(bench: Workbench) -> int:
    return await bench.queue.count_ready(bench.queue_of("add"))


async def alive_and_dead(bench: Workbench) -> int:
    return await alive_count(bench) + await dead_count(bench)


async def test_a_look_shows_every_letter_oldest_first_and_leaves_all_where_they_are(bench: Workbench) -> None:
    jobs = [await bury(bench, f"r{number}", at_ms=1000 - number) for number in range(120)]
    letters = letters_of(bench)

    looks = [await letters.look(ALL) for _ in range(3)]

    for looked in looks:
        assert [letter.id for letter in looked.letters] == [job.id for job in reversed(jobs)]
        assert (looked.seen, looked.unseen) == (120, 0)
    await eventually(lambda: dead_count(bench), 120)


async def test_looks_at_the_same_time_see_the_same(bench: Workbench) -> None:
    for number in range(20):
        await bury(bench, f"r{number}")
    letters = letters_of(bench)

    looks = await asyncio.gather(*(letters.look(ALL) for _ in range(5)))

    assert [len(looked.letters) for looked in looks] == [20] * 5


async def test_a_fresh_look_waits_for_who_has_the_letters_in_hand(bench: Workbench) -> None:
    redriven, go_on = asyncio.Event(), asyncio.Event()

    async def hold(_: float) -> None:
        redriven.set()
        await asyncio.wait_for(go_on.wait(), TIMEOUT_S)

    for number in range(3):
        await bury(bench, f"r{number}")
    letters = letters_of(bench, hold)
    redriving = asyncio.create_task(letters.redrive(ALL, rate=1, limit=1))
    await asyncio.wait_for(redriven.wait(), TIMEOUT_S)

    looking = asyncio.create_task(letters.look(ALL, fresh=True))
    await asyncio.wait({looking}, timeout=0.5)
    go_on.set()

    assert (await redriving).left == 2
    assert len((await looking).letters) == 2


async def test_where_there_is_nothing_nothing_is_found(bench: Workbench) -> None:
    letters = letters_of(bench)

    assert (await letters.look(ALL)).letters == ()
    assert await letters.find(bench.queue_of("add"), "d1") is None
    assert await letters.find("no_such_queue", "d1") is None
    assert await letters.redrive(ALL, rate=1, limit=1) == Repaired()


async def test_more_letters_than_one_look_takes_are_reported(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair_module, "MAX_HELD", 5)
    for number in range(7):
        await bury(bench, f"r{number}")

    looked = await letters_of(bench).look(ALL)

    assert (len(looked.letters), looked.seen, looked.unseen) == (5, 5, 2)
    await eventually(lambda: dead_count(bench), 7)


async def test_large_letters_are_not_all_held_at_once(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.dead_letters.held._MAX_BYTES", 10_000)
    for number in range(60):
        await bury(bench, f"r{number}", payload=b'"%s"' % (b"x" * 1000))

    looked = await letters_of(bench).look(ALL)

    assert looked.seen == 50  # what is taken before anything is known of their size
    assert looked.unseen == 10
    await eventually(lambda: dead_count(bench), 60)


async def test_a_redriven_letter_completes_its_run(bench: Workbench) -> None:
    """Fails until it is repaired, and is redriven; the letter is gone, and the run's timeline has all of it."""

    async def broken(number: int) -> int:
        raise ConnectionError("not yet")

    async with bench.working(bench.bind("add", broken)):
        run_id = await bench.submit(b"5")
        assert (await bench.ended(run_id)).state == RunState.FAILED
    (letter,) = (await letters_of(bench).look(ALL)).letters

    repaired = await letters_of(bench).redrive(ALL, rate=100, limit=10)
    queued = await bench.store.get(run_id)
    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        run = await completed(bench, run_id)

    assert (letter.run_id, letter.attempts, letter.error) == (run_id, 3, "not yet")
    assert "in broken" in letter.traceback
    assert repaired == Repaired(matched=1, done=1)
    assert queued is not None and (queued.state, queued.failure) == (RunState.QUEUED, None)
    assert run.result == 12
    kinds = [event.kind for event in run.timeline]
    assert kinds[-7:] == ["failed", "redriven", "started", "finished", "started", "finished", "completed"]
    assert await dead_count(bench) == await alive_count(bench) == 0


async def completed(bench: Workbench, run_id: str) -> Any:
    """The run, once it has completed: `failed` stands in its timeline already."""
    await bench.until(run_id, "completed")
    return await bench.store.get(run_id)


async def test_a_letter_whose_handler_is_not_fixed_dies_again_and_can_be_redriven_again(
    bench: Workbench,
) -> None:
    attempts: list[int] = []

    async def broken(number: int, context: Context[None]) -> int:
        attempts.append(context.attempt)
        raise ConnectionError("never")

    async with bench.working(bench.bind("add", broken)):
        await bench.submit()
        await letter_there(bench)
        for _ in range(2):
            assert (await letters_of(bench).redrive(ALL, rate=100, limit=10)).done == 1
            await letter_there(bench)
    (letter,) = (await letters_of(bench).look(ALL)).letters

    assert letter.generation == 2
    assert attempts == [1, 2, 3] * 3


async def letter_there(bench: Workbench) -> None:
    """Returns once a letter is in the dead queue."""
    async with asyncio.timeout(TIMEOUT_S):
        while not await dead_count(bench):  # noqa: ASYNC110  a queue announces nothing
            await asyncio.sleep(0.02)


async def test_a_letter_of_a_run_that_the_store_has_forgotten_opens_it_again(bench: Workbench) -> None:
    await bury(bench, "forgotten", payload=b"20")

    repaired = await letters_of(bench).redrive(ALL, rate=100, limit=10)
    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        run = await bench.ended("forgotten")

    assert repaired == Repaired(matched=1, done=1)
    assert (run.state, run.result) == (RunState.COMPLETED, 42)


async def test_a_letter_that_is_there_twice_is_done_once(bench: Workbench) -> None:
    done: list[int] = []

    async def note(number: int) -> int:
        done.append(number)
        return number

    for _ in range(2):
        await bury(bench, "r1")
    await letters_of(bench).redrive(ALL, rate=100, limit=10)
    async with bench.working(bench.bind("add", note), bench.bind("double", double), burst=True) as worker:
        await asyncio.wait_for(worker.task, TIMEOUT_S)
    run = await bench.ended("r1")

    assert (run.state, done) == (RunState.COMPLETED, [1])


async def test_a_letter_that_the_broker_put_aside_undecided_is_not_dropped(bench: Workbench) -> None:
    """A worker began the job and never ended it; then the broker gave up delivering its message."""
    await bench.submit()
    delivery = await bench.next_of(bench.queue_of("add"))
    await bench.store.claim(decode(delivery.message.body), worker="dead", redelivered=False, lease=60)
    await bench.queue.publish(dead_queue(bench.queue_of("add")), delivery.message)
    delivery.acknowledge()

    repaired = await letters_of(bench).redrive(ALL, rate=100, limit=10)

    assert (repaired.matched, repaired.stale) == (1, 0)
    await eventually(lambda: alive_and_dead(bench), 1)


async def test_the_letter_of_a_job_that_has_gone_on_is_dropped(bench: Workbench) -> None:
    await bury(bench, "r1")
    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        await letters_of(bench).redrive(ALL, rate=100, limit=10)
        await bench.ended("r1")
    await bury(bench, "r1")

    repaired = await letters_of(bench).redrive(ALL, rate=100, limit=10)

    assert repaired == Repaired(matched=1, stale=1)
    assert await dead_count(bench) == await alive_count(bench) == 0


async def test_only_what_is_selected_is_redriven_no_more_than_the_limit_and_no_faster_than_the_rate(
    bench: Workbench,
) -> None:
    pauses: list[float] = []

    async def note(seconds: float) -> None:
        pauses.append(seconds)

    wanted = [await bury(bench, f"r{number}", at_ms=number + 1) for number in range(5)]
    for number in range(5):
        await bury(bench, f"o{number}", reason="contract")
    ticks = iter((10.0, 10.0, 10.01, 10.05, 20.0, 20.0))  # when each one's turn came, and when it began
    letters = letters_of(bench, note, lambda: next(ticks))

    repaired = await letters.redrive(Selection(reason="max-retries"), rate=20, limit=3)

    assert (repaired.matched, repaired.done, repaired.left) == (5, 3, 2)
    assert pauses == pytest.approx([0.0, 0.04, 0.0])
    left = (await letters.look(ALL)).letters
    assert Counter(letter.reason for letter in left) == {"max-retries": 2, "contract": 5}
    assert {letter.id for letter in left if letter.reason == "max-retries"} == {it.id for it in wanted[3:]}
    await eventually(lambda: alive_count(bench), 3)


async def test_a_discarded_letter_is_gone_and_its_neighbours_are_not(bench: Workbench) -> None:
    first, second = await bury(bench, "r1"), await bury(bench, "r2")
    letters = letters_of(bench)

    repaired = await letters.discard(Selection(ids=frozenset({first.id})), limit=10)

    assert repaired == Repaired(matched=1, done=1)
    assert [letter.id for letter in (await letters.look(ALL)).letters] == [second.id]
    assert await alive_count(bench) == 0


def foreigners(bench: Workbench) -> dict[str, Message]:
    """Messages that no key of ours signed."""
    job = first_job(
        run_id="r1", pipeline=bench.pipeline.name, stage="add", payload=b"1", accepted_ms=just_now_ms()
    )
    return {
        "undecodable": Message("m1", b"\x00 nothing", KEYRING.headers(b"\x00 nothing")),
        "unsigned": Message(job.id, encode(job), {}),
        "forged": Message(job.id, encode(job), KEYRING.headers(b"another body")),
    }


@pytest.mark.parametrize("kind", ["undecodable", "unsigned", "forged"])
async def test_what_is_not_ours_goes_back_as_it_was_and_is_never_signed(bench: Workbench, kind: str) -> None:
    message = foreigners(bench)[kind]
    await bury_message(bench, message, reason="signature")
    letters = letters_of(bench)
    (letter,) = (await letters.look(ALL)).letters

    with pytest.raises(NotEditable):
        await letters.redrive_edited(bench.queue_of("add"), letter.id, b"2")
    repaired = await letters.redrive(ALL, rate=100, limit=10)
    back = await bench.next_of(bench.queue_of("add"))

    assert repaired == Repaired(matched=1, done=1)
    assert (back.message.body, dict(back.message.headers)) == (message.body, dict(message.headers))
    assert await bench.store.get("r1") is None


async def test_an_edited_letter_completes_its_run_with_the_new_input(bench: Workbench) -> None:
    async def picky(number: int) -> int:
        return 100 // number

    async with bench.working(bench.bind("add", picky), bench.bind("double", double)):
        run_id = await bench.submit(b"0")
        assert (await bench.ended(run_id)).state == RunState.FAILED
        await letter_there(bench)  # the outcome is on record before the letter is there
        letters = letters_of(bench)
        (letter,) = (await letters.look(ALL)).letters

        with pytest.raises(ContractBroken):
            await letters.redrive_edited(letter.queue, letter.id, b'"four"')
        await eventually(lambda: dead_count(bench), 1)
        repaired = await letters.redrive_edited(letter.queue, letter.id, b"4")
        run = await completed(bench, run_id)

    assert repaired == Repaired(matched=1, done=1)
    assert run.result == 50


async def test_a_letter_of_an_unknown_stage_cannot_be_edited(bench: Workbench) -> None:
    job = first_job(
        run_id="r1", pipeline=bench.pipeline.name, stage="gone", payload=b"1", accepted_ms=just_now_ms()
    )
    await bury_message(bench, Message(job.id, encode(job), KEYRING.headers(encode(job))))

    with pytest.raises(NotEditable, match="'gone'"):
        await letters_of(bench).redrive_edited(bench.queue_of("add"), job.id, b"2")

    await eventually(lambda: dead_count(bench), 1)


async def test_a_redriven_job_is_done_however_late_it_is(bench: Workbench) -> None:
    job = first_job(
        run_id="r1",
        pipeline=bench.pipeline.name,
        stage="add",
        payload=b"20",
        accepted_ms=just_now_ms(),
        expires_ms=2,
    )
    await bury_message(bench, Message(job.id, encode(job), KEYRING.headers(encode(job))))

    await letters_of(bench).redrive(ALL, rate=100, limit=1)
    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        run = await bench.ended("r1")

    assert (run.state, run.result) == (RunState.COMPLETED, 42)


class Dies(Exception):
    """The process ends here."""


class DyingQueue:
    """A real queue under a process that ends before or after it has published."""

    def __init__(self, queue: Queue, *, after: bool) -> None:
        self._queue = queue
        self._after = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        if self._after:
            await self._queue.publish(queue, message)
        raise Dies


@pytest.mark.parametrize("after", [False, True], ids=["before_the_confirm", "after_the_confirm"])
async def test_a_redrive_that_dies_half_way_is_repeated_and_the_job_is_done_once(
    bench: Workbench, after: bool
) -> None:
    """The store has it as redriven, the queue has it or not, and the letter is still there."""
    done: list[int] = []

    async def note(number: int) -> int:
        done.append(number)
        return number

    await bury(bench, "r1")
    dying = letters_of(replace(bench, queue=DyingQueue(bench.queue, after=after)))

    with pytest.raises(Dies):
        await dying.redrive(ALL, rate=100, limit=10)
    await eventually(lambda: dead_count(bench), 1)
    await eventually(lambda: alive_count(bench), after)
    assert await bench.store.get("r1") is None  # whose run waits for nothing that may never come
    again = await letters_of(bench).redrive(ALL, rate=100, limit=10)
    async with bench.working(bench.bind("add", note), bench.bind("double", double), burst=True) as worker:
        await asyncio.wait_for(worker.task, TIMEOUT_S)
    run = await bench.ended("r1")

    assert again == Repaired(matched=1, done=1)
    assert (run.state, done) == (RunState.COMPLETED, [1])
    assert [event.kind for event in run.timeline].count("redriven") == 1
    assert await dead_count(bench) == 0


async def test_a_redrive_that_comes_again_after_the_job_was_done_drops_the_letter(bench: Workbench) -> None:
    await bury(bench, "r1")
    with pytest.raises(Dies):
        await letters_of(replace(bench, queue=DyingQueue(bench.queue, after=True))).redrive(
            ALL, rate=100, limit=10
        )
    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        await bench.ended("r1")

    again = await letters_of(bench).redrive(ALL, rate=100, limit=10)

    assert again == Repaired(matched=1, stale=1)
    assert await dead_count(bench) == 0


async def test_a_queue_that_takes_no_more_ends_a_redrive_and_no_letter_is_lost(bench: Workbench) -> None:
    class Full:
        left = 2

        def __getattr__(self, name: str) -> Any:
            return getattr(bench.queue, name)

        async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
            if not self.left:
                raise QueueUnreachable("away")
            self.left -= 1
            await bench.queue.publish(queue, message)

    for number in range(5):
        await bury(bench, f"r{number}")

    with pytest.raises(QueueUnreachable):
        await letters_of(replace(bench, queue=Full())).redrive(ALL, rate=100, limit=10)

    await eventually(lambda: alive_count(bench), 2)
    await eventually(lambda: dead_count(bench), 3)


async def test_a_redriven_job_is_signed_and_carries_its_generation(bench: Workbench) -> None:
    dead = msgspec.structs.replace(await bury(bench, "r1"), attempt=3)

    await letters_of(bench).redrive(ALL, rate=100, limit=1)
    back = (await bench.next_of(bench.queue_of("add"))).message

    KEYRING.verify(back.body, back.headers)
    assert set(back.headers) == {"mousetrap-signature"}
    job = decode(back.body)
    assert (job.id, job.run_id, job.attempt, job.generation) == (dead.id, "r1", 1, 1)
