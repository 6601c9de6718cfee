"""Tests which files and folders count as private."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mousetrap.settings import NotPrivate, check_private, make_private_folder, write_private


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_folder_is_ours_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_private_folder(tmp_path / "new")
        write_private(tmp_path / "new" / "key", "secret")
    finally:
        os.umask(before)

    assert (mode(tmp_path / "new"), mode(tmp_path / "new" / "key")) == (0o700, 0o600)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    derandomize=True,
)
@given(bits=st.integers(0, 0o77))
def test_any_bit_for_others_makes_a_folder_and_a_file_refused(tmp_path: Path, bits: int) -> None:
    (tmp_path / "file").touch()
    for path, ours in ((tmp_path / "file", 0o600), (tmp_path, 0o700)):
        path.chmod(ours | bits)
        try:
            if bits:
                with pytest.raises(NotPrivate, match=f"`chmod {ours:o} "):
                    check_private(path)
            else:
                check_private(path)
        finally:
            path.chmod(ours)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_belongs_to_another_user_is_refused_wherever_it_is(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "planted").touch()
    os.chown(tmp_path / "deep" / "planted", 65534, 65534)
    with pytest.raises(
        NotPrivate, match=r"planted belongs to another user \(uid 65534, we are 0\): remove it"
    ):
        make_private_folder(tmp_path)

    os.chown(tmp_path, 65534, 65534)
    try:
        with pytest.raises(NotPrivate, match="belongs to another user"):
            make_private_folder(tmp_path)
    finally:
        os.chown(tmp_path, 0, 0)


def test_a_link_is_refused_wherever_it_leads(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(NotPrivate, match="is a link"):
        make_private_folder(tmp_path / "link")
    with pytest.raises(NotPrivate, match="is a link"):
        make_private_folder(tmp_path)


def test_what_an_earlier_version_left_readable_is_closed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for path, bits in ((tmp_path / "data", 0o755), (tmp_path / "data" / "summaries.db", 0o644)):
        path.touch() if not path.exists() else None
        path.chmod(bits)

    make_private_folder(tmp_path)

    assert (mode(tmp_path / "data"), mode(tmp_path / "data" / "summaries.db")) == (0o700, 0o600)


def test_a_file_is_replaced_as_a_whole_and_a_half_one_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "key.new").write_text("half")
    write_private(tmp_path / "key", "first")
    write_private(tmp_path / "key", "second")

    assert (tmp_path / "key").read_text() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
