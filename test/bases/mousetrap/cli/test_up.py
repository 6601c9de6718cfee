"""A stack on this machine: starting, restarting, ending."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mousetrap.embedded_valkey import running_server
from mousetrap.signing import Keyring
from support.clients import http_client
from support.commands import called
from support.ports import closed_port
from support.processes import Process, clean_environment
from support.waiting import until

pytestmark = pytest.mark.servers

Living = Callable[[], dict[int, str]]
Start = Callable[..., Process]


@pytest.fixture
def up(start_base: Start, mark: str) -> Start:
    """Starts `mousetrap up` in the test's folder and waits until it prints its address."""

    def start(**settings: str) -> Process:
        stack = start_base("cli", "up", MOUSETRAP_API_PORT="0", MARK_OF_TEST=mark, **settings)
        stack.wait_for_line("The API is at", seconds=60)
        stack.wait_for_line("mousetrap worker process")
        return stack

    return start


def pid_of_api(living: Living) -> int:
    (pid,) = (pid for pid, line in living().items() if "-m mousetrap.api" in line)
    return pid


def server_answers(folder: Path) -> bool:
    """Whether the embedded server takes connections; it hides its environment, and with it the mark."""
    address = urlsplit((folder / ".mousetrap" / "valkey" / "address").read_text())
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", address.port or 0)) == 0


def test_another_terminal_runs_lists_and_shows_and_ctrl_c_leaves_nothing(
    up: Start, start_base: Start, living: Living, tmp_path: Path
) -> None:
    stack = up()

    run = called(start_base, "run", "earthquakes", "--id", "mine")
    assert run.wait() == 0, run.output
    assert f"mousetrap: using the stack in {tmp_path}/.mousetrap" in run.lines
    for line in ("run mine", " fetch       finished", " process     finished", " completed", "California"):
        assert line in run.output

    listed = called(start_base, "runs", "--json")
    assert listed.wait() == 0
    assert [line["id"] for line in json.loads(listed.output)["runs"]] == ["mine"]

    shown = called(start_base, "show", "mine")
    assert shown.wait() == 0
    assert re.search(r"process +finished +1 +\S+", shown.output)

    def both_serve() -> bool:
        seen = called(start_base, "workers")
        assert seen.wait() == 0
        return seen.output.count(" serving ") == 2

    until(both_serve, "both workers are listed as serving")

    healthy = start_base("cli", "doctor", "--json")
    assert healthy.wait(60) == 0
    assert {check["state"] for check in json.loads(healthy.output)} == {"ok"}

    assert server_answers(tmp_path)
    stack.send(signal.SIGINT)
    assert stack.wait(60) == 0
    assert living() == {}
    assert not server_answers(tmp_path)
    assert not (tmp_path / ".mousetrap" / "environment").exists()
    assert stack.output.count("all work finished") == 2
    assert "Traceback" not in stack.output


def test_sigterm_stops_it_too_and_what_it_keeps_is_ours_alone(
    up: Start, living: Living, tmp_path: Path
) -> None:
    stack = up()
    password = urlsplit((tmp_path / ".mousetrap" / "valkey" / "address").read_text()).password
    assert stack.terminate(60) == 0

    assert living() == {}
    kept = tmp_path / ".mousetrap"
    modes = {path: stat.S_IMODE(path.stat().st_mode) & 0o077 for path in (kept, *kept.rglob("*"))}
    assert {kept / "signing.key", kept / "summaries.db", kept / "valkey" / "address"} <= set(modes)
    assert set(modes.values()) == {0}
    assert str(password) not in stack.output
    key = kept / "signing.key"
    assert len(Keyring.parse(key.read_text()).keys) == 1


def test_a_second_start_keeps_the_key_and_the_runs_which_can_be_repeated(
    up: Start, start_base: Start, tmp_path: Path
) -> None:
    first = up()
    run = called(start_base, "run", "earthquakes", "--id", "kept")
    assert run.wait() == 0
    key = (tmp_path / ".mousetrap" / "signing.key").read_text()
    assert first.terminate(60) == 0

    up()

    shown = called(start_base, "show", "kept", "--json")
    assert shown.wait() == 0
    assert json.loads(shown.output)["state"] == "completed"
    assert (tmp_path / ".mousetrap" / "signing.key").read_text() == key
    again = called(start_base, "rerun", "kept")
    assert again.wait() == 0, again.output


