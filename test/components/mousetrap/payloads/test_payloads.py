"""Payloads by reference, on each backend."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast
from uuid import uuid4

import pytest
from msgspec import UNSET

from mousetrap.jobs import PayloadAltered, PayloadMissing, Reference, StoreUnreachable
from mousetrap.payloads import Backend, FolderBackend, Payloads, PayloadTooLarge, StoreBackend
from mousetrap.store_client import open_client
from support.ports import closed_port
from support.s3_server import ON_ONE_S3

_MIB = 1024 * 1024
Opened = Callable[[], AbstractAsyncContextManager[Backend]]


@pytest.fixture(
    params=[
        pytest.param("store", marks=pytest.mark.servers),
        "folder",
        pytest.param("s3", marks=[pytest.mark.servers, ON_ONE_S3]),
    ]
)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """Opens the backend of the test; each time the same."""
    if request.param == "s3":
        return cast(Opened, request.getfixturevalue("bucket").opened)
    store_url = request.getfixturevalue("store_url") if request.param == "store" else ""

    @asynccontextmanager
    async def in_store() -> AsyncIterator[Backend]:
        client = open_client(store_url, None)
        try:
            yield StoreBackend(client, "here", 3600)
        finally:
            await client.close()

    @asynccontextmanager
    async def in_folder() -> AsyncIterator[Backend]:
        yield FolderBackend(tmp_path)

    return in_store if store_url else in_folder


@pytest.mark.parametrize("size", [0, 1, 65_537, _MIB, 3 * _MIB + 1])
async def test_what_was_put_is_read_by_another_process(opened: Opened, size: int) -> None:
    data = (uuid4().bytes * (size // 16 + 1))[:size]
    async with opened() as backend:
        reference = await Payloads(backend, inline=10).put(a_run(), data)
    async with opened() as backend:
        assert await Payloads(backend, inline=10).get(reference) == data

    assert reference.size == size


async def test_only_a_large_payload_is_put(opened: Opened) -> None:
    async with opened() as backend:
        payloads = Payloads(backend, inline=10)
        assert await payloads.put_large(a_run(), b"x" * 10) is UNSET
        assert isinstance(await payloads.put_large(a_run(), b"x" * 11), Reference)


async def test_the_same_bytes_of_a_run_are_one_payload_and_others_another(opened: Opened) -> None:
    run = a_run()
    async with opened() as backend:
        payloads = Payloads(backend, inline=0)
        first, again, other = [await payloads.put(run, data) for data in (b"same", b"same", b"else")]
        assert first == again != other
        assert [await payloads.get(each) for each in (first, other)] == [b"same", b"else"]


async def test_a_payload_that_is_too_large_is_refused_with_the_setting(opened: Opened) -> None:
    async with opened() as backend:
        with pytest.raises(PayloadTooLarge, match=r"11 bytes, and MOUSETRAP_PAYLOAD_MAX_BYTES allows 10"):
            await Payloads(backend, inline=1, largest=10).put(a_run(), b"x" * 11)


async def test_no_run_id_leads_to_another_place(opened: Opened) -> None:
    async with opened() as backend:
        for run_id in ("..", "a/b", "", "x" * 65):
            with pytest.raises(ValueError, match="under which no payload can be kept"):
                await Payloads(backend, inline=0).put(run_id, b"data")


async def test_a_missing_and_an_altered_payload_are_errors_with_the_correction(opened: Opened) -> None:
    run = a_run()
    async with opened() as backend:
        payloads = Payloads(backend, inline=0)
        reference = await payloads.put(run, b"the original")
        for changed in (b"the 0riginal", b"the origina", b"the original!"):
            await backend.write(reference, changed)
            with pytest.raises(PayloadAltered, match="Put the original back from a copy") as altered:
                await payloads.get(reference)
            assert backend.place in str(altered.value)
            assert backend.place not in altered.value.outside()
        await backend.delete_run(run, time.time() + 60)
        with pytest.raises(PayloadMissing, match=rf"{reference.key} \(12 bytes\) is not in .*PAYLOAD_URL"):
            await payloads.get(reference)
        with pytest.raises(PayloadMissing):
            await payloads.get(replace(reference, key=f"{a_run()}/{reference.name}"))


async def test_a_sweep_removes_what_belongs_to_no_known_run_and_is_old(opened: Opened) -> None:
    known, forgotten, fresh = a_run(), a_run(), a_run()

    async def are_known(run_ids: object) -> set[str]:
        return {known}

    async with opened() as backend:
        clock = time.time()
        payloads = Payloads(backend, inline=0, now=lambda: clock)
        kept, gone = [await payloads.put(run, run.encode()) for run in (known, forgotten)]
        clock += 120
        assert await swept(payloads, are_known, 300.0) == 0
        assert await payloads.get(gone)
        clock += 300
        assert await swept(payloads, are_known, 300.0) >= 1
        new = await payloads.put(fresh, b"fresh")
        assert await payloads.get(kept) == known.encode()
        assert await payloads.get(new) == b"fresh"
        with pytest.raises(PayloadMissing):
            await payloads.get(gone)
        assert await swept(payloads, are_known, 300.0) >= 0


async def test_a_payload_that_was_put_again_meanwhile_is_not_swept(opened: Opened) -> None:
    run = a_run()
    async with opened() as backend:
        payloads = Payloads(backend, inline=0)
        before = await payloads.put(run, b"data")
        # A sweep found the run older than this, and its submitter puts its input again.
        looked_at = time.time() - 60
        await payloads.put(run, b"data")
        await backend.delete_run(run, looked_at)
        assert await payloads.get(before) == b"data"


async def test_many_runs_are_swept_page_by_page(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mousetrap.payloads.folder_backend._PAGE", 4)  # each run waits for the disk twice

    async def none_is_known(run_ids: object) -> set[str]:
        return set()

    async with opened() as backend:
        runs = [a_run() for _ in range(600 if isinstance(backend, StoreBackend) else 10)]
        payloads = Payloads(backend, inline=0, now=lambda: time.time() + 1_000)
        references = [await payloads.put(run, b"x") for run in runs]
        assert await swept(payloads, none_is_known, 500.0) >= len(runs)
        for reference in (references[0], references[-1]):
            with pytest.raises(PayloadMissing):
                await payloads.get(reference)


async def test_a_store_that_is_away_is_no_missing_payload() -> None:
    client = open_client(f"valkey://127.0.0.1:{closed_port()}/0", None)
    payloads = Payloads(StoreBackend(client, "here", 3600), inline=0)
    for call in (payloads.put("run", b"data"), payloads.get(Reference(key="run/x", sha256="0" * 64, size=1))):
        with pytest.raises(StoreUnreachable):
            await call
    await client.close()


async def swept(payloads: Payloads, known: object, grace: float) -> int:
    """One round."""
    return await payloads.sweep(known, grace)  # type: ignore[arg-type]


def a_run() -> str:
    return uuid4().hex
