"""A blob of a GiB goes through a worker of 100 MiB."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mousetrap.blobs import Blob
from mousetrap.client import AsyncClient
from mousetrap.pipeline import Pipeline
from mousetrap.settings import Settings
from support import blob_worker
from support.blob_worker import APART, LOOP, THREAD
from support.processes import Process
from support.s3_server import ON_ONE_S3
from support.stack import SIGNING_KEYS

Start = Callable[..., Process]
pytestmark = [pytest.mark.servers, pytest.mark.long]

MIB, GIB = 1024 * 1024, 1024 * 1024 * 1024
#: Of the worker at its peak.
MOST = 100 * MIB


@pytest.mark.test_timeout(230)
@pytest.mark.parametrize(
    ("backend", "pipeline", "size"),
    [
        ("folder", THREAD, GIB),
        # What is held at once is no more for a longer one: 256 MiB too are more than the worker may have.
        ("folder", LOOP, GIB // 4),
        ("folder", APART, GIB // 4),
        ("store", THREAD, GIB // 8),
        ("store", LOOP, GIB // 8),
        ("store", APART, GIB // 8),
        pytest.param("s3", THREAD, GIB // 16, marks=ON_ONE_S3),
        pytest.param("s3", LOOP, GIB // 16, marks=ON_ONE_S3),
        pytest.param("s3", APART, GIB // 16, marks=ON_ONE_S3),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
async def test_a_gib_goes_through_a_worker_of_100_mib(
    start_worker: Start,
    store_url: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    pipeline: Pipeline,
    backend: str,
    size: int,
) -> None:
    where = payload_url(backend, tmp_path, request)
    worker = start_worker(program=blob_worker, MOUSETRAP_CONCURRENCY="1", MOUSETRAP_PAYLOAD_URL=where)
    worker.wait_for_line("serving", 60)
    idle = peak_of(worker.pid)
    settings = Settings(
        broker_url=store_url, store_url=store_url, signing_keys=SIGNING_KEYS, payload_url=where
    )
    os.truncate(os.open(tmp_path / "film", os.O_CREAT | os.O_WRONLY), size)

    film = Blob.of(tmp_path / "film")

    async with AsyncClient(settings=settings) as client:
        run = await client.submit(pipeline, film)
        copied: Blob = await run.wait(timeout=220)

        assert copied.size == size
        assert copied.sha256 == film.sha256
        async for chunk in copied:
            assert not any(chunk[:1]), "the first chunk is there"
            break
    peak = peak_of(worker.pid)
    print(
        f"{backend} {pipeline.name}: {size // MIB} MiB, worker {idle // MIB} MiB idle, {peak // MIB} MiB at its peak"
    )
    assert peak < MOST


def payload_url(backend: str, folder: Path, request: pytest.FixtureRequest) -> str:
    if backend == "s3":
        url: str = request.getfixturevalue("bucket").url
        return url
    if backend == "store":
        return ""
    (folder / "payloads").mkdir()
    return f"file://{folder}/payloads"


def peak_of(pid: int) -> int:
    """The most bytes of memory that the process has had at once."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
