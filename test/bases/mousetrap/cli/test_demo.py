"""The demo on either queue, and what it reports on failure."""

import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from support.processes import Process
from support.waiting import until

pytestmark = pytest.mark.servers

Living = Callable[[], dict[int, str]]
Start = Callable[..., Process]

#: Seconds: a demo starts five programs, one after its own, and has a minute for its run.
ENDED = 180

SUMMARY = (
    "earthquakes    1,679",
    "quarry blasts  13, counted apart",
    "California           817",
    "Hualian, Taiwan",
)
#: Of the run after it: what follows the fan-out, and a row for a feed of either kind.
COMPARISON = (
    "list        closed: 8 children",
    "fired: 8 of 8 done",
    "8 feeds, 5 with an earthquake of magnitude 6 or more",
    "2018-02-05          244   quiet",
    "2018-02-06          209       1        6.4  22km NNE of Hualian, Taiwan",
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

    assert done.wait(ENDED) == 0, done.output
    for line in (
        "fetch       started by",
        "fetch       finished",
        "process     finished",
        "completed",
        *SUMMARY,
        *COMPARISON,
    ):
        assert line in done.output
    assert "queues   start_fetch, data_processing, feeds_list, feeds_fetch, feeds_count," in done.output
    assert living() == {}
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_same_demo_runs_on_rabbitmq(demo: Start, broker_url: str) -> None:
    done = demo(MOUSETRAP_BROKER_URL=broker_url)

    assert done.wait(ENDED) == 0, done.output
    for line in (*SUMMARY, *COMPARISON):
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
    assert done.wait(ENDED) == 0, done.output


def test_a_program_that_keeps_dying_ends_the_demo_with_the_cause_first(
    demo: Start, living: Living, broker_url: str
) -> None:
    running = demo(MOUSETRAP_BROKER_URL=broker_url)
    with held_up(living):
        kill_each_start(living, "mousetrap.process_worker")

    assert running.wait(60) == 1
    cause, _, last_lines = running.output.partition("the last lines of api:")
    assert "the demo failed: process-worker ended by itself, with SIGKILL" in cause
    assert "Finished server process" in last_lines
    assert "/health/ready" not in running.output
    assert str(urlsplit(broker_url).password) not in running.output.replace("guest:", "")
    assert living() == {}


def test_ctrl_c_ends_the_demo_and_leaves_nothing(demo: Start, living: Living, tmp_path: Path) -> None:
    running = demo()
    with held_up(living):
        running.send(signal.SIGINT)

    assert running.wait(60) == 130
    assert living() == {}
    assert list((tmp_path / "tmp").iterdir()) == []


def wrong(broker_url: str) -> dict[str, tuple[str, str]]:
    """By what is wrong: the address, and the error."""
    parts = urlsplit(broker_url)
    user, place = parts.username, f"{parts.hostname}:{parts.port}"
    return {
        "password": (f"amqp://{user}:s3cret@{place}/", "it refused the login: check user and password"),
        "user": (f"amqp://stranger:s3cret@{place}/", "it refused the login: check user and password"),
        "vhost": (parts._replace(path="/s3cret-host").geturl(), "it refused the virtual host"),
        "port": (
            "amqp://me:s3cret@127.0.0.1:1/",
            "check that it runs and that MOUSETRAP_BROKER_URL names it",
        ),
        "address": (f"amqp://{user}:s3cret@{place}/?heartbeat=x", "MOUSETRAP_BROKER_URL"),
    }


@pytest.mark.parametrize("what", ["password", "user", "vhost", "port", "address"])
def test_a_broker_that_cannot_be_used_is_reported_at_once_with_the_cause_first(
    demo: Start, living: Living, broker_url: str, what: str
) -> None:
    address, error = wrong(broker_url)[what]
    done = demo(MOUSETRAP_BROKER_URL=address)

    assert done.wait(60) in (2, 3)
    assert 1 <= len(done.lines) <= 3, done.output
    assert error in done.lines[0]
    assert "Traceback" not in done.output
    assert "s3cret@" not in done.output
    assert living() == {}


def test_a_broker_that_accepts_connections_and_is_silent_is_given_up_too(demo: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = demo(MOUSETRAP_BROKER_URL=f"amqp://me:s3cret@127.0.0.1:{silent.getsockname()[1]}/")

        assert done.wait(60) == 3
    assert len(done.lines) <= 3
    assert "it does not answer in time: check that it runs" in done.lines[0]


@contextmanager
def held_up(living: Living) -> Iterator[None]:
    """A demo whose fetch worker is stopped, and whose API serves."""
    worker = until(lambda: pids_of(living, "mousetrap.fetch_worker"), "the worker has started")[0]
    os.kill(worker, signal.SIGSTOP)
    try:
        until(lambda: api_answers(living), "the API has started")
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGCONT)


def kill_each_start(living: Living, module: str) -> None:
    """Kills each start of a program as soon as it is there, until its stack has given it up: then its API ends first."""

    def given_up() -> bool:
        for pid in pids_of(living, module):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not pids_of(living, "mousetrap.api")

    until(given_up, f"{module} is started no more")


def pids_of(living: Living, module: str) -> list[int]:
    return [pid for pid, line in living().items() if f"-m {module} " in f"{line} "]


def api_answers(living: Living) -> bool:
    """Whether the demo's API takes connections; its port is among its settings."""
    ports = (re.search(r"-m mousetrap.api .*MOUSETRAP_API_PORT=(\d+)", line) for line in living().values())
    return any(port and answers(int(port[1])) for port in ports)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
