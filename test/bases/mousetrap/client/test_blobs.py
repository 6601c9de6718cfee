"""Blobs are submitted as files, and results are read as streams."""

import asyncio
import shutil
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec
import pytest

from mousetrap.blobs import Blob
from mousetrap.client import AsyncClient, Client, RunFailed
from mousetrap.handlers import Context, task
from mousetrap.payloads import PayloadOptions
from mousetrap.pipeline import ContractBroken
from mousetrap.settings import Settings
from support.workbench import Workbench, on_streams, workbench_for

KEYS = "test:a-secret-for-the-tests"
DATA = bytes(range(256)) * 40_000  # three chunks
pytestmark = on_streams


class Film(msgspec.Struct):
    """A blob as a part of a contract."""

    title: str
    frames: Blob


@task
def copy(film: Film, context: Context[None]) -> Film:
    with film.frames.open() as source, context.new_blob() as target:
        shutil.copyfileobj(source, target)
    return Film(film.title.upper(), target.blob)


@pytest.fixture
def settings(queue_url: str, store_url: str, tmp_path: Path) -> Settings:
    (tmp_path / "payloads").mkdir()
    return Settings(
        broker_url=queue_url,
        store_url=store_url,
        signing_keys=KEYS,
        payload_url=f"file://{tmp_path}/payloads",
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "film").write_bytes(DATA)
    return tmp_path / "film"


async def test_a_file_goes_in_and_a_stream_comes_out(settings: Settings, path: Path) -> None:
    async with (
        opened(settings) as bench,
        bench.working(copy.binding),
        AsyncClient(settings=settings) as client,
    ):
        run = await client.submit(copy, Film("film", Blob.of(path)))
        film = await run.wait(timeout=60)

        assert b"".join([chunk async for chunk in film.frames]) == DATA
        shown = await run.status()
        assert shown.result == {"title": "FILM", "frames": msgspec.to_builtins(film.frames)}
        assert shown.input["frames"]["blob"].startswith(f"{run.id}/")

        again = await run.rerun()
        copied = await again.wait(timeout=60)
        assert copied.frames.run_id == again.id
        assert b"".join([chunk async for chunk in copied.frames]) == DATA

        with pytest.raises(ContractBroken, match="its own blobs alone"):
            await client.submit(copy, film)


async def test_the_blocking_client_reads_it_as_a_file(settings: Settings, path: Path) -> None:
    def script() -> bytes:
        with Client(settings=settings) as client:
            film = client.submit(copy, Film("film", Blob.of(path))).wait(timeout=60)
            with film.frames.open() as file:
                return file.read()

    async with (
        opened(settings) as bench,
        bench.working(copy.binding),
    ):
        assert await asyncio.to_thread(script) == DATA


async def test_the_same_file_under_a_unique_key_is_the_first_run(settings: Settings, path: Path) -> None:
    async with (
        opened(settings),
        AsyncClient(settings=settings) as client,
    ):
        first, again = [
            await client.submit(copy, Film("film", Blob.of(path)), unique="film") for _ in range(2)
        ]

        assert first.id == again.id
        assert not again.new


async def test_a_blob_that_was_altered_fails_the_run_with_its_reason(settings: Settings, path: Path) -> None:
    async with (
        opened(settings) as bench,
        AsyncClient(settings=settings) as client,
    ):
        run = await client.submit(copy, Film("film", Blob.of(path)))
        chunk = next(Path(settings.payload_url.removeprefix("file://")).glob(f"*/{run.id}/*-000001"))  # noqa: ASYNC240
        chunk.write_bytes(bytes(chunk.stat().st_size))
        async with bench.working(copy.binding):
            with pytest.raises(RunFailed, match="was altered"):
                await run.wait(timeout=60)
        letter = await bench.dead_letter("copy")
        assert letter.headers["mousetrap-reason"] == "payload-altered"


def opened(settings: Settings) -> AbstractAsyncContextManager[Workbench]:
    """A bench for the task, with the settings' payloads."""
    payloads = PayloadOptions.of(settings)
    return workbench_for(copy.pipeline, settings.broker_url, settings.store_url, payloads=payloads)
