"""Serves the API in a thread, with a real store and queue."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from mousetrap.earthquakes import EARTHQUAKES
from mousetrap.jobs import Done, Failure, GiveUp, Job, Outcome, first_job
from mousetrap.run_store import Granted, RunStore, open_store
from mousetrap.shapes import Progress
from support import waiting_worker
from support.processes import Process, clean_environment
from support.stack import SIGNING_KEYS

Serve = Callable[..., httpx.Client]


@pytest.fixture
def api(serve: Serve) -> httpx.Client:
    """A client of an API without keys."""
    return serve()


@pytest.fixture(params=["broker_url", "store_url"], ids=["rabbitmq", "streams"])
def each_broker_url(request: pytest.FixtureRequest) -> str:
    """Each kind of queue in turn."""
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture
def start_waiting(each_broker_url: str, store_url: str) -> Iterator[Callable[..., Process]]:
    """`start_waiting(MOUSETRAP_…="…")` starts the worker whose jobs wait, with one slot; it beats all the time."""
    started: list[Process] = []

    def start(**settings: str) -> Process:
        given = {
            "MOUSETRAP_BROKER_URL": each_broker_url,
            "MOUSETRAP_STORE_URL": store_url,
            "MOUSETRAP_SIGNING_KEYS": SIGNING_KEYS,
            "MOUSETRAP_CONCURRENCY": "1",
            "MOUSETRAP_PREFETCH": "1",
            "MOUSETRAP_HEALTH_LINE_SECONDS": "0.1",
            "PYTHONPATH": str(Path(waiting_worker.__file__).parents[1]),
            **settings,
        }
        command = [sys.executable, str(waiting_worker.__file__)]
        started.append(Process(command, clean_environment(**given)))
        started[-1].wait_for_line("serving waiting_do")
        return started[-1]

    yield start
    for process in started:
        process.kill()


@pytest.fixture(params=[2, 5], ids=["format 2", "format 5"])
def kind_of_runs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The wire format of the runs that the API begins in this test's process."""
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", request.param)
    kind: int = request.param
    return kind


@pytest.fixture
def worker(store_url: str) -> "Worker":
    """What a worker would do to the store that the API uses."""
    return Worker(store_url)


@pytest.fixture
def worker_of() -> type["Worker"]:
    """The same, for another store."""
    return Worker


class Worker:
    """Does to the store what a worker does for a run's jobs."""

    def __init__(self, store_url: str) -> None:
        self._url = store_url
        #: The claims of first stages that are not decided, by run.
        self._begun: dict[str, int] = {}

    def begin(self, run_id: str) -> None:
        """The run's first stage is started."""

        async def begin(store: RunStore) -> None:
            self._begun[run_id] = await _claim(store, await _first_job(store, run_id))

        self._with_store(begin)

    def report(self, run_id: str, progress: Progress) -> None:
        self._with_store(lambda store: store.report(run_id, progress))

    def keep_value(self, run_id: str, value: object) -> None:
        """The first stage's handler, which has begun, yielded its first value."""
        raw = msgspec.json.encode(value)

        async def keep(store: RunStore) -> None:
            job = await _first_job(store, run_id)
            await store.keep_value(job.id, run_id, "fetch", 1, self._begun[run_id], "w1", 1, raw)

        self._with_store(keep)

    def complete(self, run_id: str, result: object) -> None:
        """Both of the run's stages are done, with this result."""
        self._end(run_id, Done(msgspec.Raw(msgspec.json.encode(result))))

    def fail(self, run_id: str, text: str, traceback: str = "") -> None:
        """The run's first stage is done, and its last one given up."""
        self._end(run_id, GiveUp("not-retryable", Failure(kind="Broken", text=text, traceback=traceback)))

    def _end(self, run_id: str, outcome: Outcome) -> None:
        async def end(store: RunStore) -> None:
            first, output = await _first_job(store, run_id), msgspec.Raw(b"{}")
            fence = self._begun.pop(run_id, 0) or await _claim(store, first)
            decided = await store.decide(
                first, Done(output), fence=fence, worker="w1", last=False, next_stage="process"
            )
            assert decided == "recorded"
            last = first.following("process", bytes(output), fence=fence)
            fence = await _claim(store, last)
            assert await store.decide(last, outcome, fence=fence, worker="w1", last=True) == "recorded"

        self._with_store(end)

    def _with_store(self, act: Callable[[RunStore], Coroutine[Any, Any, object]]) -> None:
        async def run() -> None:
            async with open_store(self._url, retention=600) as store:
                await act(store)

        asyncio.run(run())


async def _first_job(store: RunStore, run_id: str) -> Job:
    run = await store.get(run_id)
    assert run is not None
    return first_job(
        run_id=run_id,
        pipeline=EARTHQUAKES.name,
        stage="fetch",
        payload=b"{}",
        accepted_ms=run.accepted_ms,
    )


async def _claim(store: RunStore, job: Job) -> int:
    claim = await store.claim(job, worker="w1", redelivered=False, lease=30)
    assert isinstance(claim, Granted)
    return claim.fence
