"""Serves the API in a thread, with a real store and queue."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import msgspec
import pytest

from mousetrap.earthquakes import EARTHQUAKES
from mousetrap.jobs import Done, Failure, GiveUp, Job, Outcome, first_job
from mousetrap.run_store import Granted, RunStore, open_store
from mousetrap.settings import Settings
from mousetrap.shapes import Progress
from support.api_server import serving
from support.clients import http_client
from support.processes import Process
from support.workbench import just_now_ms

Serve = Callable[..., httpx.Client]


@pytest.fixture
def serve(store_url: str) -> Iterator[Serve]:
    """`serve(api_keys="…")` starts an API with these settings and gives a client of it; both end with the test."""
    with ExitStack() as stack:

        def start(**settings: Any) -> httpx.Client:
            given = Settings(**{"broker_url": store_url, "store_url": store_url, **settings})
            return stack.enter_context(http_client(stack.enter_context(serving(given))))

        yield start


@pytest.fixture
def api(serve: Serve) -> httpx.Client:
    """A client of an API without keys."""
    return serve()


@pytest.fixture
def start_api(
    start_base: Callable[..., Process], store_url: str
) -> Iterator[Callable[..., tuple[Process, httpx.Client]]]:
    """`start_api(MOUSETRAP_…="…")` starts the API as a program of its own, and gives a client of it as well."""
    with ExitStack() as stack:

        def start(**settings: str) -> tuple[Process, httpx.Client]:
            servers = {"MOUSETRAP_BROKER_URL": store_url, "MOUSETRAP_STORE_URL": store_url}
            process = start_base("api", **{**servers, "MOUSETRAP_API_PORT": "0", **settings})
            url = process.wait_for_line("Uvicorn running on").partition(" running on ")[2].split()[0]
            return process, stack.enter_context(http_client(url))

        yield start


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

    def begin(self, run_id: str) -> None:
        """The run's first stage is started."""
        self._with_store(lambda store: _claim(store, _job(run_id, "fetch")))

    def report(self, run_id: str, progress: Progress) -> None:
        self._with_store(lambda store: store.report(run_id, progress))

    def keep_value(self, run_id: str, value: object) -> None:
        """The first stage's handler, which has begun, yielded its first value."""
        raw = msgspec.json.encode(value)
        job = _job(run_id, "fetch")
        self._with_store(lambda store: store.keep_value(job.id, run_id, "fetch", 1, 1, "w1", 1, raw))

    def complete(self, run_id: str, result: object) -> None:
        """The run's last stage is done, with this result."""
        self._end(run_id, Done(msgspec.Raw(msgspec.json.encode(result))))

    def fail(self, run_id: str, text: str, traceback: str = "") -> None:
        """The run's last stage is given up."""
        self._end(run_id, GiveUp("not-retryable", Failure(kind="Broken", text=text, traceback=traceback)))

    def _end(self, run_id: str, outcome: Outcome) -> None:
        async def end(store: RunStore) -> None:
            job = _job(run_id, "process")
            fence = await _claim(store, job)
            assert await store.decide(job, outcome, fence=fence, worker="w1", last=True) == "recorded"

        self._with_store(end)

    def _with_store(self, act: Callable[[RunStore], Coroutine[Any, Any, object]]) -> None:
        async def run() -> None:
            async with open_store(self._url, retention=600) as store:
                await act(store)

        asyncio.run(run())


def _job(run_id: str, stage: str) -> Job:
    return first_job(
        run_id=run_id, pipeline=EARTHQUAKES.name, stage=stage, payload=b"{}", accepted_ms=just_now_ms()
    )


async def _claim(store: RunStore, job: Job) -> int:
    claim = await store.claim(job, worker="w1", redelivered=False, lease=30)
    assert isinstance(claim, Granted)
    return claim.fence
