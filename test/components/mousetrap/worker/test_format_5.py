"""Runs of format 5 go through a worker as others do."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from mousetrap.dead_letters import DeadLetters, Selection
from mousetrap.handlers import Context
from mousetrap.jobs import Delivery, Done, Job, Message, decode, encode, first_job, signed_message
from mousetrap.run_store import Granted, StoredRun
from mousetrap.shapes import RunState
from support.packed import job_record, packed_first
from support.workbench import KEYRING, TIMEOUT_S, Workbench, add, double, just_now_ms, on_streams

pytestmark = pytest.mark.own_queues


@pytest.fixture(autouse=True)
def new_runs_are_of_format_5(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", 5)


async def ended(bench: Workbench, run_id: str) -> StoredRun:
    """The run, once it has ended."""
    run = await bench.store.wait_ended(run_id, TIMEOUT_S)
    assert run is not None
    return run


async def job_at(bench: Workbench, stage: str) -> tuple[Delivery, Job]:
    """The next message of a stage and its job; it is still the queue's."""
    delivery = await bench.next_of(bench.queue_of(stage))
    return delivery, decode(delivery.message.body)


def letters(bench: Workbench) -> DeadLetters:
    return DeadLetters(bench.queue, bench.store, KEYRING, {bench.pipeline.name: bench.pipeline})


async def test_a_run_goes_through_its_stages_and_each_job_has_its_parent_s_fence(
    bench: Workbench, store_url: str
) -> None:
    async with bench.working(bench.bind("add", add)):
        run_id = await bench.submit(b"20")
        delivery, child = await job_at(bench, "double")
    parent = job_record(store_url, first_of(bench, run_id))
    delivery.hand_back()
    async with bench.working(bench.bind("double", double)):
        run = await ended(bench, run_id)

    assert (run.state, run.result) == (RunState.COMPLETED, 42)
    assert parent is not None
    assert (child.v, child.parent_fence, parent.state) == (5, parent.fence, "done")


def first_of(bench: Workbench, run_id: str) -> Job:
    """The run's first job, by its id."""
    return first_job(
        run_id=run_id, pipeline=bench.pipeline.name, stage="add", payload=b"1", accepted_ms=just_now_ms()
    )


async def test_a_job_that_was_tried_again_names_the_fence_of_its_last_attempt(
    bench: Workbench, store_url: str
) -> None:
    attempts: list[int] = []

    def flaky(number: int, context: Context[None]) -> int:
        attempts.append(context.attempt)
        if context.attempt < 3:
            raise ConnectionError(f"attempt {context.attempt} failed")
        return number

    async with bench.working(bench.bind("add", flaky)):
        run_id = await bench.submit(b"5")
        delivery, child = await job_at(bench, "double")
    parent = job_record(store_url, first_of(bench, run_id))
    delivery.hand_back()
    async with bench.working(bench.bind("double", double)):
        run = await ended(bench, run_id)

    assert (run.result, attempts) == (10, [1, 2, 3])
    assert parent is not None
    assert child.parent_fence == parent.fence == 3


async def test_a_dead_letter_is_edited_redriven_and_done_with_the_fence_it_had(bench: Workbench) -> None:
    def picky(number: int) -> int:
        return 100 // (number - 6)

    async with bench.working(bench.bind("add", add), bench.bind("double", picky)):
        run_id = await bench.submit(b"5")
        assert (await ended(bench, run_id)).state == RunState.FAILED
    queue = bench.queue_of("double")
    [letter] = (await letters(bench).look(Selection())).letters
    payload = await letters(bench).payload_of(letter)
    repaired = await letters(bench).redrive_edited(queue, letter.id, b"16")
    async with bench.working(bench.bind("double", picky)):
        run = await ended(bench, run_id)

    assert letter.job is not None
    assert (letter.believed, letter.job.v, letter.job.parent_fence) == (True, 5, 1)
    assert payload is not None
    assert (payload.raw, repaired.done) == (b"6", 1)
    assert (run.state, run.result) == (RunState.COMPLETED, 10)


async def test_a_dead_letter_is_redriven_as_it_is(bench: Workbench) -> None:
    def failing(number: int) -> int:
        raise ZeroDivisionError

    async with bench.working(bench.bind("add", add), bench.bind("double", failing)):
        run_id = await bench.submit(b"5")
        assert (await ended(bench, run_id)).state == RunState.FAILED
    assert (await letters(bench).redrive(Selection(), rate=100, limit=1)).done == 1
    async with bench.working(bench.bind("double", double)):
        run = await ended(bench, run_id)

    assert (run.state, run.result) == (RunState.COMPLETED, 12)


