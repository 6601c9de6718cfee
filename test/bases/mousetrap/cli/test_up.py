"""Shows that a stack that was started here serves, and that it ends as a whole however it ends."""

import json
import os
import re
import signal
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mousetrap.signing import Keyring
from support.processes import Process
from support.waiting import until

pytestmark = pytest.mark.servers

Living = Callable[[], dict[int, str]]
Start = Callable[..., Process]


@pytest.fixture
def up(start_base: Start, mark: str) -> Start:
    """Starts `mousetrap up` in the test's folder and waits until it tells its address."""

    def start(**settings: str) -> Process:
        stack = start_base("cli", "up", MOUSETRAP_API_PORT="0", MARK_OF_TEST=mark, **settings)
        stack.wait_for_line("The API is at", seconds=60)
        stack.wait_for_line("mousetrap worker process")
        return stack

    return start


def exports(stack: Process) -> dict[str, str]:
    """What the stack tells another terminal to set."""
    told = (
        line.removeprefix("  export ").split("=", 1) for line in stack.lines if line.startswith("  export ")
    )
    return dict(told)


def server_port(stack: Process) -> int:
    return urlsplit(Path(exports(stack)["MOUSETRAP_STORE_URL_FILE"]).read_text()).port or 0


def server_answers(stack: Process) -> bool:
    """Whether the embedded server takes connections; it hides its environment, and with it the mark."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", server_port(stack))) == 0


def request(stack: Process) -> str:
    """The input for a run that needs no internet, as the stack tells it."""
    found = re.search(r"mousetrap run earthquakes --input '(.*)'", stack.output)
    assert found
    return found[1]


def test_another_terminal_runs_lists_and_shows_and_ctrl_c_leaves_nothing(
    up: Start, start_base: Start, living: Living
) -> None:
    stack = up()
    terminal = exports(stack)

    run = start_base("cli", "run", "earthquakes", "--input", request(stack), "--id", "mine", **terminal)
    assert run.wait(60) == 0, run.output
    for line in ("run mine", " fetch       finished", " process     finished", " completed", "California"):
        assert line in run.output

    listed = start_base("cli", "runs", "--json", **terminal)
    assert listed.wait(60) == 0
    assert [line["id"] for line in json.loads(listed.output)["runs"]] == ["mine"]

    shown = start_base("cli", "show", "mine", **terminal)
    assert shown.wait(60) == 0
    assert re.search(r"process +finished +1 +\S+", shown.output)

    seen = start_base("cli", "workers", **terminal)
    assert seen.wait(60) == 0
    assert seen.output.count(" serving ") == 2

    healthy = start_base("cli", "doctor", "--json", **terminal)
    assert healthy.wait(60) == 0
    assert {check["state"] for check in json.loads(healthy.output)} == {"ok"}

    assert server_answers(stack)
    stack.send(signal.SIGINT)
    assert stack.wait(60) == 0
    assert living() == {}
    assert not server_answers(stack)
    assert stack.output.count("all work finished") == 2
    assert "Traceback" not in stack.output


def test_a_run_that_fails_says_why_and_exits_1(up: Start, start_base: Start) -> None:
    terminal = exports(up())
    run = start_base("cli", "run", "earthquakes", "--input", '{"url": "http://10.0.0.1/"}', **terminal)

    assert run.wait(60) == 1
    assert "FeedRefused: http://10.0.0.1/ points into our own network" in run.output
    assert "Traceback" not in run.output


def test_a_repeated_key_follows_the_first_run_and_prints_it_as_json(
    up: Start, start_base: Start, tmp_path: Path
) -> None:
    stack = up()
    (tmp_path / "input.json").write_text(request(stack))
    twice = [
        start_base(
            "cli", "run", "earthquakes", "--input", "@input.json", "--key", "k", "--json", **exports(stack)
        )
        for _ in range(2)
    ]

    assert [run.wait(60) for run in twice] == [0, 0]
    first, second = (json.loads(run.output) for run in twice)
    assert first["state"] == "completed"
    for shown in (first, second):  # how far a stage had come is noted on the side, and may be noted late
        del shown["progress"]
    assert first == second


def test_ctrl_c_leaves_the_run_and_says_where_it_is(up: Start, start_base: Start) -> None:
    stack = up(MOUSETRAP_FETCH_ALLOW="127.0.0.1:1")
    refused = '{"url": "http://127.0.0.1:1/"}'  # nobody listens there: it is retried for many seconds
    run = start_base("cli", "run", "earthquakes", "--input", refused, **exports(stack))
    run.wait_for_line("retrying", seconds=30)

    run.send(signal.SIGINT)

    assert run.wait() == 130
    assert "the run goes on: `mousetrap show " in run.output
    assert "Traceback" not in run.output


def test_sigterm_stops_it_too_and_what_it_keeps_is_ours_alone(
    up: Start, living: Living, tmp_path: Path
) -> None:
    stack = up()
    password = urlsplit(Path(exports(stack)["MOUSETRAP_STORE_URL_FILE"]).read_text()).password
    assert stack.terminate(60) == 0

    assert living() == {}
    kept = tmp_path / ".mousetrap"
    modes = {path: stat.S_IMODE(path.stat().st_mode) & 0o077 for path in (kept, *kept.rglob("*"))}
    assert {kept / "signing.key", kept / "summaries.db", kept / "valkey" / "address"} <= set(modes)
    assert set(modes.values()) == {0}
    assert str(password) not in stack.output
    key = kept / "signing.key"
    assert len(Keyring.parse(key.read_text()).keys) == 1


def test_a_second_start_keeps_the_key_and_the_runs(up: Start, start_base: Start, tmp_path: Path) -> None:
    first = up()
    run = start_base("cli", "run", "earthquakes", "--input", request(first), "--id", "kept", **exports(first))
    assert run.wait(60) == 0
    key = (tmp_path / ".mousetrap" / "signing.key").read_text()
    assert first.terminate(60) == 0

    second = up()

    shown = start_base("cli", "show", "kept", "--json", **exports(second))
    assert shown.wait(60) == 0
    assert json.loads(shown.output)["state"] == "completed"
    assert (tmp_path / ".mousetrap" / "signing.key").read_text() == key


def test_a_child_that_dies_is_named_and_takes_the_stack_with_it(up: Start, living: Living) -> None:
    stack = up()

    (api,) = (pid for pid, line in living().items() if "-m mousetrap.api" in line)
    os.kill(api, signal.SIGKILL)

    assert stack.wait(60) == 1
    stack.wait_for_line("mousetrap: api ended by itself, with SIGKILL; stopping the rest")
    assert living() == {}


def test_a_worker_that_was_killed_is_started_again(up: Start, start_base: Start, living: Living) -> None:
    stack = up()
    stack.wait_for_line("serving start_fetch", 30)
    (worker,) = (pid for pid, line in living().items() if "-m mousetrap.fetch_worker" in line)
    heard = len(stack.lines)

    os.kill(worker, signal.SIGKILL)

    stack.wait_for_line("ended by itself, with SIGKILL; starting it again in 1 s", 30, after=heard)
    stack.wait_for_line("serving start_fetch", 30, after=heard)
    run = start_base("cli", "run", "earthquakes", "--input", request(stack), **exports(stack))
    assert run.wait(60) == 0
    assert stack.terminate(60) == 0
    assert living() == {}


def test_a_worker_that_cannot_start_takes_the_stack_with_it(start_base: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stack = start_base("cli", "up", MOUSETRAP_API_PORT="0", MOUSETRAP_HEALTH_PORT=str(port))

        assert stack.wait(60) == 1
    stack.wait_for_line("-worker ended by itself, with exit code 2; stopping the rest")


def test_nothing_outlives_a_stack_that_was_killed(up: Start, living: Living) -> None:
    stack = up()
    assert len(living()) > 4

    stack.send(signal.SIGKILL)

    stack.wait()
    until(lambda: not living() and not server_answers(stack), "all processes of the stack are gone")


def test_a_second_ctrl_c_ends_it_at_once(up: Start, living: Living) -> None:
    stack = up()
    (worker,) = (pid for pid, line in living().items() if "-m mousetrap.fetch_worker" in line)
    os.kill(worker, signal.SIGSTOP)  # it cannot finish

    stack.send(signal.SIGINT)
    stack.wait_for_line("stopping: ")
    stack.send(signal.SIGINT)

    assert stack.wait(20) == 130
    assert living() == {}


def test_a_taken_port_is_told_with_another_one(start_base: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stack = start_base("cli", "up", MOUSETRAP_API_PORT=str(port))

        assert stack.wait() == 2
    assert f"the API cannot listen on 127.0.0.1:{port}" in stack.output
    assert f"`MOUSETRAP_API_PORT={port + 1} mousetrap up`" in stack.output


def test_a_folder_that_others_may_enter_is_refused_before_anything_starts(
    start_base: Start, tmp_path: Path
) -> None:
    (tmp_path / ".mousetrap").mkdir()
    (tmp_path / ".mousetrap").chmod(0o777)

    stack = start_base("cli", "up", MOUSETRAP_API_PORT="0")

    assert stack.wait() == 2
    (line,) = stack.lines
    assert line.startswith(f"mousetrap: {tmp_path}/.mousetrap is open to others (mode 777): `chmod 700 ")