@pytest.mark.parametrize(("what", "variable"), [("broker", "BROKER_URL"), ("store", "STORE_URL")])
def test_a_server_that_is_away_is_reported_before_anything_starts(
    start_base: Start, living: Living, tmp_path: Path, what: str, variable: str
) -> None:
    port = closed_port()
    scheme = "amqp" if what == "broker" else "valkey"
    away = {f"MOUSETRAP_{variable}": f"{scheme}://me:s3cret@127.0.0.1:{port}/"}

    stack = start_base("cli", "up", MOUSETRAP_API_PORT="0", MARK_OF_TEST=str(tmp_path), **away)

    assert stack.wait(60) == 3
    assert 1 <= len(stack.lines) <= 3, stack.output
    assert f"127.0.0.1:{port}" in stack.lines[0]
    assert f"MOUSETRAP_{variable}" in stack.output
    assert "s3cret" not in stack.output
    assert not (tmp_path / ".mousetrap").exists()
    assert living() == {}


def test_a_child_that_dies_is_named_and_takes_the_stack_with_it(up: Start, living: Living) -> None:
    stack = up()

    os.kill(pid_of_api(living), signal.SIGTERM)

    assert stack.wait(60) == 1
    stack.wait_for_line("mousetrap: api ended by itself, with exit code 0; stopping the rest")
    assert living() == {}


def test_an_api_that_was_killed_is_started_again_at_the_same_address(
    up: Start, start_base: Start, living: Living
) -> None:
    stack = up()
    killed, lines_before = pid_of_api(living), len(stack.lines)

    os.kill(killed, signal.SIGKILL)

    line = stack.wait_for_line("ended by itself, with SIGKILL; starting it again in 1 s", after=lines_before)
    assert line.startswith("api ")
    stack.wait_for_line("Uvicorn running on", after=lines_before)
    assert pid_of_api(living) != killed
    run = called(start_base, "run", "earthquakes")
    assert run.wait() == 0, run.output
    assert stack.terminate(60) == 0
    assert living() == {}


def test_a_worker_that_was_killed_is_started_again(up: Start, start_base: Start, living: Living) -> None:
    stack = up()
    stack.wait_for_line("feeds_list, start_fetch")
    (worker,) = (pid for pid, line in living().items() if "-m mousetrap.fetch_worker" in line)
    lines_before = len(stack.lines)

    os.kill(worker, signal.SIGKILL)

    stack.wait_for_line("ended by itself, with SIGKILL; starting it again in 1 s", after=lines_before)
    stack.wait_for_line("feeds_list, start_fetch", after=lines_before)
    run = called(start_base, "run", "earthquakes")
    assert run.wait() == 0
    assert stack.terminate(60) == 0
    assert living() == {}


def test_a_worker_that_ends_as_it_was_asked_to_is_left_out_and_the_stack_goes_on(
    up: Start, start_base: Start, living: Living
) -> None:
    stack = up()
    stack.wait_for_line("feeds_list, start_fetch")
    listed = called(start_base, "workers", "--json")
    assert listed.wait() == 0
    text = listed.output
    (name,) = (it["name"] for it in json.loads(text[text.index("[") :]) if "start_fetch" in it["queues"])

    assert called(start_base, "workers", "stop", name).wait() == 0

    stack.wait_for_line("has ended as it was asked to; it is not started again")
    assert not any("-m mousetrap.fetch_worker" in line for line in living().values())
    assert called(start_base, "workers").wait() == 0
    assert stack.terminate(60) == 0
    assert living() == {}


