"""Tests that a run waits while the summaries' database is unreachable."""

import asyncio
import logging
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from mousetrap.earthquakes import EARTHQUAKES, Earthquake, Feed
from mousetrap.earthquakes_settings import DATABASE
from mousetrap.handlers import Binding
from mousetrap.job_queue import connect
from mousetrap.pipeline import Pipeline
from mousetrap.retry import RetryPolicy
from mousetrap.run_process_worker import bind_process
from mousetrap.run_store import open_store
from mousetrap.settings import Settings
from mousetrap.shapes import RunState
from mousetrap.summaries import database as sqlite_or_postgresql
from mousetrap.summaries import open_summaries
from support.ports import free_ports
from support.waiting import until
from support.workbench import Workbench

_FEED = Feed("A week", 1, [Earthquake("a", 4.5, "Nowhere", 1, 1.0, 2.0, 3.0, "earthquake")])


class LockedFile:
    """A SQLite file that someone else writes to, and does not come to an end."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "summaries.db"
        self.url = f"sqlite:///{self._file}"

    def goes_away(self) -> None:
        self._other = sqlite3.connect(self._file, isolation_level=None, check_same_thread=False)
        self._other.execute("BEGIN IMMEDIATE")

    def comes_back(self) -> None:
        self._other.close()

    def close(self) -> None:
        """Nothing is left to end."""


class StoppedServer:
    """A PostgreSQL server of the machine's own, that is shut down."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "data"
        self._as = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.getuid() == 0 else []
        folder.chmod(0o777)
        [port] = free_ports(1)
        self._options = f"-h 127.0.0.1 -p {port} -c unix_socket_directories='' -c fsync=off"
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
        self._run("initdb", "-A", "trust", "-U", "postgres", "-N")
        self.comes_back()

    def goes_away(self) -> None:
        self._run("pg_ctl", "-m", "fast", "-w", "stop")

    def comes_back(self) -> None:
        self._run("pg_ctl", "-o", self._options, "-l", str(self._folder / "log"), "-w", "start")

    def close(self) -> None:
        self._run("pg_ctl", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as, program, "-D", str(self._folder), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self._folder.parent)


@pytest.fixture
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LockedFile | StoppedServer]:
    """A database of one's own, which can go away and come back."""
    if request.param is StoppedServer and not (shutil.which("initdb") and shutil.which("pg_ctl")):
        pytest.skip("this machine has no PostgreSQL (initdb and pg_ctl)")
    monkeypatch.setitem(sqlite_or_postgresql._CONNECT["sqlite"], "timeout", 0.01)
    with_others = request.param is StoppedServer and os.getuid() == 0
    folder = (
        Path("/var/tmp") / f"mousetrap-{uuid4().hex}" if with_others else tmp_path_factory.mktemp("database")
    )
    folder.mkdir(exist_ok=True)
    made = request.param(folder)
    yield made
    made.close()
    shutil.rmtree(folder)


def process_stage() -> Pipeline:
    """The example's second stage alone, on a queue of its own, with its pauses a hundredth of what they are."""
    stage = EARTHQUAKES.stages[-1]
    policy = replace(stage.retry, base=stage.retry.base / 100, cap=stage.retry.cap / 100)
    assert policy.attempts == RetryPolicy().attempts
    name = f"process_{uuid4().hex[:8]}"
    return Pipeline(name=name, description="Sums up.", stages=(replace(stage, queue=name, retry=policy),))


@pytest.fixture
def binding(request: pytest.FixtureRequest, database: LockedFile | StoppedServer) -> Binding:
    bound = bind_process(Settings.from_environ({"MOUSETRAP_DATABASE_URL": database.url}, [DATABASE]))
    return Binding(
        pipeline=process_stage(),
        stage=bound.stage_name,
        handler=bound.handler,
        lifespan=bound.lifespan,
        isolated=request.param,
    )


#: Not an isolated handler with a locked file: each try would take the ten seconds that SQLite waits for a lock.
@pytest.mark.parametrize(
    ("database", "binding"),
    [(LockedFile, False), (StoppedServer, False), (StoppedServer, True)],
    ids=["locked file", "stopped server", "stopped server, isolated"],
    indirect=True,
)
async def test_a_run_waits_until_its_database_is_back_and_is_completed_once(
    database: LockedFile | StoppedServer,
    binding: Binding,
    queue_url: str,
    store_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tries = 2 * (binding.stage.retry.attempts or 0)

    def met(outages: int) -> Callable[[], bool]:
        return lambda: sum("an outage, again in" in line for line in caplog.messages) >= outages

    async def story(bench: Workbench) -> None:
        async with bench.working(binding):
            await asyncio.to_thread(until, lambda: "serving" in caplog.text, "the worker serves")
            await asyncio.to_thread(database.goes_away)
            run_id = await bench.submit(msgspec.json.encode(_FEED))
            await asyncio.to_thread(until, met(tries), f"it was tried {tries} times", seconds=60)
            await asyncio.to_thread(database.comes_back)
            run = await bench.ended(run_id)

        assert run.state == RunState.COMPLETED
        assert {event.attempt for event in run.timeline if event.stage and event.attempt} == {1}
        with open_summaries(database.url) as summaries:
            assert summaries.count() == 1

    caplog.set_level(logging.INFO)
    async with (
        connect(queue_url, [binding.stage.queue], name="test") as queue,
        open_store(store_url, retention=3600) as store,
    ):
        await story(Workbench(queue, store, binding.pipeline))
