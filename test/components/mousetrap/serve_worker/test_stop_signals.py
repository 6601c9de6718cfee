"""A worker stops in time, whatever its handlers ignore or leave."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mousetrap.pipeline import Pipeline
from mousetrap.shapes import RunState
from support import hanging_worker
from support.hanging_worker import ISOLATED, LEAVES, LIMITED, SOFTLY, SWALLOWS
from support.processes import Process, clean_environment
from support.stack import SIGNING_KEYS
from support.waiting import until

Start = Callable[..., Process]
pytestmark = pytest.mark.servers
#: Seconds, generous: that it ended.
ENDED = 60


@pytest.fixture
def start_hanging(start_worker: Start) -> Start:
    """Starts a worker of `hanging_worker`, and returns once it serves."""

    def start(**settings: str) -> Process:
        worker = start_worker(program=hanging_worker, **settings)
        worker.wait_for_line("serving test_isolated", ENDED)
        return worker

    return start


@pytest.mark.parametrize("pipeline", [LIMITED, SOFTLY])
def test_the_hard_time_limit_wins_over_an_async_handler_and_the_watchdog_ends_its_worker(
    start_hanging: Start, runs: Any, pipeline: Pipeline
) -> None:
    worker = start_hanging(MOUSETRAP_AUTO_KILL_SECONDS="2")
    run_id = runs.submit(pipeline, "stay")

    run = runs.ended(run_id)
    assert (run.state, run.failure.kind.rpartition(".")[2]) == (RunState.FAILED, "TimeLimitExceeded")
    line = worker.wait_for_line("a handler was asked to stop", ENDED)
    assert run_id in line
    worker.wait_for_line("hanging_worker.py", ENDED)
    assert worker.wait(ENDED) == 70


@pytest.mark.parametrize("how", ["stay", "sleep", "deaf"])
def test_a_second_signal_ends_a_worker_though_its_handler_swallows_it_or_stops_the_loop(
    start_hanging: Start, runs: Any, how: str
) -> None:
    first = start_hanging()
    run_id = runs.submit(SWALLOWS, how)
    until(lambda: runs.mark(how).exists(), "its handler is at work", ENDED)

    first.send(signal.SIGTERM)  # two of one number at once are one
    first.send(signal.SIGINT)
    assert first.wait(ENDED) == 75
    assert "of grace" not in first.output  # which would end it too, later
    assert run_id in first.output or how in ("sleep", "deaf")
    assert "hanging_worker.py" in first.output  # where the handler is

    start_hanging()
    assert runs.ended(run_id).result == "done"


@pytest.mark.parametrize("how", ["stay", "sleep", "deaf"])
def test_the_end_of_the_grace_ends_a_worker_whatever_its_handler_does(
    start_hanging: Start, runs: Any, how: str
) -> None:
    worker = start_hanging(MOUSETRAP_GRACE_SECONDS="1")
    runs.submit(SWALLOWS, how)
    until(lambda: runs.mark(how).exists(), "its handler is at work", ENDED)

    assert worker.terminate(ENDED) == 75
    assert "hanging_worker.py" in worker.output


def test_a_storm_of_signals_ends_a_worker_as_two_do(start_hanging: Start, runs: Any) -> None:
    worker = start_hanging()
    runs.submit(SWALLOWS, "stay")
    until(lambda: runs.mark("stay").exists(), "its handler is at work", ENDED)

    for number in (signal.SIGTERM, signal.SIGINT) * 50:
        if worker.running:
            worker.send(number)
    assert worker.wait(ENDED) == 75
    assert "Traceback" not in worker.output


def test_a_log_without_a_reader_keeps_no_worker_from_its_end(store_url: str, runs: Any) -> None:
    settings = clean_environment(
        MOUSETRAP_BROKER_URL=store_url,
        MOUSETRAP_STORE_URL=store_url,
        MOUSETRAP_SIGNING_KEYS=SIGNING_KEYS,
        MOUSETRAP_GRACE_SECONDS="1",
        PYTHONPATH=str(Path(hanging_worker.__file__).parents[1]),
    )
    command = [sys.executable, str(hanging_worker.__file__)]
    with subprocess.Popen(command, env=settings, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as worker:
        try:
            assert worker.stderr is not None
            while b"serving" not in worker.stderr.readline():
                pass
            runs.submit(LEAVES, "flood")
            until(runs.mark("flood").exists, "its handler is at work", ENDED)
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(ENDED) == 75
        finally:
            worker.kill()


def test_a_cancelled_run_s_handler_that_goes_on_keeps_no_worker_from_its_end(
    start_hanging: Start, runs: Any
) -> None:
    worker = start_hanging()
    run_id = runs.submit(SWALLOWS, "stay")
    until(lambda: runs.mark("stay").exists(), "its handler is at work", ENDED)
    runs.cancel(run_id)
    worker.wait_for_line("stopping an attempt: its run was cancelled", ENDED)

    assert worker.terminate(ENDED) == 0
    assert "a handler did not stop and is left behind" in worker.output


@pytest.mark.parametrize(
    ("pipeline", "how", "named"),
    [
        (LEAVES, "thread", "thread left by a handler"),
        (LEAVES, "process", "process left child (pid "),
        (LEAVES, "atexit", "MainThread"),
        (SWALLOWS, "default-executor", "left behind: thread "),
        (SWALLOWS, "background", "stays: cancelled, and still running"),
    ],
)
def test_what_a_handler_left_behind_is_named_and_keeps_no_process(
    start_hanging: Start, runs: Any, pipeline: Pipeline, how: str, named: str
) -> None:
    worker = start_hanging(MOUSETRAP_LOG_LEVEL="INFO")
    run_id = runs.submit(pipeline, how)
    if how == "default-executor":
        until(lambda: runs.mark(how).exists(), "its handler is at work", ENDED)
        runs.cancel(run_id)
        worker.wait_for_line("stopping an attempt", ENDED)
    else:
        runs.ended(run_id)

    worker.send(signal.SIGTERM)
    until(lambda: not worker.running, "it ends", ENDED)
    if how == "process":  # which has the worker's output open, whose end is waited for below
        pid = worker.wait_for_line(named, ENDED).partition(named)[2].partition(")")[0]
        os.kill(int(pid), signal.SIGKILL)
    assert worker.wait(ENDED) == 0
    assert named in worker.output
    worker.wait_for_line("stopped: all work finished")


@pytest.mark.parametrize("pipeline", [LEAVES, ISOLATED])
def test_a_signal_to_a_process_that_a_handler_forked_ends_that_process_alone(
    start_hanging: Start, runs: Any, pipeline: Pipeline
) -> None:
    worker = start_hanging()
    ways = {"fork": "-15", "pool": "[1, 2]", "preexec": "-15", "os.fork": "0"}
    ended = {how: runs.ended(runs.submit(pipeline, how)) for how in ways}

    assert {how: run.result for how, run in ended.items()} == ways
    assert worker.running
    assert worker.terminate(ENDED) == 0


@pytest.mark.parametrize(
    ("how", "code", "text"),
    [
        ("slow to open", 0, "stopped: all work finished"),
        ("never opens", 75, "was asked to stop and has not ended"),
    ],
)
def test_a_worker_whose_lifespan_does_not_open_ends_when_it_is_asked_to(
    start_worker: Start, how: str, code: int, text: str
) -> None:
    worker = start_worker(program=hanging_worker, MOUSETRAP_TEST_LIFESPAN=how, MOUSETRAP_GRACE_SECONDS="1")
    worker.wait_for_line("opening", ENDED)

    assert worker.terminate(ENDED) == code
    assert text in worker.output
    assert "serving test_" not in worker.output


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("slow to close", "what the stages need did not close"),
        ("never closes", "was asked to stop and has not ended"),
    ],
)
def test_a_worker_whose_lifespan_does_not_close_ends_in_its_grace(
    start_hanging: Start, how: str, text: str
) -> None:
    worker = start_hanging(MOUSETRAP_TEST_LIFESPAN=how, MOUSETRAP_GRACE_SECONDS="1")

    assert worker.terminate(ENDED) in (0, 75)
    assert text in worker.output
