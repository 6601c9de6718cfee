"""Uses one stack from other terminals."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.commands import called
from support.processes import Process, base_command, clean_environment

# None of them changes what the others see: a stack for each would take three seconds of processor time.
pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.xdist_group("one stack")]

README = Path(__file__).parents[4] / "README.md"

Start = Callable[..., Process]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the stack and the other terminals are."""
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Process]:
    """The stack, once it serves; its fetch worker may ask a port at which nothing listens."""
    settings = clean_environment(MOUSETRAP_API_PORT="0", MOUSETRAP_FETCH_ALLOW="127.0.0.1:1")
    with Process(base_command("cli", "up"), settings, folder) as started:
        started.wait_for_line("The API is at", 60)
        started.wait_for_line("mousetrap worker process")
        yield started


@pytest.fixture
def start(stack: Process, folder: Path) -> Iterator[Start]:
    """Starts a base in another terminal; it ends with the test."""
    started: list[Process] = []

    def start(base: str, *arguments: str) -> Process:
        started.append(Process(base_command(base, *arguments), clean_environment(), folder))
        return started[-1]

    yield start
    for process in started:
        process.kill()


def request(stack: Process) -> str:
    """The input for a run that needs no internet, as the stack suggests it."""
    found = re.search(r"curl -d '(.*)' http", stack.output)
    assert found
    return found[1]


def test_a_run_that_fails_reports_why_and_exits_1(start: Start) -> None:
    run = called(start, "run", "earthquakes", "--input", '{"url": "http://10.0.0.1/"}')

    assert run.wait() == 1
    assert "FeedRefused: http://10.0.0.1/ points to a private network" in run.output
    assert re.search(r"redrive it  mousetrap dead redrive --run \w+", run.output)
    assert "Traceback" not in run.output


def test_a_repeated_key_follows_the_first_run_and_prints_it_as_json(
    stack: Process, start: Start, folder: Path
) -> None:
    (folder / "input.json").write_text(request(stack))
    twice = [
        start("cli", "run", "earthquakes", "--input", "@input.json", "--key", "k", "--json") for _ in range(2)
    ]

    assert [run.wait(60) for run in twice] == [0, 0]
    first, second = (json.loads(run.output) for run in twice)
    assert first["state"] == "completed"
    for shown in (first, second):  # how far a stage had come is noted on the side, and may be noted late
        del shown["progress"]
    assert first == second


def test_ctrl_c_leaves_the_run_and_reports_where_it_is(start: Start) -> None:
    refused = '{"url": "http://127.0.0.1:1/"}'  # nothing listens there: it is retried for many seconds
    run = start("cli", "run", "earthquakes", "--input", refused)
    run.wait_for_line("retrying")

    run.send(signal.SIGINT)

    assert run.wait() == 130
    assert "the run goes on: `mousetrap show " in run.output
    assert "Traceback" not in run.output


def test_a_second_stack_in_the_same_folder_is_refused_with_the_first_ones_address(
    start: Start, folder: Path
) -> None:
    second = start("cli", "up")

    assert second.wait() == 2
    (line,) = second.lines
    assert line.startswith(
        f"mousetrap: a stack runs in {folder}/.mousetrap already, its API at http://127.0.0.1:"
    )


def test_a_worker_started_by_hand_joins_the_stack_and_reports_it(start: Start, folder: Path) -> None:
    worker = start("cli", "worker", "process", "--burst")

    assert worker.wait(60) == 0, worker.output
    assert worker.lines[0].endswith(f"using the stack in {folder}/.mousetrap")


def test_the_readme_s_script_starts_a_run_of_the_stack_and_gets_its_result(
    stack: Process, folder: Path
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (script,) = (block for block in blocks if "import Client" in block)

    done = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert "Hualian" in done.stdout
