"""Runs whose input, output and result are too large for a message."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from mousetrap.dead_letters import DeadLetter, DeadLetters, Selection, line
from mousetrap.jobs import Reference, StoreUnreachable, decode, new_runs
from mousetrap.payloads import FolderBackend, Payloads
from mousetrap.pipeline import Lock, Pipeline, Stage
from mousetrap.repeat_attempt import case_of_letter
from mousetrap.run_store.keys import packed_run_key, run_key
from mousetrap.shapes import RunState
from mousetrap.store_client import StoreClient, open_client
from mousetrap.submit_run import RerunImpossible
from support.inbox import eventually
from support.large_handlers import Order, handle
from support.serializers import BACKWARDS
from support.workbench import KEYRING, Workbench, on_streams, workbench_for

pytestmark = pytest.mark.own_queues

#: In UTF-8 twice as many bytes as characters, and far above what is inline.
TEXT = "é" * 50_000


def grow(text: str) -> str:
    return text + "x"


async def shout(text: str) -> str:
    return text.upper()


def a_pipeline(**more: Any) -> Pipeline:
    mark = uuid4().hex[:8]
    second = Stage(name="shout", queue=f"shout_{mark}", input=str, output=str, **more)
    first = Stage(name="grow", queue=f"grow_{mark}", input=str, output=str)
    return Pipeline(name=f"texts_{mark}", description="Grows and shouts.", stages=(first, second))


@asynccontextmanager
async def texts(queue_url: str, store_url: str, **more: Any) -> AsyncIterator[Workbench]:
    async with workbench_for(a_pipeline(**more), queue_url, store_url) as bench:
        yield bench


def body(text: str = TEXT) -> bytes:
    return msgspec.json.encode(text)


@pytest.mark.parametrize("begun", [2, 5])
async def test_every_message_and_record_holds_a_reference_and_handlers_notice_nothing(
    queue_url: str, store_url: str, begun: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", begun)
    async with texts(queue_url, store_url) as bench:
        run_id = await bench.submit(body())
        first = await bench.next_of(bench.queue_of("grow"))
        assert len(first.message.body) < 1_000
        assert isinstance(decode(first.message.body).reference, Reference)
        first.hand_back()
        async with bench.working(bench.bind("grow", grow), bench.bind("shout", shout)):
            run = await bench.ended(run_id)

    assert (run.state, run.input, run.result) == (RunState.COMPLETED, TEXT, (TEXT + "x").upper())
    assert run.input_reference is not None
    assert run.result_reference is not None
    assert run.result_reference.size == len(body(TEXT + "x"))
    assert 0 < await recorded_bytes(store_url, run_id) < 3_000


@on_streams
async def test_a_small_run_has_no_reference(bench: Workbench) -> None:
    await bench.submit(b"20")
    job = decode((await bench.next_of(bench.queue_of("add"))).message.body)
    assert (job.v, job.reference) == (new_runs(), msgspec.UNSET)


@pytest.mark.parametrize("serializer", ["msgpack", BACKWARDS], ids=["msgpack", "custom"])
@on_streams
async def test_what_another_serializer_wrote_goes_by_reference_too(
    queue_url: str, store_url: str, serializer: Any
) -> None:
    async with (
        texts(queue_url, store_url, serializer=serializer) as bench,
        bench.working(bench.bind("grow", grow), bench.bind("shout", shout)),
    ):
        run = await bench.ended(await bench.submit(body()))
        repeat = await bench.submitter.rerun(run, run_id=f"{run.id}-2", begin="shout")
        again = await bench.ended(repeat.run_id)

    assert run.result == again.result == (TEXT + "x").upper()


@on_streams
async def test_an_isolated_handler_and_a_lock_by_a_field_see_the_whole_payload(
    queue_url: str, store_url: str
) -> None:
    lock = Lock(name="orders", by="customer")
    stage = Stage(name="order", queue=f"order_{uuid4().hex[:8]}", input=Order, output=str, lock=lock)
    pipeline = Pipeline(name=f"orders_{uuid4().hex[:8]}", description="One at a time.", stages=(stage,))
    async with (
        workbench_for(pipeline, queue_url, store_url) as bench,
        bench.working(bench.bind("order", handle, isolated=True), concurrency=2),
    ):
        inputs = [Order(customer, TEXT) for customer in ("a", "a", "b")]
        ids = [await bench.submit(msgspec.json.encode(each)) for each in inputs]
        results = [(await bench.ended(run_id)).result for run_id in ids]

    assert results == ["a" + TEXT, "a" + TEXT, "b" + TEXT]


@on_streams
async def test_a_rerun_has_payloads_of_its_own(queue_url: str, store_url: str) -> None:
    async with (
        texts(queue_url, store_url) as bench,
        bench.working(bench.bind("grow", grow), bench.bind("shout", shout)),
    ):
        first = await bench.ended(await bench.submit(body()))
        for begin in ("start", "shout"):
            accepted = await bench.submitter.rerun(first, run_id=f"{first.id}-{begin}", begin=begin)
            again = await bench.ended(accepted.run_id)
            assert again.result == first.result
            assert again.input_reference is not None
            assert again.input_reference.run_id == accepted.run_id


@pytest.mark.parametrize("how", ["missing", "altered"])
@on_streams
async def test_a_payload_that_cannot_be_used_is_a_dead_letter_until_it_is_put_back(
    queue_url: str, store_url: str, how: str
) -> None:
    async with texts(queue_url, store_url) as bench:
        run_id = await bench.submit(body())
        field = await first_payload(store_url, run_id)
        await change(store_url, run_id, field, None if how == "missing" else b"other")
        async with bench.working(bench.bind("grow", grow), bench.bind("shout", shout)):
            run = await bench.ended(run_id)
            letters = DeadLetters(bench.queue, bench.store, KEYRING, {bench.pipeline.name: bench.pipeline})
            letter = await letter_of(letters, run_id)
            assert (run.state, letter.reason, letter.attempts) == (RunState.FAILED, f"payload-{how}", 1)
            assert "copy, or give another input" in letter.error
            assert run.unreadable
            assert run.unreadable[0].startswith("input: the payload")
            await change(store_url, run_id, field, body())
            assert (await letters.redrive(Selection(run=run_id), rate=100, limit=1)).done == 1
            assert (await bench.ended(run_id)).state == RunState.COMPLETED


@on_streams
async def test_a_dead_letter_with_a_reference_is_shown_exported_edited_and_tested(
    queue_url: str, store_url: str
) -> None:
    def picky(text: str) -> str:
        if text.startswith("é"):
            raise LookupError("no accents")
        return text

    async with (
        texts(queue_url, store_url) as bench,
        bench.working(bench.bind("grow", picky), bench.bind("shout", shout)),
    ):
        run_id = await bench.submit(body())
        await bench.ended(run_id)
        letters = DeadLetters(bench.queue, bench.store, KEYRING, {bench.pipeline.name: bench.pipeline})
        letter = await letter_of(letters, run_id)
        payload = await letters.payload_of(letter)
        assert payload is not None
        assert payload.raw == body()
        case = case_of_letter(line(letter, payload.raw))
        assert bytes(case.job.payload) == body()
        other = "e" * 100_000
        await letters.redrive_edited(letter.queue, letter.id, body(other))
        run = await bench.ended(run_id)

    assert run.result == other.upper()


@on_streams
async def test_a_caller_is_shown_which_payload_is_gone_and_not_where_payloads_are(
    queue_url: str, store_url: str
) -> None:
    async with texts(queue_url, store_url) as bench:
        run_id, payloads = await bench.submit(body()), bench.store.payloads
        await payloads._backend.delete_run(run_id, 1e12)
        run = await bench.store.get(run_id)
        assert run is not None
        with pytest.raises(RerunImpossible) as impossible:
            await bench.submitter.rerun(run, run_id=uuid4().hex)

    for text in (*run.unreadable, str(impossible.value)):
        assert f"{run_id}/" in text
        assert "is not in the store of payloads: it was removed" in text
        assert payloads.place not in text
    assert len(run.unreadable) == 1


@on_streams
async def test_while_the_store_of_payloads_is_away_jobs_wait_and_submits_are_refused(
    queue_url: str, store_url: str, tmp_path: Path
) -> None:
    share = tmp_path / "share"
    share.mkdir()
    async with texts(queue_url, store_url) as bench:
        bench.store.payloads = Payloads(FolderBackend(share), inline=65_536)
        run_id = await bench.submit(body())
        share.rename(tmp_path / "unmounted")
        with pytest.raises(StoreUnreachable, match="MOUSETRAP_PAYLOAD_URL"):
            await bench.submit(body())
        async with bench.working(bench.bind("grow", grow), bench.bind("shout", shout)):
            await bench.until(run_id, "started")
            await asyncio.sleep(0.3)  # the worker asks the folder meanwhile
            run = await bench.store.get(run_id, most=0)
            assert run is not None
            assert run.state == RunState.RUNNING
            (tmp_path / "unmounted").rename(share)
            run = await bench.ended(run_id)

    assert run.result == (TEXT + "x").upper()
    assert [event.attempt for event in run.timeline if event.kind == "started"] == [1, 1]


@on_streams
async def test_what_is_handed_on_unchanged_is_put_once_and_read_once(queue_url: str, store_url: str) -> None:
    def same(text: str) -> str:
        return text

    async with texts(queue_url, store_url) as bench:
        reads, get = 0, bench.store.payloads.get

        async def counted(reference: Reference) -> bytes:
            nonlocal reads
            reads += 1
            return await get(reference)

        bench.store.payloads.get = counted  # type: ignore[method-assign]
        async with bench.working(bench.bind("grow", same), bench.bind("shout", same)):
            run_id = await bench.submit(body())
            async with asyncio.timeout(60):
                async for _ in bench.store.watch(run_id):
                    pass
        assert reads == 1
        run = await bench.ended(run_id)

    assert run.result == TEXT
    assert run.input_reference == run.result_reference


@on_streams
async def test_an_input_that_is_too_large_is_refused_and_such_an_output_is_a_dead_letter(
    queue_url: str, store_url: str
) -> None:
    async with texts(queue_url, store_url) as bench:
        bench.store.payloads.largest = len(body())
        with pytest.raises(ValueError, match="MOUSETRAP_PAYLOAD_MAX_BYTES"):
            await bench.submit(body(TEXT + "x"))
        async with bench.working(bench.bind("grow", grow), bench.bind("shout", shout)):
            run = await bench.ended(await bench.submit(body()))
            letter = await bench.dead_letter("grow")

    assert run.state == RunState.FAILED
    assert letter.headers["mousetrap-reason"] == "too-large"
    assert "MOUSETRAP_PAYLOAD_MAX_BYTES" in letter.headers["mousetrap-error"]


async def letter_of(letters: DeadLetters, run_id: str) -> DeadLetter:
    """The run's dead letter, once it is there: the failure is recorded first, and the letter published then."""

    async def count() -> int:
        return len((await letters.look(Selection(run=run_id))).letters)

    await eventually(count, 1)
    (letter,) = (await letters.look(Selection(run=run_id))).letters
    return letter


async def recorded_bytes(store_url: str, run_id: str) -> int:
    """Bytes of the run's record, in either family."""
    async with a_client(store_url) as client:
        fields = await client.call("HGETALL", run_key(run_id))
        record = await client.call("GET", packed_run_key(run_id))
        return sum(map(len, fields)) + len(record or b"")


async def first_payload(store_url: str, run_id: str) -> bytes:
    async with a_client(store_url) as client:
        field: bytes
        (field,) = await client.call("HKEYS", f"mousetrap:payloads:{run_id}")
        return field


async def change(store_url: str, run_id: str, field: bytes, value: bytes | None) -> None:
    key = f"mousetrap:payloads:{run_id}"
    async with a_client(store_url) as client:
        await client.call(*(("HDEL", key, field) if value is None else ("HSET", key, field, value)))


@asynccontextmanager
async def a_client(store_url: str) -> AsyncIterator[StoreClient]:
    client = open_client(store_url, None)
    try:
        yield client
    finally:
        await client.close()
