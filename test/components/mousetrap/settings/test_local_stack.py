"""Tests when the stack of this folder is used."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mousetrap.settings import (
    Settings,
    SettingsWrong,
    announced,
    find_stack,
    local_environment,
    overridden,
)

HERE = {"MOUSETRAP_STORE_URL_FILE": "/s/address", "MOUSETRAP_FEED_URL": "http://here/"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that a stack runs in, and that we are in."""
    (tmp_path / ".mousetrap").mkdir(mode=0o700)
    monkeypatch.chdir(tmp_path)
    with announced(tmp_path / ".mousetrap", HERE):
        yield tmp_path


def test_the_stack_of_this_folder_is_used_and_named(folder: Path) -> None:
    notes: list[str] = []
    assert local_environment({"HOME": "/me"}, notes.append) == {"HOME": "/me", **HERE}
    assert notes == [f"using the stack in {folder}/.mousetrap"]


def test_it_is_found_from_a_folder_below(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "development" / "deep").mkdir(parents=True)
    monkeypatch.chdir(folder / "development" / "deep")
    assert local_environment({}) == HERE


def test_a_script_that_names_no_group_may_ignore_the_settings_of_a_stack_s_workers(folder: Path) -> None:
    (folder / "address").write_text("valkey://here/0")
    with announced(folder / ".mousetrap", {**HERE, "MOUSETRAP_STORE_URL_FILE": str(folder / "address")}):
        assert Settings.from_environ(local_environment({})).store_url == "valkey://here/0"

    with pytest.raises(SettingsWrong, match="MOUSETRAP_FEED_URL: there is no such setting"):
        Settings.from_environ({"MOUSETRAP_FEED_URL": "http://mine/"})


def test_a_worker_s_options_keep_the_settings_of_a_stack_s_workers_ignored(folder: Path) -> None:
    with announced(folder / ".mousetrap", {"MOUSETRAP_FEED_URL": "http://stack/"}):
        environ = overridden(local_environment({}), {"MOUSETRAP_CONCURRENCY": "3"})
        assert Settings.from_environ(environ).concurrency == 3

    with pytest.raises(SettingsWrong, match="MOUSETRAP_FEED_URL: there is no such setting"):
        Settings.from_environ(overridden(environ, {"MOUSETRAP_FEED_URL": "http://mine/"}))


@pytest.mark.parametrize("name", ["MOUSETRAP_FEED_URL", "MOUSETRAP_FEED_URL_FILE"])
def test_the_environment_comes_first(folder: Path, name: str) -> None:
    assert local_environment({name: "x"}) == {
        name: "x",
        "MOUSETRAP_STORE_URL_FILE": "/s/address",
    }


@pytest.mark.parametrize(
    "name",
    [
        "MOUSETRAP_BROKER_URL",
        "MOUSETRAP_BROKER_URL_FILE",
        "MOUSETRAP_STORE_URL",
        "MOUSETRAP_API_URL",
        "RABBITMQ_HOST",
    ],
)
def test_an_environment_that_names_another_stack_is_never_mixed_with_this_one(
    folder: Path, name: str
) -> None:
    notes: list[str] = []
    assert local_environment({name: "elsewhere"}, notes.append) == {name: "elsewhere"}
    assert notes == []


def test_a_stack_that_ended_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / ".mousetrap").mkdir(mode=0o700)
    with announced(tmp_path / ".mousetrap", HERE):
        assert find_stack(tmp_path) is not None
    assert find_stack(tmp_path) is None
    assert list((tmp_path / ".mousetrap").iterdir()) == []


_KILLED = """
import os, signal, sys
from pathlib import Path
from mousetrap.settings import announced
with announced(Path(sys.argv[1]), {"MOUSETRAP_FEED_URL": "http://dead/"}):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_file_of_a_stack_that_was_killed_is_not_believed_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".mousetrap").mkdir(mode=0o700)
    killed = subprocess.run([sys.executable, "-c", _KILLED, tmp_path / ".mousetrap"], check=False)

    assert killed.returncode < 0
    left = tmp_path / ".mousetrap" / "environment"
    assert "http://dead/" in left.read_text()
    assert find_stack(tmp_path) is None

    monkeypatch.chdir(tmp_path)
    notes: list[str] = []
    assert local_environment({}, notes.append) == {}
    assert notes == [
        f"the stack of {left} has ended: start it again with `mousetrap up`, or remove that file"
    ]
    local_environment({"MOUSETRAP_BROKER_URL": "valkey://here/0"}, notes.append)
    assert len(notes) == 1, "with an address of its own, no stack is looked for"


def test_a_file_that_others_may_have_written_is_not_believed(folder: Path) -> None:
    path = folder / ".mousetrap" / "environment"
    for changed, mode in ((path, 0o660), (path.parent, 0o755)):
        before = changed.stat().st_mode
        changed.chmod(mode)
        assert find_stack(folder) is None
        changed.chmod(before)
    assert find_stack(folder) is not None

    if os.geteuid() == 0:
        os.chown(path.parent, 65534, 65534)
        assert find_stack(folder) is None
        os.chown(path.parent, 0, 0)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    derandomize=True,
)
@given(value=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_whatever_a_setting_holds_is_found_as_it_is_and_a_shell_reads_the_same(
    tmp_path: Path, value: str
) -> None:
    place = tmp_path / ".mousetrap"
    place.mkdir(mode=0o700, exist_ok=True)
    with announced(place, {"MOUSETRAP_SIGNING_KEYS": value}):
        found = find_stack(tmp_path)
        assert found is not None
        assert found.variables == {"MOUSETRAP_SIGNING_KEYS": value}
        shell = '. "$0/environment"; printf %s "$MOUSETRAP_SIGNING_KEYS"'
        seen = subprocess.run(["/bin/sh", "-c", shell, place], capture_output=True, check=True)
        assert seen.stdout.decode() == value
