"""Starts a deployment of real processes: API and workers."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx

from mousetrap.earthquakes import EARTHQUAKES
from mousetrap.job_queue import connect
from support.clients import accepted_run, http_client, is_ready
from support.feed import Feed
from support.processes import Process
from support.waiting import until
from support.workbench import connected

SIGNING_KEYS = "test:a-secret-for-the-tests"

_RUNS = f"/pipelines/{EARTHQUAKES.name}/runs"


class Stack:
    """Starts processes that share a broker, a store and a database, and speaks to the API among them."""

    def __init__(
        self, start: Callable[..., Process], folder: Path, feed: Feed, *, broker_url: str, store_url: str
    ) -> None:
        self._start = start
        self._database = folder / "summaries.db"
        self._feed = feed
        self._settings = {
            "MOUSETRAP_BROKER_URL": broker_url,
            "MOUSETRAP_STORE_URL": store_url,
            "MOUSETRAP_DATABASE_URL": f"sqlite:///{self._database}",
            "MOUSETRAP_SIGNING_KEYS": SIGNING_KEYS,
            "MOUSETRAP_FETCH_ALLOW": feed.place,
            "MOUSETRAP_FETCH_SECONDS": "120",  # a held feed must not look like a failing one
            "MOUSETRAP_API_PORT": "0",
        }
        self._processes: list[Process] = []
        self.api_process = self.start("api")
        line = self.api_process.wait_for_line("Uvicorn running on")
        address = line.partition(" running on ")[2].split()[0]
        #: Bears as many callers at once as a test has.
        self.api = http_client(address, limits=httpx.Limits(max_connections=100))

    def start(self, base: str, **more: str) -> Process:
        """A base as a process with the settings of this deployment, and `more`."""
        self._processes.append(self._start(base, **{**self._settings, **more}))
        return self._processes[-1]

    def start_workers(self, **more: str) -> tuple[Process, Process]:
        """One for each stage; both serve."""
        fetch, process = self.start_workers_early(**more)
        fetch.wait_for_line("feeds_list, start_fetch")
        process.wait_for_line("serving data_processing")
        return fetch, process

    def start_workers_early(self, **more: str) -> tuple[Process, Process]:
        """One for each stage, whatever is there."""
        return self.start("fetch_worker", **more), self.start("process_worker", **more)

    def close(self) -> None:
        self.api.close()

    def until_ready(self) -> None:
        """Returns once the API reaches broker and store: on a busy machine its first connection can take seconds."""
        until(lambda: is_ready(self.api), "the API is ready")

    def post(self, **headers: str) -> httpx.Response:
        """The API's answer to a request for a run on the feed."""
        return self.api.post(_RUNS, json={"url": self._feed.url}, headers=headers)

    def submit(self) -> str:
        """The id of a run that was accepted."""
        return accepted_run(self.api, _RUNS, {"url": self._feed.url})

    def run(self, run_id: str) -> dict[str, Any] | None:
        """The run as the API shows it; None while broker or store is away."""
        answer = self.api.get(f"/runs/{run_id}")
        if answer.status_code == 503:
            return None
        run: dict[str, Any] = answer.raise_for_status().json()
        return run

    def until_event(self, run_id: str, kind: str, stage: str) -> None:
        """Returns once the run's timeline has such an event."""
        until(lambda: events(self.run(run_id), kind, stage), f"{kind} {stage}")

    def completed(self, run_id: str) -> dict[str, Any]:
        """The run, once it has ended, which it must have done well and once."""

        def ended() -> dict[str, Any] | None:
            run = self.run(run_id)
            return run if run and run["state"] in ("completed", "failed", "rejected") else None

        try:
            run = until(ended, f"run {run_id} ends", seconds=60)
        except AssertionError as late:
            outputs = "\n\n".join(f"{each.name}:\n{each.output}" for each in self._processes)
            raise AssertionError(f"{late}; its run: {self.run(run_id)}\n\n{outputs}") from None
        assert run["state"] == "completed", run
        assert len(events(run, "completed")) == 1
        return run

    def states(self) -> list[str]:
        """Where each run stands; none while the store is away."""
        states: list[str] = []
        page: dict[str, Any] = {"next": None}
        while not states or page["next"]:
            place = {"after": page["next"]} if page["next"] else {}
            answer = self.api.get("/runs", params={"limit": 200, **place})
            if answer.status_code == 503:
                return []
            page = answer.raise_for_status().json()
            states += [run["state"] for run in page["runs"]]
        return states

    def summaries(self) -> list[str]:
        """The run of each stored summary."""
        with closing(sqlite3.connect(self._database, timeout=10)) as database:
            return [run for (run,) in database.execute("SELECT run_id FROM mousetrap_summaries")]

    @contextmanager
    def locked_database(self) -> Iterator[None]:
        """No summary can be stored in this block; an attempt waits some seconds."""
        with closing(sqlite3.connect(self._database, timeout=10, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            yield


#: `deploy(broker_url, store_url)` starts an API there.
Deploy = Callable[[str, str], Stack]


def url_once_ready(api: Process) -> str:
    """Where the API serves, once it reaches broker and store."""
    url = api.wait_for_line("Uvicorn running on").partition(" running on ")[2].split()[0]
    with http_client(url) as client:
        until(lambda: is_ready(client), "the API is ready")
    return url


def events(run: dict[str, Any] | None, kind: str, stage: str | None = None) -> list[dict[str, Any]]:
    """The events of a kind in the run's timeline."""
    timeline = run["timeline"] if run else []
    return [event for event in timeline if event["kind"] == kind and event["stage"] == stage]


def made_by(event: dict[str, Any], worker: Process) -> bool:
    """Whether this process reported the event: a worker's name holds its process id."""
    return f"-{worker.pid}-" in event["worker"]


def count_lines_with(process: Process, text: str) -> int:
    """How many lines of its output hold the text."""
    return sum(text in line for line in process.lines)


def waiting(queue_url: str, *names: str) -> list[int]:
    """How many messages are in each of these queues that no consumer has been given."""
    work = [stage.queue for stage in EARTHQUAKES.stages]

    async def count() -> list[int]:
        async with connect(queue_url, work, name="test") as queue:
            await connected(queue, work[0])
            return [await queue.count_ready(name) for name in names]

    return asyncio.run(count())
