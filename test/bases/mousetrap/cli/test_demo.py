"""Shows that the demo runs by itself, on either queue, and that it says what was wrong when it cannot."""

import os
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from support.processes import Process
from support.waiting import until

pytestmark = pytest.mark.servers

Living = Callable[[], dict[int, str]]
Start = Callable[..., Process]

SUMMARY = (
    "earthquakes    1,679",
    "quarry blasts  13, counted apart",
    "California           817",
    "Hualian, Taiwan",
)


@pytest.fixture
def demo(start_base: Start, mark: str, tmp_path: Path) -> Start:
    """Starts `mousetrap demo`, its temporary folders in the test's own."""

    def start(**settings: str) -> Process:
        (tmp_path / "tmp").mkdir()
        return start_base("cli", "demo", TMPDIR=str(tmp_path / "tmp"), MARK_OF_TEST=mark, **settings)

    return start


def test_the_demo_shows_each_stage_and_the_summary_and_leaves_nothing(
    demo: Start, living: Living, tmp_path: Path
) -> None:
    done = demo()

    assert done.wait(90) == 0, done.output
    for line in (
        "fetch       started by",
        "fetch       finished",
        "process     finished",
        "completed",
        *SUMMARY,
    ):
        assert line in done.output
    assert "start_fetch, data_processing at valkey://127.0.0.1:" in done.output
    assert living() == {}
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_same_demo_runs_on_rabbitmq(demo: Start, broker_url: str) -> None:
    done = demo(MOUSETRAP_BROKER_URL=broker_url)

    assert done.wait(90) == 0, done.output
    for line in SUMMARY:
        assert line in done.output
    assert "RabbitMQ's queues stay, the rest is removed" in done.output
    vhost = broker_url.rpartition("/")[2]
    assert f"rabbitmqctl -p {vhost} list_queues name type messages" in done.output


def test_a_stack_elsewhere_and_its_settings_do_not_matter(demo: Start) -> None:
    done = demo(
        MOUSETRAP_BROKER_URL="valkey://127.0.0.1:1/0",
        MOUSETRAP_STORE_URL="valkey://127.0.0.1:1/0",
        MOUSETRAP_DATABASE_URL="postgresql+psycopg://127.0.0.1:1/none",
        MOUSETRAP_API_HOST="0.0.0.0",
        MOUSETRAP_API_KEYS="ci:read:" + "0" * 64,
    )
    assert done.wait(90) == 0, done.output


#: Nobody listens there, so that the demo waits for a broker.
NOWHERE = "amqp://me:secret@127.0.0.1:1/"


def test_a_program_that_dies_ends_the_demo_with_what_all_said_last(demo: Start, living: Living) -> None:
    running = demo(MOUSETRAP_BROKER_URL=NOWHERE)
    until(lambda: api_answers(living), "the API has started", seconds=30)

    os.kill(pid_of(living, "mousetrap.api"), signal.SIGKILL)

    assert running.wait(60) == 1
    assert "the demo failed: api ended by itself, with SIGKILL" in running.output
    assert "the last that api said:" in running.output
    assert "Started server process" in running.output
    assert "secret" not in running.output
    assert living() == {}


def test_ctrl_c_ends_the_demo_and_leaves_nothing(demo: Start, living: Living, tmp_path: Path) -> None:
    running = demo(MOUSETRAP_BROKER_URL=NOWHERE)
    until(lambda: api_answers(living), "the API has started", seconds=30)

    running.send(signal.SIGINT)

    assert running.wait(60) == 130
    assert living() == {}
    assert list((tmp_path / "tmp").iterdir()) == []


def pid_of(living: Living, module: str) -> int:
    (pid,) = (pid for pid, line in living().items() if f"-m {module}" in line)
    return pid


def api_answers(living: Living) -> bool:
    """Whether the demo's API takes connections; its port is among its settings."""
    ports = (re.search(r"-m mousetrap.api .*MOUSETRAP_API_PORT=(\d+)", line) for line in living().values())
    return any(port and answers(int(port[1])) for port in ports)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
