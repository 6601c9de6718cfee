"""The folder of payloads: its readers, dead writers, a missing share."""

import os
import stat
import time
from pathlib import Path

import pytest

from mousetrap.jobs import PayloadMissing, StoreUnreachable
from mousetrap.payloads import FolderBackend, Payloads
from mousetrap.payloads.backend import HOME


async def test_its_owner_alone_may_read_what_is_put(tmp_path: Path) -> None:
    reference = await payloads_in(tmp_path).put("run", b"secret")

    assert mode_of(tmp_path / HOME / "run") == 0o700
    assert mode_of(tmp_path / HOME / reference.key) == 0o600


async def test_nothing_half_written_is_left_and_what_a_dead_writer_left_is_swept(tmp_path: Path) -> None:
    payloads = payloads_in(tmp_path)
    await payloads.put("run", b"data")
    assert not halves_in(tmp_path)

    half = tmp_path / HOME / ".half-of-a-dead-writer"
    half.write_bytes(b"da")
    old = time.time() - 7_200
    os.utime(half, (old, old))
    await payloads.sweep(none_known, 3_600.0)

    assert not half.exists()


async def test_a_folder_that_is_not_there_is_an_outage_and_is_not_made(tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    payloads = payloads_in(share)
    reference = await payloads.put("run", b"data")
    share.rename(tmp_path / "unmounted")

    for call in (payloads.put("run", b"other"), payloads.get(reference), payloads.sweep(none_known, 0.0)):
        with pytest.raises(StoreUnreachable, match=r"MOUSETRAP_PAYLOAD_URL.*It must be there"):
            await call
    assert not share.exists()

    (tmp_path / "unmounted").rename(share)
    assert await payloads.get(reference) == b"data"


async def test_a_removed_file_is_missing_and_no_outage(tmp_path: Path) -> None:
    payloads = payloads_in(tmp_path)
    reference = await payloads.put("run", b"data")
    (tmp_path / HOME / reference.key).unlink()

    with pytest.raises(PayloadMissing, match=str(tmp_path)):
        await payloads.get(reference)


async def test_a_sweep_leaves_what_others_keep_in_the_folder(tmp_path: Path) -> None:
    payloads = payloads_in(tmp_path)
    reference = await payloads.put("run", b"data")
    await payloads.put("shared", b"data")
    others = [
        tmp_path / "customer_photos" / "1.jpg",
        tmp_path / HOME / "invoices" / "2024-01.pdf",
        tmp_path / HOME / "invoices" / "deeper" / "01.pdf",
        tmp_path / HOME / "no.run" / ("0" * 64),
        tmp_path / HOME / "shared" / "notes.txt",
    ]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"theirs")

    assert await payloads.sweep(none_known, -60.0) == 1

    assert all(path.read_bytes() == b"theirs" for path in others)
    assert not (tmp_path / HOME / reference.run_id).exists()


async def test_a_run_whose_payloads_cannot_be_removed_keeps_no_other_and_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    payloads = payloads_in(tmp_path)
    for run_id in ("a", "b", "c", "d"):
        await payloads.put(run_id, b"data")
    rmdir = Path.rmdir

    def refused(path: Path) -> None:
        if path.name in "ab":
            raise PermissionError(13, "Permission denied")
        rmdir(path)

    monkeypatch.setattr(Path, "rmdir", refused)

    assert await payloads.sweep(none_known, -60.0) == 2

    assert sorted(path.name for path in (tmp_path / HOME).glob("?")) == ["a", "b"]
    (record,) = caplog.records
    assert "could not remove" in record.message


def payloads_in(folder: Path) -> Payloads:
    return Payloads(FolderBackend(folder), inline=0)


async def none_known(run_ids: object) -> set[str]:
    return set()


def halves_in(folder: Path) -> list[Path]:
    return list(folder.glob("**/.half-*"))


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
