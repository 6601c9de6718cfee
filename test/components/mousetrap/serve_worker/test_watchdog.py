"""A blocked worker logs its stack and ends; another does its jobs."""

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from mousetrap.shapes import Run, RunState
from support.blocking_worker import IN_LOOP, IN_THREAD
from support.processes import Process
from support.waiting import until

Start = Callable[..., Process]
pytestmark = pytest.mark.servers


def workers_of(run: Run) -> list[int]:
    """The process ids of the workers that began an attempt of the run, in turn."""
    return [int((event.worker or "").split("-")[-2]) for event in run.timeline if event.kind == "started"]


@pytest.mark.parametrize(
    ("how", "seconds", "code", "text", "place"),
    [
        # After twice as long it ends with 1: there are some seconds between for a busy machine.
        ("block", "4", 70, "this worker ends with exit code 70", "time.sleep(3600)"),
        ("lock", "2", 1, "Timeout (0:00:04)!", "in on_the_loop"),  # faulthandler prints no source lines
    ],
)
def test_a_worker_whose_loop_is_blocked_shows_its_stack_and_ends_and_the_next_does_the_job(
    start_worker: Start, runs: Any, how: str, seconds: str, code: int, text: str, place: str
) -> None:
    first = start_worker(MOUSETRAP_AUTO_KILL_SECONDS=seconds)
    first.wait_for_line("serving test_in_loop")
    run_id = runs.submit(IN_LOOP, how)

    assert first.wait() == code
    first.wait_for_line(text)
    first.wait_for_line(place)

    second = start_worker()
    run = runs.ended(run_id)
    assert (run.state, run.result) == (RunState.COMPLETED, "done")
    assert workers_of(run) == [first.pid, second.pid]


def test_the_stacks_are_logged_once_before_the_end(start_worker: Start, runs: Any) -> None:
    worker = start_worker("--auto-kill-timeout", "4")
    worker.wait_for_line("serving test_in_loop")
    runs.submit(IN_LOOP, "block")

    assert worker.wait() == 70
    (first,) = (n for n, line in enumerate(worker.lines) if "what the threads do:" in line)
    (last,) = (n for n, line in enumerate(worker.lines) if "this worker ends with exit code 70" in line)
    assert first < last
    assert worker.output.count("thread MainThread:") == 1


def test_a_worker_that_was_paused_goes_on(start_worker: Start, runs: Any) -> None:
    # After twice as long without a turn of any thread it ends: there are some seconds between for a busy machine.
    worker = start_worker(MOUSETRAP_AUTO_KILL_SECONDS="6")
    worker.wait_for_line("serving test_in_loop")

    worker.send(signal.SIGSTOP)
    paused = time.monotonic()
    until(lambda: time.monotonic() > paused + 7, "it was paused for longer than its loop may be blocked")
    worker.send(signal.SIGCONT)

    runs.mark("well").touch()
    run = runs.ended(runs.submit(IN_LOOP, "well"))
    assert workers_of(run) == [worker.pid]


def test_a_handler_that_does_not_stop_ends_its_worker_once_the_others_have_finished(
    start_worker: Start, runs: Any
) -> None:
    first = start_worker(MOUSETRAP_AUTO_KILL_SECONDS="2", MOUSETRAP_HEALTH_PORT="0")
    first.wait_for_line("serving test_in_loop")
    waiting = runs.submit(IN_LOOP, "wait")
    hanging = runs.submit(IN_THREAD, "hang")

    first.wait_for_line("a handler was asked to stop")
    first.wait_for_line("time.sleep(3600)")
    until(lambda: runs.ask(first, "ready") == (503, "draining"), "it takes no more")
    runs.mark("late").touch()
    late = runs.submit(IN_LOOP, "late")
    runs.mark("wait").touch()

    assert first.wait() == 70
    assert workers_of(runs.ended(waiting)) == [first.pid]
    second = start_worker()
    assert workers_of(runs.ended(late)) == [second.pid]
    run = runs.ended(hanging)
    assert (run.state, run.result) == (RunState.COMPLETED, "done")


def test_a_hung_handler_does_not_keep_a_worker_that_is_asked_to_stop(start_worker: Start, runs: Any) -> None:
    worker = start_worker()
    worker.wait_for_line("serving test_in_loop")
    run = runs.ended(runs.submit(IN_THREAD, "hang"))
    assert [event.kind for event in run.timeline].count("started") == 2

    assert worker.terminate() == 0
