"""Real workers on an embedded Valkey server, in real time."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec

from mousetrap.embedded_valkey import EmbeddedValkey
from mousetrap.jobs import Queue
from mousetrap.pipeline import Pipeline, read, write
from mousetrap.repeat_attempt import FROM_LIFESPAN
from mousetrap.run_store import RunStore, StoredRun, open_store
from mousetrap.signing import Keyring
from mousetrap.store_client import ReplyError, ask_blocking
from mousetrap.stream_queue import open_stream_queue
from mousetrap.submit_run import Submitter
from mousetrap.testing.work import Work, pipeline_of, prepared
from mousetrap.testing.world_run import RaisedErrors, fail
from mousetrap.worker import Runtime, Stop, WorkerOptions, run_worker

if TYPE_CHECKING:
    from mousetrap.outbox import Entry

_RETENTION_S = 3_600.0
_ADMINISTRATOR = "administrator"
#: Seconds that a worker has to finish its jobs when its block ends.
_GRACE_S = 2.0
#: For the server to drop what it holds.
_REPLY_TIMEOUT_S = 30.0


class Stack:
    """A Valkey server, with the embedded queue and the run store in it. It is for a whole session; `serving` empties it."""

    def __init__(self, folder: Path) -> None:
        self._server = _Server(folder)

    def start(self) -> None:
        """Starts the server. Raises EmbeddedValkeyFailed."""
        self._server.start()

    def stop(self) -> None:
        """Ends the server."""
        self._server.stop()

    @asynccontextmanager
    async def serving(
        self,
        *work: Work,
        handlers: Mapping[str, Callable[..., Any]] | None = None,
        deps: Any = FROM_LIFESPAN,
        concurrency: int = 10,
    ) -> AsyncIterator["Serving"]:
        """A worker that serves these tasks, chains or bindings until the block ends; `handlers` and `deps` as in a World."""
        await asyncio.to_thread(self._server.empty)
        bindings = prepared(work, handlers or {}, deps)
        pipelines = {binding.pipeline.name: binding.pipeline for binding in bindings}
        queues = sorted({stage.queue for each in pipelines.values() for stage in each.stages})
        key = f"stack:{secrets.token_hex(16)}"
        keyring, errors, stop = Keyring.parse(key), RaisedErrors(), Stop()
        options = WorkerOptions(
            name=f"worker-{uuid4().hex[:6]}",
            concurrency=concurrency,
            grace=_GRACE_S,
            keyring=keyring,
            runtime=Runtime(raised=errors),
        )
        async with (
            open_stream_queue(self._server.url, queues, name="stack") as queue,
            open_store(self._server.url, retention=_RETENTION_S, keyring=keyring) as store,
        ):
            worker = asyncio.create_task(run_worker(queue, store, bindings, options, stop))
            try:
                yield Serving(queue, store, keyring, pipelines, errors, worker, self._environment(key))
            finally:
                stop.ask()
                await worker

    def _environment(self, key: str) -> Mapping[str, str]:
        url = self._server.url
        return {
            "MOUSETRAP_BROKER_URL": url,
            "MOUSETRAP_STORE_URL": url,
            "MOUSETRAP_SIGNING_KEYS": key,
        }


@dataclass(frozen=True)
class Serving:
    """A worker under way on a Stack."""

    queue: Queue
    store: RunStore
    keyring: Keyring
    pipelines: Mapping[str, Pipeline]
    errors: RaisedErrors
    worker: "asyncio.Task[bool]" = field(repr=False)
    #: With these variables a client, as that of an application under test, finds this stack.
    environment: Mapping[str, str] = field(repr=False)

    async def submit(self, work: Any, value: Any = None, *, run_id: str | None = None) -> "StackRun":
        """Submits a run of a task, a chain or a pipeline, which can be given by its name."""
        pipeline = self.pipelines.get(work) if isinstance(work, str) else pipeline_of(work)
        if pipeline is None:
            raise ValueError(f"no pipeline {work!r} is served; these are: {', '.join(self.pipelines)}")
        body = b"" if value is None else write(value, pipeline.first.input)
        submitter = Submitter(self.store, self.queue, self.keyring, self.pipelines)
        accepted = await submitter.submit(pipeline, body, run_id=run_id or uuid4().hex)
        return StackRun(accepted.run_id, pipeline, self)

    @asynccontextmanager
    async def relaying(self, url: str, table: str = "mousetrap_outbox") -> AsyncIterator[None]:
        """Relays the outbox of the database at `url`, as `mousetrap outbox` does, until the block ends."""
        from mousetrap.outbox import Relay, open_rows  # it needs SQLAlchemy

        stop = asyncio.Event()
        with open_rows(url, table) as rows:
            relay = asyncio.create_task(Relay(rows, self._submit_entry).run(stop))
            try:
                yield
            finally:
                stop.set()
                await relay

    async def _submit_entry(self, entry: "Entry") -> None:
        from mousetrap.outbox import PipelineUnknown

        pipeline = self.pipelines.get(entry.pipeline)
        if pipeline is None:
            raise PipelineUnknown(
                f"no pipeline {entry.pipeline!r} is served; these are: {', '.join(self.pipelines)}"
            )
        submitter = Submitter(self.store, self.queue, self.keyring, self.pipelines)
        options = entry.options(int(time.time() * 1000))
        await submitter.submit(pipeline, entry.input, run_id=entry.run_id, options=options)


@dataclass(frozen=True)
class StackRun:
    """A run on a Stack."""

    id: str
    pipeline: Pipeline
    _serving: Serving = field(repr=False)

    async def ended(self, *, within: float = 10.0) -> StoredRun:
        """The run once it has ended. After `within` seconds it fails as `result` does."""
        ending = asyncio.create_task(self._follow())
        await asyncio.wait(
            (ending, self._serving.worker), timeout=within, return_when=asyncio.FIRST_COMPLETED
        )
        if self._serving.worker.done():
            self._serving.worker.result()  # why it ended
        if not ending.done():
            ending.cancel()
            fail(
                await self._stored(), self._serving.errors, f"run {self.id} has not ended within {within:g} s"
            )
        return await self._stored()

    async def result(self, *, within: float = 10.0) -> Any:
        """The value of its last stage. Raises the handler's error, or NotCompleted, with the run's timeline."""
        run = await self.ended(within=within)
        if run.state != "completed":
            fail(run, self._serving.errors, f"run {self.id} is {run.state} and has no result")
        return read(msgspec.json.encode(run.result), self.pipeline.result)

    async def _follow(self) -> None:
        async for _ in self._serving.store.watch(self.id):
            pass

    async def _stored(self) -> StoredRun:
        run = await self._serving.store.get(self.id)
        assert run is not None, "it was accepted"
        return run


class _Server(EmbeddedValkey):
    """An embedded server with a user more, who may empty it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._secret = secrets.token_urlsafe(24)

    def users(self) -> list[str]:
        digest = hashlib.sha256(self._secret.encode()).hexdigest()
        return [*super().users(), f"user {_ADMINISTRATOR} on #{digest} +flushdb"]

    def empty(self) -> None:
        parts = urlsplit(self.url)
        url = f"valkey://{_ADMINISTRATOR}:{self._secret}@{parts.hostname}:{parts.port}/0"
        (done,) = ask_blocking(url, [("FLUSHDB",)], _REPLY_TIMEOUT_S)
        if isinstance(done, ReplyError):
            raise done
