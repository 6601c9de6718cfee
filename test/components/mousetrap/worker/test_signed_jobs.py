"""Any signed job ends as done or as a dead letter."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from mousetrap.dead_letters import DeadLetters, Looked, Selection
from mousetrap.jobs import Job, JobUndecodable, Message, decode, encode, first_job, new_runs
from mousetrap.run_store.keys import job_key, packed_job_key, packed_run_key, run_key
from mousetrap.shapes import RunState
from support.workbench import (
    KEYRING,
    Workbench,
    add,
    double,
    just_now_ms,
    on_streams,
    workbench,
)

pytestmark = pytest.mark.own_queues

FIELDS = Job.__struct_fields__
NUMBERS = st.integers() | st.sampled_from((-5, -1, 0, 1, 2, 3, 4, 10**8, 10**9, 2**53, 2**63, 2**64, 10**30))
VALUES = (
    st.none()
    | st.booleans()
    | NUMBERS
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10)
    | st.sampled_from(("x" * 63, "é" * 63, "x" * 64, "x" * 300, "x\n2026 INFO y", "\x00", "|", "../..", "*"))
    | st.lists(st.integers(), max_size=2)
)
changes = st.tuples(st.sampled_from(FIELDS), VALUES)


def signed(body: bytes, name: str = "m1") -> Message:
    return Message(name, body, KEYRING.headers(body))


def a_job(bench: Workbench, **changed: Any) -> Job:
    """A job of format 2, whose message is JSON as a whole; `test_envelope` has what is refused in a head of format 5."""
    job = first_job(
        run_id=uuid4().hex,
        pipeline=bench.pipeline.name,
        stage="add",
        payload=b"1",
        accepted_ms=just_now_ms(),
        v=2,
    )
    return msgspec.structs.replace(job, **changed)


def written(bench: Workbench, change: tuple[str, Any]) -> bytes:
    whole: dict[str, Any] = msgspec.json.decode(encode(a_job(bench)))
    return msgspec.json.encode(whole | dict([change]))


def letters_of(bench: Workbench) -> DeadLetters:
    return DeadLetters(bench.queue, bench.store, KEYRING, {bench.pipeline.name: bench.pipeline})


async def worked_off(bench: Workbench) -> Looked:
    """The letters in the dead queues once a worker has emptied the queues."""
    async with bench.working(bench.bind("add", add), bench.bind("double", double), burst=True) as worker:
        await worker.task
    return await letters_of(bench).look(Selection())


def test_with_any_value_in_a_field_the_job_is_done_or_is_a_letter(queue_url: str, store_url: str) -> None:
    known: set[str] = set()  # all examples have one store, which remembers jobs

    @settings(
        max_examples=4,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
    )
    @given(st.lists(changes, min_size=40, max_size=60))
    def holds(changed: list[tuple[str, Any]]) -> None:
        async def check() -> None:
            async with workbench(queue_url, store_url) as bench:
                bodies = {f"m{n}": written(bench, change) for n, change in enumerate(changed)}
                for name, body in bodies.items():
                    await bench.queue.publish(bench.queue_of("add"), signed(body, name))
                looked = await worked_off(bench)
                reasons = {letter.message.body: letter.reason for letter in looked.letters}
                silent = [body for body in _once(bodies, known) if await _is_silent(bench, body, reasons)]

                assert silent == []
                run = bench.ended(await bench.submit(b"20"))
                await worked_off(bench)
                assert (await run).result == 42

        asyncio.run(check())

    holds()


def _once(bodies: Mapping[str, bytes], known: set[str]) -> list[bytes]:
    """Without those with the id of another job, which `known` holds: they are repeats of it."""
    once = []
    for body in bodies.values():
        try:
            name = decode(body).id
        except JobUndecodable:
            name = uuid4().hex
        if name not in known:
            once.append(body)
        known.add(name)
    return once


async def _is_silent(bench: Workbench, body: bytes, reasons: Mapping[bytes, str]) -> bool:
    if reasons.get(body) not in (None, "unknown"):
        return False
    run = await bench.store.get(decode(body).run_id)
    return run is None or not run.state.ended


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("attempt", -1, "undecodable"),
        ("attempt", 0, "undecodable"),
        ("attempt", 10**9, "undecodable"),
        ("attempt", 4, "max-retries"),
        ("attempt", 1.5, "undecodable"),
        ("attempt", "1", "undecodable"),
        ("generation", -5, "undecodable"),
        ("generation", 10**9, "undecodable"),
        ("generation", None, "undecodable"),
        ("accepted_ms", 1, "stale"),
        ("accepted_ms", -1, "undecodable"),
        ("accepted_ms", 10**18, "undecodable"),
        ("expires_ms", -1, "undecodable"),
        ("id", "", "undecodable"),
        ("id", "x" * 300, "undecodable"),
        ("run_id", "x" * 65, "undecodable"),
    ],
)
async def test_a_signed_job_that_cannot_be_is_a_letter_and_is_not_dropped(
    bench: Workbench, field: str, value: Any, reason: str
) -> None:
    done: list[int] = []

    def note(number: int) -> int:
        done.append(number)
        return number

    body = written(bench, (field, value))
    await bench.queue.publish(bench.queue_of("add"), signed(body))

    async with bench.working(bench.bind("add", note)):
        letter = await bench.dead_letter("add")

    assert (letter.body, letter.headers["mousetrap-reason"], done) == (body, reason, [])


def an_old_job(bench: Workbench, seconds: float) -> Job:
    """One whose run was accepted so long ago; the store of the workbench remembers for an hour."""
    return a_job(bench, accepted_ms=just_now_ms() - int(seconds * 1000), v=new_runs())


async def test_a_message_that_somebody_kept_until_its_run_was_forgotten_is_not_done_again(
    bench: Workbench,
) -> None:
    done: list[int] = []
    job = an_old_job(bench, 8_000)
    await bench.queue.publish(bench.queue_of("add"), signed(encode(job)))

    def note(number: int) -> int:
        done.append(number)
        return number + 1

    async with bench.working(bench.bind("add", note), bench.bind("double", double)) as worker:
        letter = await bench.dead_letter("add")
        assert (letter.headers["mousetrap-reason"], done) == ("stale", [])
        assert "longer ago than runs are remembered" in letter.headers["mousetrap-error"]
        assert await bench.store.get(job.run_id) is None
    assert worker.task.done()

    await bench.queue.publish(f"{bench.queue_of('add')}.dead", letter)
    assert (await letters_of(bench).redrive(Selection(reason="stale"), rate=100, limit=1)).done == 1
    async with bench.working(bench.bind("add", note), bench.bind("double", double)):
        run = await bench.ended(job.run_id)
    assert (run.state, run.result, done) == (RunState.COMPLETED, 4, [1])


@on_streams
async def test_a_redriven_job_is_done_though_the_store_has_lost_all_since(
    bench: Workbench, store_url: str
) -> None:
    again = await bench.store.redrive(an_old_job(bench, 8_000))
    assert isinstance(again, Job)
    async with Redis.from_url(store_url.replace("valkey", "redis", 1)) as server:
        await server.delete(job_key(again.id), run_key(again.run_id))
        await server.delete(packed_job_key(again.run_id, again.id), packed_run_key(again.run_id))
    await bench.queue.publish(bench.queue_of("add"), signed(encode(again)))

    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        assert (await bench.ended(again.run_id)).result == 4


async def test_a_job_is_done_however_old_while_its_run_is_known_or_as_old_as_clocks_may_be_wrong(
    bench: Workbench,
) -> None:
    known = an_old_job(bench, 10**9)
    await bench.store.open_run(known.run_id, bench.pipeline.name, "add", b"1")
    in_time = an_old_job(bench, 7_000)
    for job in (known, in_time):
        await bench.queue.publish(bench.queue_of("add"), signed(encode(job), job.id))

    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        results = [(await bench.ended(job.run_id)).result for job in (known, in_time)]

    assert results == [4, 4]
