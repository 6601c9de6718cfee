"""Streams through a real worker, whichever backend keeps their chunks."""

import hashlib
import io
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from mousetrap.blobs import Blob, NewBlob, copy_blobs
from mousetrap.handlers import Binding, Context, chain, task
from mousetrap.job_queue import connect
from mousetrap.jobs import first_job, signed_message
from mousetrap.payloads import PayloadOptions, chunks_of
from mousetrap.pipeline import ContractBroken, Pipeline, Stage, write
from mousetrap.run_store import open_store
from support import isolated_blobs
from support.s3_server import ON_ONE_S3
from support.workbench import KEYRING, Workbench, just_now_ms, on_streams

DATA = bytes(range(256)) * 40_000  # three chunks
Opened = Callable[[Pipeline], AbstractAsyncContextManager[Workbench]]
pytestmark = on_streams


@pytest.fixture(params=["store", "folder", pytest.param("s3", marks=ON_ONE_S3)])
def opened(request: pytest.FixtureRequest, queue_url: str, store_url: str, tmp_path: Path) -> Opened:
    """Opens a bench whose payloads are on each backend in turn."""
    url = {"store": "", "folder": f"file://{tmp_path}"}.get(request.param)
    if url is None:
        url = request.getfixturevalue("bucket").url
    options = PayloadOptions(url=url)

    @asynccontextmanager
    async def bench(pipeline: Pipeline) -> AsyncIterator[Workbench]:
        queues = [stage.queue for stage in pipeline.stages]
        async with (
            connect(queue_url, queues, name="test") as queue,
            open_store(store_url, retention=3600, keyring=KEYRING, payloads=options) as store,
        ):
            yield Workbench(queue, store, pipeline)

    return bench


class Film(msgspec.Struct):
    """A blob as a part of a contract."""

    title: str
    frames: Blob


@task
def copy(film: Film, context: Context[None]) -> Film:
    """In a thread."""
    with film.frames.open() as source, context.new_blob() as target:
        shutil.copyfileobj(source, target)
    return Film(film.title.upper(), target.blob)


@task
async def count(film: Film) -> dict[str, Any]:
    """On the event loop."""
    digest = hashlib.sha256()
    async for chunk in film.frames:
        digest.update(chunk)
    return {"title": film.title, "sha256": digest.hexdigest()}


async def test_a_stream_goes_from_handler_to_handler(opened: Opened) -> None:
    films = chain("films", copy, count)
    async with opened(films.pipeline) as bench, bench.working(*films.bindings):
        run_id = await submitted(bench, lambda blob: Film("film", blob))
        run = await bench.ended(run_id)

    assert run.result == {"title": "FILM", "sha256": hashlib.sha256(DATA).hexdigest()}, run


async def test_an_isolated_handler_s_stream_goes_through_its_worker(opened: Opened) -> None:
    stage = Stage(name="copy", queue="isolated_copy", input=Blob, output=Blob)
    pipeline = Pipeline(name="copies", description="One stage.", stages=(stage,))
    binding = Binding(pipeline=pipeline, stage="copy", handler=isolated_blobs.copy, isolated=True)
    async with opened(pipeline) as bench, bench.working(binding):
        run_id = await submitted(bench, lambda blob: blob)
        run = await bench.ended(run_id)

        blob = msgspec.convert(run.result, Blob)
        assert blob.run_id == run_id
        assert [part async for part in blob.within(chunks_of(bench.store.payloads)(run_id))] == [
            DATA[: 4 << 20],
            DATA[4 << 20 : 8 << 20],
            DATA[8 << 20 :],
        ]


async def test_the_blob_of_another_run_is_refused_at_submit(opened: Opened) -> None:
    async with opened(count.pipeline) as bench:
        other = await stored(bench, "other")
        with pytest.raises(ContractBroken, match="its own blobs alone"):
            await bench.submit(write(Film("film", other), Film))


async def test_the_blob_of_another_run_is_a_dead_letter(opened: Opened) -> None:
    async with opened(count.pipeline) as bench, bench.working(count.binding):
        payload = write(Film("film", await stored(bench, "other")), Film)
        job = first_job(
            run_id=uuid4().hex,
            pipeline="count",
            stage="count",
            payload=payload,
            accepted_ms=just_now_ms(),
        )
        await bench.queue.publish(bench.queue_of("count"), signed_message(job, KEYRING))

        letter = await bench.dead_letter("count")
        assert letter.headers["mousetrap-reason"] == "contract"
        assert "another run" in str(letter.headers["mousetrap-error"])


async def test_a_blob_that_is_gone_is_a_dead_letter_that_names_it(opened: Opened) -> None:
    async with opened(count.pipeline) as bench:
        run_id = await submitted(bench, lambda blob: Film("film", blob))
        await bench.store.payloads._backend.delete_run(run_id, 1e12)
        async with bench.working(count.binding):
            run = await bench.ended(run_id)

        letter = await bench.dead_letter("count")
        assert letter.headers["mousetrap-reason"] == "payload-missing"
        assert f"blob {run_id}/" in str(letter.headers["mousetrap-error"])
        assert run.state == "failed"


async def submitted(bench: Workbench, value_of: Callable[[Blob], Any]) -> str:
    """A run on a value with the blob of a file."""
    run_id = uuid4().hex
    blob = Blob.of(io.BytesIO(DATA))
    value = msgspec.json.encode(value_of(blob))
    body = await copy_blobs(value, chunks_of(bench.store.payloads)(run_id))
    return await bench.submit(body, run_id)


async def stored(bench: Workbench, run_id: str) -> Blob:
    """A blob of this run."""
    async with NewBlob(chunks_of(bench.store.payloads)(run_id), "film") as file:
        await file.write(DATA)
    return file.blob
