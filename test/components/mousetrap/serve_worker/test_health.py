"""A worker's health without broker or store, or with a blocked loop."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mousetrap.embedded_valkey import EmbeddedValkey
from support.blocking_worker import IN_LOOP, IN_THREAD
from support.ports import closed_port
from support.processes import Process
from support.waiting import until

Start = Callable[..., Process]
pytestmark = pytest.mark.servers

#: The worker checks broker and store as often as it logs its line.
OFTEN = {"MOUSETRAP_HEALTH_PORT": "0", "MOUSETRAP_HEALTH_LINE_SECONDS": "0.1"}


@pytest.fixture
def another_valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A server beside the one that tests share, so that either broker or store can go away."""
    with EmbeddedValkey(tmp_path / "another") as server:
        yield server


@pytest.mark.parametrize("part", ["broker", "store"])
def test_a_worker_lives_without_broker_or_store_and_reports_which_is_away(
    start_worker: Start, runs: Any, another_valkey: EmbeddedValkey, part: str
) -> None:
    worker = start_worker(**OFTEN, **{f"MOUSETRAP_{part.upper()}_URL": another_valkey.url})
    until(lambda: runs.ask(worker, "ready") == (200, "ready"), "it is ready")
    assert runs.ask(worker, "live") == (200, "live")

    another_valkey.stop()
    until(lambda: runs.ask(worker, "ready") == (503, f"waiting for: {part}"), f"it misses its {part}")
    assert runs.ask(worker, "live") == (200, "live")
    worker.wait_for_line(f"{part} away")

    another_valkey.start()
    until(lambda: runs.ask(worker, "ready") == (200, "ready"), "it is ready again")
    assert worker.terminate() == 0


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_a_worker_answers_on_an_address_of_ipv6(start_worker: Start, runs: Any) -> None:
    worker = start_worker(**OFTEN, MOUSETRAP_HEALTH_HOST="::1")

    assert runs.ask(worker, "live") == (200, "live")


def test_a_worker_that_never_found_anybody_lives(start_worker: Start, runs: Any) -> None:
    port = closed_port()
    absent = f"valkey://127.0.0.1:{port}/0"
    worker = start_worker(**OFTEN, MOUSETRAP_BROKER_URL=absent, MOUSETRAP_STORE_URL=absent)

    until(lambda: runs.ask(worker, "ready")[0] == 503, "it is not ready")
    assert runs.ask(worker, "live") == (200, "live")


def test_a_worker_whose_loop_is_blocked_reports_it_until_it_ends(start_worker: Start, runs: Any) -> None:
    worker = start_worker(**OFTEN, MOUSETRAP_AUTO_KILL_SECONDS="10")
    worker.wait_for_line("serving test_in_loop")
    runs.submit(IN_LOOP, "block")

    until(lambda: runs.ask(worker, "live")[0] == 503, "it is not live")
    for what in ("live", "ready"):
        status, reason = runs.ask(worker, what)
        assert (status, reason[:29]) == (503, "the event loop is blocked for")
    assert worker.wait() == 70


def test_an_unknown_path_is_reported(start_worker: Start, runs: Any) -> None:
    worker = start_worker(**OFTEN)

    assert runs.ask(worker, "well") == (404, "no such path")


def test_a_port_that_is_taken_is_a_wrong_setting(start_worker: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        worker = start_worker(MOUSETRAP_HEALTH_PORT=str(port))

        assert worker.wait() == 2
    (line,) = worker.lines
    assert line.startswith(
        f"MOUSETRAP_HEALTH_PORT: cannot listen on 127.0.0.1:{port} (Address already in use)"
    )


def test_a_log_line_shows_what_a_worker_does(start_worker: Start, runs: Any) -> None:
    worker = start_worker(**OFTEN)
    worker.wait_for_line(
        "serving test_in_loop, test_in_thread: 0 running, 0 done, 0 failed, broker ok, store ok"
    )

    waiting = runs.submit(IN_LOOP, "wait")
    worker.wait_for_line(": 1 running, 0 done, 0 failed, broker ok")
    runs.ended(runs.submit(IN_THREAD, "hang"))
    worker.wait_for_line(": 1 running, 1 done, 1 failed, broker ok")
    runs.mark("wait").touch()
    runs.ended(waiting)
    worker.wait_for_line(": 0 running, 2 done, 1 failed, broker ok")
