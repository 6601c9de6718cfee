"""A worker of several processes, and one that starts again after changes."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mousetrap.client import Client
from mousetrap.settings import Settings
from support.ports import free_row
from support.processes import Process, base_command, clean_environment
from support.stack import SIGNING_KEYS
from support.waiting import until

pytestmark = pytest.mark.servers

TASKS = """
import os, time
from pathlib import Path
from mousetrap.handlers import task

@task
def note(mark: str) -> str:
    Path(mark).write_text("begun")
    while not Path(mark + ".go").exists():
        time.sleep(0.02)
    return "ANSWER"
"""

Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path, store_url: str) -> Iterator[Start]:
    """`start("--processes", "2")` starts a worker of ./tasks.py with these options."""
    (tmp_path / "tasks.py").write_text(TASKS.replace("ANSWER", "one"))
    started: list[Process] = []

    def start(*options: str, **settings: str) -> Process:
        servers = {"MOUSETRAP_BROKER_URL": store_url, "MOUSETRAP_STORE_URL": store_url}
        environment = clean_environment(**servers, MOUSETRAP_SIGNING_KEYS=SIGNING_KEYS, **settings)
        command = base_command("cli", "worker", "tasks.py", *options)
        started.append(Process(command, environment, tmp_path))
        return started[-1]

    yield start
    for process in started:
        process.kill()


@pytest.fixture
def client(store_url: str) -> Iterator[Client]:
    settings = Settings(broker_url=store_url, store_url=store_url, signing_keys=SIGNING_KEYS)
    with Client(settings=settings) as client:
        yield client


def children_of(pid: int) -> list[int]:
    """The workers among its child processes; a guard is one, too."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    ).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if "mousetrap.cli worker" in line]


def serving(process: Process) -> int:
    return sum("serving note" in line for line in process.lines)


def change(path: Path, text: str) -> None:
    """Replaces the file in one step: a look between an empty file and a written one would be a change more."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_processes_that_die_are_started_again_and_a_signal_is_passed_on(start: Start) -> None:
    supervisor = start("--processes", "3")
    until(lambda: serving(supervisor) == 3, "three serve")
    first = children_of(supervisor.pid)
    assert len(first) == 3

    os.kill(first[0], signal.SIGKILL)
    supervisor.wait_for_line("ended by itself, with SIGKILL; starting it again in 1 s")
    until(lambda: serving(supervisor) == 4, "another one serves")
    now = children_of(supervisor.pid)
    assert len(now) == 3 and first[0] not in now

    assert supervisor.terminate() == 0
    until(lambda: not any(map(is_alive, now)), "none is left")
    assert sum("stopped: all work finished" in line for line in supervisor.lines) == 3


def test_no_process_outlives_a_supervisor_that_was_killed(start: Start) -> None:
    supervisor = start("--processes", "2")
    until(lambda: serving(supervisor) == 2, "two serve")
    pids = children_of(supervisor.pid)
    assert len(pids) == 2

    os.kill(supervisor.pid, signal.SIGKILL)

    until(lambda: not any(map(is_alive, pids)), "none is left")


def test_a_process_that_was_asked_to_stop_is_not_started_again_and_the_last_one_ends_all(
    start: Start,
) -> None:
    supervisor = start("--processes", "2")
    until(lambda: serving(supervisor) == 2, "two serve")
    first, second = children_of(supervisor.pid)

    os.kill(first, signal.SIGTERM)
    until(lambda: children_of(supervisor.pid) == [second], "the other goes on")
    os.kill(second, signal.SIGTERM)

    assert supervisor.wait() == 0
    assert serving(supervisor) == 2


def test_a_second_signal_ends_all_at_once(start: Start, tmp_path: Path, client: Client) -> None:
    supervisor = start("--processes", "2")
    until(lambda: serving(supervisor) == 2, "two serve")
    client.submit("note", str(tmp_path / "mark"))
    until(lambda: (tmp_path / "mark").exists(), "its handler runs")

    supervisor.send(signal.SIGTERM)
    supervisor.wait_for_line("stopped: all work finished")
    supervisor.send(signal.SIGTERM)

    assert supervisor.wait() == 75


def test_what_cannot_be_loaded_ends_all_with_its_exit_code(start: Start, tmp_path: Path) -> None:
    supervisor = start("--processes", "2", "--", "absent.py")

    assert supervisor.wait() == 2
    supervisor.wait_for_line("absent.py")


def test_each_process_has_a_health_port_of_its_own(start: Start) -> None:
    first = free_row(2)
    supervisor = start("--processes", "2", MOUSETRAP_HEALTH_PORT=str(first))
    for port in (first, first + 1):
        supervisor.wait_for_line(f"health endpoint: http://127.0.0.1:{port}/health/live")


def test_a_change_starts_it_again_once_what_runs_is_finished(
    start: Start, tmp_path: Path, client: Client
) -> None:
    supervisor = start("--reload")
    until(lambda: serving(supervisor) == 1, "it serves")
    running = client.submit("note", str(tmp_path / "mark"))
    until(lambda: (tmp_path / "mark").exists(), "its handler runs")

    change(tmp_path / "tasks.py", TASKS.replace("ANSWER", "another"))
    supervisor.wait_for_line("tasks.py changed; starting again")
    (tmp_path / "mark.go").touch()
    assert running.wait(60) == "one"
    until(lambda: serving(supervisor) == 2, "it serves again")
    assert client.submit("note", str(tmp_path / "mark")).wait(60) == "another"

    change(tmp_path / "tasks.py", "this is no Python")
    supervisor.wait_for_line("ended with exit code 2; it starts again after a change")
    change(tmp_path / "tasks.py", TASKS)
    until(lambda: serving(supervisor) == 3, "it serves once that is corrected")
    assert supervisor.terminate() == 0
