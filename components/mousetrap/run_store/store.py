"""The store's face: opens runs, claims and decides jobs, and answers what a run is about."""

import hashlib
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Literal, NamedTuple

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from mousetrap.jobs import Done, Failure, Job, MousetrapError, Outcome, RetryLater, StoreUnreachable
from mousetrap.run_store.batches import Batches
from mousetrap.run_store.claims import Claim, read_claim
from mousetrap.run_store.facts import StoreFacts, read_facts
from mousetrap.run_store.listing import list_runs
from mousetrap.run_store.nudges import Nudges
from mousetrap.run_store.runs import Event, Page, Progress, Run, read_event, read_progress, read_run
from mousetrap.store_client import address, open_client

#: Seconds between two looks at a watched run when no nudge comes: nudges can be lost with a connection.
_LOOK_ANYWAY = 5.0


class RunConflict(MousetrapError):
    """Another run has this id, or this idempotency key came with another body before: use a new one."""


class Opened(NamedTuple):
    """What became of the wish to open a run."""

    #: `new`; `waiting` when it is known but no worker has met it yet; `known` when it is further than that.
    state: Literal["new", "waiting", "known"]
    #: Milliseconds since 1970, when the run was accepted first.
    accepted_ms: int


@asynccontextmanager
async def open_store(
    url: str, *, retention: float, tls: ssl.SSLContext | None = None
) -> AsyncIterator["RunStore"]:
    """The run store at `url`, which need not be reachable yet; `retention` (seconds) is how long a run is remembered."""
    client = open_client(url, tls)
    store = RunStore(client, address(url), retention)
    try:
        yield store
    finally:
        await store.close()


