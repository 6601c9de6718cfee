"""Handlers that read and write blobs in their worker."""

import asyncio
import hashlib
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from msgspec.structs import replace

from mousetrap.blobs import Blob, BlobBroken, NewBlob
from mousetrap.handlers import Context
from mousetrap.jobs import Done, GiveUp
from mousetrap.pipeline import write
from support.handler_host import JOB, HandlerBench

DATA = bytes(range(256)) * 40_000  # three chunks


class Film(msgspec.Struct):
    """A blob as a part of a contract."""

    title: str
    frames: Blob


@pytest.fixture
def bench() -> Iterator[HandlerBench]:
    with ThreadPoolExecutor() as threads:
        yield HandlerBench(threads)


def copy(film: Film, context: Context[None]) -> Film:
    with film.frames.open() as source, context.new_blob() as target:
        shutil.copyfileobj(source, target)
    return Film(film.title.upper(), target.blob)


async def copy_async(film: Film, context: Context[None]) -> Film:
    async with context.new_blob() as target:
        async for chunk in film.frames:
            await target.write(chunk)
    return Film(film.title.upper(), target.blob)


@pytest.mark.parametrize("handler", [copy, copy_async])
async def test_a_handler_reads_and_writes_streams(bench: HandlerBench, handler: object) -> None:
    outcome = await bench.run(handler, job=film_job(bench), stage=FILMS)  # type: ignore[arg-type]

    assert isinstance(outcome, Done), outcome
    film = msgspec.json.decode(outcome.output, type=Film)
    assert film.frames.key == f"r/{JOB.id}-7-0"
    assert film.frames.sha256 == hashlib.sha256(DATA).hexdigest()
    assert film.frames.within(bench.host.chunks("r")).open().read() == DATA


async def test_one_attempt_may_write_several(bench: HandlerBench) -> None:
    def split(film: Film, context: Context[None]) -> list[Blob]:
        with context.new_blob() as first, context.new_blob() as second:
            first.write(b"ham")
            second.write(b"egg")
        return [first.blob, second.blob]

    outcome = await bench.run(split, job=film_job(bench), stage=FILMS | {"output": list[Blob]})

    assert isinstance(outcome, Done), outcome
    blobs = msgspec.json.decode(outcome.output, type=list[Blob])
    assert [blob.within(bench.host.chunks("r")).open().read() for blob in blobs] == [b"ham", b"egg"]


async def test_the_blob_of_another_run_is_refused_as_input_and_as_output(bench: HandlerBench) -> None:
    other = stored(bench, "other")
    stolen = replace(JOB, payload=msgspec.Raw(write(Film("f", other), Film)))

    refused = await bench.run(copy, job=stolen, stage=FILMS)
    assert isinstance(refused, GiveUp)
    assert refused.reason == "contract"
    assert "another run" in refused.failure.text
    assert "$.frames" in refused.failure.text

    passed_on = await bench.run(lambda film: Film("f", other), job=film_job(bench), stage=FILMS)
    assert isinstance(passed_on, GiveUp)
    assert passed_on.reason == "contract"


@pytest.mark.parametrize("handler", [copy, copy_async])
@pytest.mark.parametrize("harm", ["gone", "altered"])
async def test_a_blob_that_is_gone_or_altered_gives_the_job_up(
    bench: HandlerBench, handler: object, harm: str
) -> None:
    job = film_job(bench)
    kept = bench.host.chunks("r").kept  # type: ignore[attr-defined]
    if harm == "gone":
        del kept["r", "film", 1]
    else:
        kept["r", "film", 1] = bytes(len(kept["r", "film", 1]))

    outcome = await bench.run(handler, job=job, stage=FILMS)  # type: ignore[arg-type]

    assert isinstance(outcome, GiveUp)
    assert outcome.reason == {"gone": "payload-missing", "altered": "payload-altered"}[harm]
    assert "r/film" in outcome.failure.text
    assert type(bench.errors[-1]) is BlobBroken


async def test_a_handler_s_own_threads_and_tasks_may_read(bench: HandlerBench) -> None:
    def in_threads(film: Film) -> int:
        with ThreadPoolExecutor() as threads:
            return sum(threads.map(lambda _: len(film.frames.open().read()), range(3)))

    async def in_tasks(film: Film) -> int:
        async def count() -> int:
            return sum([len(chunk) async for chunk in film.frames])

        return sum(await asyncio.gather(count(), count(), count()))

    for handler in (in_threads, in_tasks):
        outcome = await bench.run(handler, job=film_job(bench), stage=FILMS | {"output": int})
        assert isinstance(outcome, Done), outcome
        assert bytes(outcome.output) == str(3 * len(DATA)).encode()


FILMS = {"input": Film, "output": Film}


def stored(bench: HandlerBench, run_id: str) -> Blob:
    with NewBlob(bench.host.chunks(run_id), "film") as file:
        file.write(DATA)
    return file.blob


def film_job(bench: HandlerBench):  # type: ignore[no-untyped-def]
    return replace(JOB, payload=msgspec.Raw(write(Film("film", stored(bench, "r")), Film)))