def test_a_worker_that_cannot_start_takes_the_stack_with_it(start_base: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stack = start_base("cli", "up", MOUSETRAP_API_PORT="0", MOUSETRAP_HEALTH_PORT=str(port))

        assert stack.wait(60) == 1
    stack.wait_for_line("-worker ended by itself, with exit code 2; stopping the rest")


def test_nothing_outlives_a_stack_that_was_killed(up: Start, living: Living, tmp_path: Path) -> None:
    stack = up()
    assert len(living()) > 4

    stack.send(signal.SIGKILL)

    stack.wait()
    until(lambda: not living() and not server_answers(tmp_path), "all processes of the stack are gone")


def test_a_second_ctrl_c_ends_it_at_once(up: Start, living: Living) -> None:
    stack = up()
    (worker,) = (pid for pid, line in living().items() if "-m mousetrap.fetch_worker" in line)
    os.kill(worker, signal.SIGSTOP)  # it cannot finish

    stack.send(signal.SIGINT)
    stack.wait_for_line("stopping: ")
    stack.send(signal.SIGINT)

    assert stack.wait() == 130
    assert living() == {}


def test_a_taken_port_is_reported_with_another_one(start_base: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stack = start_base("cli", "up", MOUSETRAP_API_PORT=str(port))

        assert stack.wait() == 2
    assert f"the API cannot listen on 127.0.0.1:{port}" in stack.output
    assert f"choose another port, as MOUSETRAP_API_PORT={port + 1}, or 0 for a free one" in stack.output


def test_a_folder_that_others_may_enter_is_refused_before_anything_starts(
    start_base: Start, tmp_path: Path
) -> None:
    (tmp_path / ".mousetrap").mkdir()
    (tmp_path / ".mousetrap").chmod(0o777)

    stack = start_base("cli", "up", MOUSETRAP_API_PORT="0")

    assert stack.wait() == 2
    (line,) = stack.lines
    assert line.startswith(f"mousetrap: {tmp_path}/.mousetrap is open to others (mode 777): `chmod 700 ")


# The embedded server's end


def server_pid(folder: Path) -> int:
    pid = running_server(folder / ".mousetrap" / "valkey")
    assert pid is not None
    return pid


def test_the_embedded_server_that_was_killed_is_started_again_with_its_data(
    up: Start, start_base: Start, living: Living, tmp_path: Path
) -> None:
    stack = up()
    assert called(start_base, "run", "earthquakes", "--id", "before").wait() == 0
    lines_before = len(stack.lines)

    os.kill(server_pid(tmp_path), signal.SIGKILL)

    stack.wait_for_line("ended by itself, with SIGKILL; starting it again in 1 s", after=lines_before)
    until(lambda: server_answers(tmp_path), "the server is there again")
    assert called(start_base, "runs").wait() == 0
    shown = called(start_base, "show", "before", "--json")
    assert shown.wait() == 0
    assert json.loads(shown.output)["state"] == "completed"
    assert called(start_base, "run", "earthquakes").wait() == 0
    assert stack.terminate(60) == 0
    assert living() == {}


def test_an_embedded_server_that_keeps_dying_is_given_up_with_its_last_words(
    up: Start, living: Living, tmp_path: Path
) -> None:
    stack = up()

    killed: set[int] = set()
    while stack.running:
        with suppress(AssertionError, ProcessLookupError):
            pid = until(lambda: running_server(tmp_path / ".mousetrap" / "valkey"), "it runs", seconds=5)
            if pid not in killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)

    assert stack.wait(60) == 1
    given_up = r"mousetrap: the embedded Valkey server (ended by itself, with SIGKILL|did not start again): .*the end of"
    assert re.search(given_up, stack.output)
    assert 3 <= len(killed) <= 6
    assert living() == {}


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of six megabytes at `folder`."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m,mode=700", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only who may mount a disk can fill one")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_reported_once_and_its_end_too(up: Start, start_base: Start, tmp_path: Path) -> None:
    folder = tmp_path / ".mousetrap"
    folder.mkdir(mode=0o700)
    with small_disk(folder):
        stack = up()
        assert called(start_base, "run", "earthquakes", "--id", "before").wait() == 0

        fill(folder)
        stack.wait_for_line("the disk is full; it starts again when there is space", 60)
        assert start_base("cli", "runs").wait(60) == 3
        (folder / "filler").unlink()

        stack.wait_for_line("there is space again; starting it", 60)
        assert called(start_base, "runs").wait() == 0
        assert called(start_base, "show", "before").wait() == 0
        assert called(start_base, "run", "earthquakes").wait() == 0
        assert stack.output.count("the disk is full") == 1
        assert stack.terminate(60) == 0


# Two stacks, and what is left of one


def test_what_is_left_of_a_stack_whose_guards_were_killed_too_is_reported_with_how_to_end_it(
    up: Start, start_base: Start, living: Living, tmp_path: Path
) -> None:
    stack = up()
    guards = children_of(stack.pid, "sh -c read -r _")
    assert len(guards) == 2
    for pid in (*guards, stack.pid):
        os.kill(pid, signal.SIGKILL)
    stack.wait()

    seen = start_base("cli", "runs")
    seen.wait(60)
    assert "using the stack" not in seen.output  # the file of a dead stack is not believed
    again = start_base("cli", "up", MOUSETRAP_API_PORT="0")
    assert again.wait() == 2
    (line,) = again.lines
    advice = re.search(
        r"a stack that was killed left processes in .*: end them with `(.*)`, and start again", line
    )
    assert advice
    subprocess.run(["/bin/sh", "-c", advice[1]], check=True)
    until(lambda: not living() and not server_answers(tmp_path), "nothing is left", seconds=60)
    up()


def children_of(parent: int, command: str) -> list[int]:
    listed = subprocess.run(
        ["ps", "axww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    fields = (line.split(None, 2) for line in listed.stdout.splitlines())
    return [int(pid) for pid, ppid, args in fields if int(ppid) == parent and command in args]


def test_a_full_embedded_server_refuses_with_the_reason_and_loses_nothing(
    up: Start, start_base: Start
) -> None:
    stack = up(MOUSETRAP_EMBEDDED_MAX_BYTES="6000000")
    feed = {"url": f"http://10.0.0.1/{'x' * 2000}"}  # refused by the fetch worker, with its story
    accepted = []
    with http_client(api_url(stack)) as api:
        while (answer := api.post("/pipelines/earthquakes/runs", json=feed)).status_code == 202:
            accepted.append(answer.json()["run_id"])
            assert len(accepted) < 5_000

    # One server is store and queue here, and either can be the first to meet the bound.
    full = {f"urn:mousetrap:problem:{kind}" for kind in ("store-full", "queue-full")}
    assert answer.status_code == 503
    assert answer.json()["type"] in full
    assert "memory" in answer.json()["detail"]
    assert stack.terminate(60) == 0

    stack = up()
    with http_client(api_url(stack)) as api:

        def all_ended() -> bool:
            states = {api.get(f"/runs/{run}").json()["state"] for run in accepted}
            return states == {"failed"}

        until(all_ended, "all that were accepted have ended", seconds=120)
        assert api.post("/pipelines/earthquakes/runs", json=feed).status_code == 202


def api_url(stack: Process) -> str:
    return stack.wait_for_line("The API is at").split()[4].rstrip(",")


def test_a_fourth_and_a_fifth_worker_are_started_and_stopped_like_the_others(
    tmp_path: Path,
) -> None:
    code = (
        "from mousetrap.catalogue import WORKERS\n"
        "WORKERS |= {name: WORKERS['fetch'] for name in ('third', 'fourth', 'fifth')}\n"
        "from mousetrap.cli import main\nraise SystemExit(main(['up']))"
    )
    environment = clean_environment(MOUSETRAP_API_PORT="0")

    with Process([sys.executable, "-c", code], environment, tmp_path) as stack:
        for name in ("third-worker", "fourth-worker", "fifth-worker"):
            stack.wait_for_line(name, 60)
        stack.wait_for_line("The API is at", 60)

        assert stack.terminate(60) == 0
    assert stack.output.count("all work finished") == 5


def test_a_disk_that_is_full_from_the_start_is_one_line(start_base: Start, tmp_path: Path) -> None:
    folder = tmp_path / ".mousetrap"
    folder.mkdir(mode=0o700)
    with small_disk(folder):
        fill(folder)
        stack = start_base("cli", "up", MOUSETRAP_API_PORT="0")

        assert stack.wait(60) in (2, 3)
        assert "Traceback" not in stack.output
        assert stack.lines[0].startswith(f"mousetrap: cannot keep data in {folder}")
        assert "No space left on device" in stack.lines[0]


def fill(folder: Path) -> None:
    with (folder / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while filler.write(bytes(4096)):
            pass