class RunStore:
    """Every method raises StoreUnreachable when the server does not answer within two seconds."""

    def __init__(self, client: Redis, address: str, retention: float) -> None:
        self._client = client
        self._address = address
        self._retention = retention
        self._ttl = int(retention * 1000)
        self._batches = Batches(client, address)
        self._nudges = Nudges(client)

    async def close(self) -> None:
        """Leaves the server."""
        await self._nudges.close()
        await self._client.aclose()

    async def check(self) -> None:
        """Returns if the server answers now."""
        with self._reaching():
            await self._client.ping()

    async def facts(self) -> StoreFacts:
        """What the server says of itself."""
        with self._reaching():
            return await read_facts(self._client)

    # What submitting does

    async def open_run(self, run_id: str, pipeline: str, stage: str, input: bytes) -> Opened:
        """Records a run before its first job is published. Raises RunConflict when the id is another run's."""
        digest = hashlib.sha256(input).hexdigest()
        state, at = await self._batches.call(
            "open_run", run_id, pipeline, stage, input.decode(), digest, self._ttl
        )
        if state == "conflict":
            raise RunConflict(
                f"run {run_id} exists with another input or pipeline: use a new id or idempotency key"
            )
        return Opened("new" if state == "opened" else state, at)

    async def reject_run(self, run_id: str, why: Failure) -> None:
        """Ends a run whose first job nobody could publish, unless a worker has it already."""
        await self._batches.call("reject_run", run_id, _text(why), self._ttl)

    # What a worker does

    async def claim(self, job: Job, *, worker: str, redelivered: bool, lease: float) -> Claim:
        """Asks for a job. A redelivered one is taken over at once: its last holder's connection is gone."""
        reply = await self._batches.call(
            *(
                "claim",
                job.id,
                job.run_id,
                job.pipeline,
                job.stage,
                job.attempt,
                job.parent or "",
                job.accepted_ms,
            ),
            *(worker, redelivered, int(lease * 1000), self._ttl),
        )
        return read_claim(reply)

    async def renew(self, job: Job, *, fence: int, lease: float) -> bool:
        """Prolongs a claim; False once a later claim has won."""
        reply = await self._batches.call("renew", job.id, fence, int(lease * 1000), self._ttl)
        return bool(reply[0] == "renewed")

    async def decide(self, job: Job, outcome: Outcome, *, fence: int, worker: str, last: bool) -> bool:
        """Records the outcome of an attempt before anyone acts on it; False when a later claim has won.

        With `last`, a Done's output is the run's result.
        """
        about = (job.id, job.run_id, job.stage, job.attempt, fence, worker)
        if isinstance(outcome, Done):
            if last:
                reply = await self._batches.call(
                    "complete", *about, bytes(outcome.output).decode(), self._ttl
                )
            else:
                reply = await self._batches.call("done", *about, _text(outcome), self._ttl)
        else:
            verdict, failure = _text(outcome), _text(outcome.failure)
            if isinstance(outcome, RetryLater):
                delay = int(outcome.after * 1000)
                reply = await self._batches.call("retry", *about, verdict, failure, delay, self._ttl)
            else:
                reply = await self._batches.call("give_up", *about, verdict, failure, self._ttl)
        return bool(reply[0] == "recorded")

    async def release(self, job: Job, *, fence: int, worker: str) -> None:
        """Gives a claim back undecided; the start does not count."""
        await self._batches.call(
            "release", job.id, job.run_id, job.stage, job.attempt, fence, worker, self._ttl
        )

    async def report(self, run_id: str, progress: Progress) -> None:
        """Notes how far a running handler has come."""
        await self._batches.call("progress", run_id, _text(progress))

    # What those who watch do

    async def get(self, run_id: str) -> Run | None:
        """The run with its timeline, oldest event first; None when there is none, or not any more."""
        with self._reaching():
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.hgetall(_run_key(run_id))
                pipe.xrange(_events_key(run_id))
                fields, entries = await pipe.execute()
        return read_run(run_id, fields, tuple(map(read_event, entries))) if fields else None

    async def latest(self, pipeline: str) -> Run | None:
        """The newest run of the pipeline that completed, by when it was accepted."""
        with self._reaching():
            run_id = await self._client.hget(f"mousetrap:latest:{pipeline}", "run")
        return await self.get(str(run_id, "ascii")) if isinstance(run_id, bytes) else None

    async def page(self, *, pipeline: str | None = None, limit: int = 50, after: str | None = None) -> Page:
        """A page of runs, newest first; `after` is the `next` of the page before."""
        with self._reaching():
            return await list_runs(self._client, pipeline, limit, after, self._retention)

    async def watch(self, run_id: str, after: str = "0") -> AsyncIterator[Event | Progress]:
        """The run's events after the one with the id `after`, as they happen, and its progress; ends with the run."""
        said: bytes | None = None
        async with self._nudges.of(run_id) as nudged:
            while True:
                nudged.clear()
                entries, progress = await self._read_after(run_id, after)
                for event in map(read_event, entries):
                    after = event.id
                    yield event
                    if event.last:
                        return
                if progress is not None and progress != said:
                    said = progress
                    if (read := read_progress(progress)) is not None:
                        yield read
                await self._nudges.wait(nudged, _LOOK_ANYWAY)

    async def _read_after(
        self, run_id: str, after: str
    ) -> tuple[list[tuple[bytes, Mapping[bytes, bytes]]], bytes | None]:
        with self._reaching():
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.xrange(_events_key(run_id), min=f"({after}" if after != "0" else "-")
                pipe.hget(_run_key(run_id), "progress")
                entries, progress = await pipe.execute()
        return entries, progress

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Turns the client's errors into ours."""
        try:
            yield
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnreachable(f"the store at {self._address} does not serve: {error}") from error


def _text(value: object) -> str:
    # The server's msgpack knows texts, not byte strings.
    return msgspec.json.encode(value).decode()


def _run_key(run_id: str) -> str:
    return f"mousetrap:run:{run_id}"


def _events_key(run_id: str) -> str:
    return f"mousetrap:run:{run_id}:events"