async def test_a_recorded_outcome_is_published_again_with_its_own_fence(bench: Workbench) -> None:
    """A worker records an outcome and dies before it publishes what follows; the one before it died, too."""
    run_id = await bench.submit(b"1")
    delivery, job = await job_at(bench, "add")
    for worker, redelivered in (("first", False), ("second", True)):
        claim: Any = await bench.store.claim(job, worker=worker, redelivered=redelivered, lease=60)
        assert isinstance(claim, Granted)
    decision = await bench.store.decide(
        job,
        Done(msgspec.Raw(b"50")),
        fence=claim.fence,
        worker="second",
        last=False,
        next_stage="double",
    )
    delivery.hand_back()

    async with bench.working(bench.bind("add", add)):
        delivery, child = await job_at(bench, "double")
        delivery.hand_back()
    async with bench.working(bench.bind("double", double)):
        run = await ended(bench, run_id)

    assert (decision, child.parent_fence, run.result) == ("recorded", 2, 100)


async def test_a_job_that_follows_from_a_lost_outcome_is_dropped(bench: Workbench) -> None:
    """The first worker lost its claim, and published all the same."""
    done: list[int] = []

    def note(number: int) -> int:
        done.append(number)
        return number

    run_id = await bench.submit(b"1")
    delivery, job = await job_at(bench, "add")
    for worker, redelivered in (("late", False), ("other", True)):
        claim: Any = await bench.store.claim(job, worker=worker, redelivered=redelivered, lease=60)
        assert isinstance(claim, Granted)
    lost = job.following("double", b"66", fence=1)
    await bench.queue.publish(bench.queue_of("double"), signed_message(lost, KEYRING))
    async with bench.working(bench.bind("double", note), burst=True) as working:
        await working.task
    await bench.store.release(job, fence=claim.fence, worker="other")
    delivery.hand_back()
    async with bench.working(bench.bind("add", add), bench.bind("double", note)):
        run = await ended(bench, run_id)

    assert (run.result, done) == (2, [2])


@pytest.mark.parametrize("isolated", [False, True])
@on_streams
async def test_the_bytes_of_a_serializer_go_from_stage_to_stage(bench: Workbench, isolated: bool) -> None:
    first, last = bench.pipeline.stages
    stages = (first, replace(last, serializer="msgpack"))
    bench = replace(bench, pipeline=replace(bench.pipeline, stages=stages))
    async with bench.working(bench.bind("add", add)):
        run_id = await bench.submit(b"20")
        delivery, child = await job_at(bench, "double")
    delivery.hand_back()
    async with bench.working(bench.bind("double", double, isolated=isolated)):
        run = await ended(bench, run_id)

    assert (child.serializer, bytes(child.payload)) == ("msgpack", b"\x15")
    assert run.result == 42


def poison(bench: Workbench, why: str) -> Message:
    """A message that must not be done, signed unless that is why."""
    job = packed_first(uuid4().hex, pipeline=bench.pipeline.name, payload=b"1", accepted_ms=just_now_ms())
    body = encode(job)
    if why == "signature":
        return Message(job.id, body[:-1] + b"2", KEYRING.headers(body))
    changed = {
        "contract": body[:-1] + b'"one"',
        "contract, as no JSON": body[:-1] + b"{",
        "contract, as no text": body[:-1] + b"\xff\n",
        "undecodable": body.replace(b'"v":5', b'"v":"5"'),
        "undecodable, as it was cut": body[:-2],
        "undecodable, for a long head": body.replace(b"{", b"{" + b" " * 9_000),
        "wire-version": body.replace(b'"v":5', b'"v":7'),
        "unknown-stage": encode(msgspec.structs.replace(job, stage="unknown")),
    }[why]
    return Message(job.id, changed, KEYRING.headers(changed))


@pytest.mark.parametrize(
    "why",
    [
        *("contract", "contract, as no JSON", "contract, as no text", "undecodable"),
        *("undecodable, as it was cut", "undecodable, for a long head"),
        *("wire-version", "unknown-stage", "signature"),
    ],
)
@on_streams
async def test_a_message_of_format_5_that_must_not_be_done_is_a_letter_as_it_was(
    bench: Workbench, why: str
) -> None:
    message = poison(bench, why)

    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        await bench.queue.publish(bench.queue_of("add"), message)
        letter = await bench.dead_letter("add")
        run = await ended(bench, await bench.submit(b"7"))

    assert letter.headers["mousetrap-reason"] == why.partition(",")[0]
    assert letter.body == message.body
    assert run.result == 16


@on_streams
async def test_a_run_that_began_before_stays_of_its_kind(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", 2)
    run_id = await bench.submit(b"20")
    opening = await bench.store.opening(run_id)
    assert opening is not None
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", 5)
    assert opening.first_job(run_id).v == 2

    async with bench.working(bench.bind("add", add)):
        delivery, child = await job_at(bench, "double")
    delivery.hand_back()
    async with bench.working(bench.bind("double", double)):
        run = await bench.ended(run_id)

    assert (child.v, run.result) == (2, 42)


@on_streams
async def test_a_run_of_format_5_is_published_again_in_its_format(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = await bench.submit(b"20")
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", 2)

    opening = await bench.store.opening(run_id)

    assert opening is not None
    assert opening.first_job(run_id).v == 5
