"""Reads what is on record of runs: few reads at once, and none waits behind one that failed."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.exceptions import RedisError

from mousetrap.run_store.damage import is_damage
from mousetrap.run_store.facts import StoreFacts, read_facts
from mousetrap.run_store.listing import Wanted, list_runs
from mousetrap.run_store.nudges import Nudges
from mousetrap.run_store.reading import StoredRun, read_event, read_progress, read_run
from mousetrap.shapes import Event, Progress, RunPage, RunState
from mousetrap.store_client import unreachable

#: Reads at once, each on a connection of its own: as many as watchers make would stay for ever.
_READS = 16
#: Seconds between two looks at a watched run when no nudge comes: nudges can be lost with a connection.
_LOOK_ANYWAY = 5.0


class RunReader:
    """Every method raises StoreUnreachable when the server does not answer within two seconds."""

    def __init__(self, client: Redis, address: str, retention: float) -> None:
        self._client = client
        self._address = address
        self._retention = retention
        self._nudges = Nudges(client)
        self._reads = asyncio.Semaphore(_READS)
        #: Why a read failed last.
        self._failed: Exception | None = None

    async def facts(self) -> StoreFacts:
        """What the server says of itself."""
        async with self._reaching():
            return await read_facts(self._client)

    async def get(self, run_id: str) -> StoredRun | None:
        """The run with its timeline, oldest event first; None when there is none, or not any more."""
        async with self._reaching():
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.hgetall(run_key(run_id))
                pipe.xrange(events_key(run_id))
                fields, entries = await pipe.execute(raise_on_error=False)
            damage = [
                f"{what}: {answer}"
                for what, answer in (("the run", fields), ("its timeline", entries))
                if is_damage(answer)
            ]
        if not fields:
            return None
        timeline = () if is_damage(entries) else tuple(map(read_event, entries))
        return read_run(run_id, {} if is_damage(fields) else fields, timeline, tuple(damage))

    async def latest(self, pipeline: str) -> StoredRun | None:
        """The newest run of the pipeline that completed, by when it was accepted."""
        async with self._reaching():
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.hget(f"mousetrap:latest:{pipeline}", "run")
                (run_id,) = await pipe.execute(raise_on_error=False)
            if run_id is None or is_damage(run_id):
                return None
        return await self.get(run_id.decode(errors="replace"))

    async def page(
        self,
        *,
        pipeline: str | None = None,
        state: RunState | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> RunPage:
        """A page of runs, newest first; `after` is the `next` of the page before.

        With `state` a page can hold fewer than `limit`, or none, and still have a next: one call looks at 2,000 runs.
        """
        async with self._reaching():
            return await list_runs(self._client, Wanted(pipeline, state), limit, after, self._retention)

    async def watch(self, run_id: str, after: str = "0") -> AsyncIterator[Event | Progress]:
        """The run's events after the one with the id `after`, as they happen, and its progress; ends with the run."""
        said: bytes | None = None
        async with self._nudges.of(run_id) as nudged:
            while True:
                nudged.clear()
                entries, progress = await self._read_after(run_id, after)
                event = None
                for event in map(read_event, entries):
                    after = event.id
                    yield event
                if event is not None and event.last:  # an end with something after it was redriven
                    return
                if progress is not None and progress != said:
                    said = progress
                    if (read := read_progress(progress)) is not None:
                        yield read
                await self._nudges.wait(nudged, _LOOK_ANYWAY)

    async def _read_after(
        self, run_id: str, after: str
    ) -> tuple[list[tuple[bytes, Mapping[bytes, bytes]]], bytes | None]:
        async with self._reaching():
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.xrange(events_key(run_id), min=f"({after}" if after != "0" else "-")
                pipe.hget(run_key(run_id), "progress")
                entries, progress = await pipe.execute(raise_on_error=False)
            return (
                [] if is_damage(entries) else entries,
                None if is_damage(progress) else progress,
            )

    @asynccontextmanager
    async def _reaching(self) -> AsyncIterator[None]:
        """Waits for a turn to read, and turns the client's errors into ours.

        A read that waited behind one that failed fails as well: a thousand watchers of a server that hangs would wait for
        one another.
        """
        failed = self._failed
        async with self._reads:
            if self._failed is not failed and self._failed is not None:
                raise unreachable(self._address, self._failed)
            try:
                yield
            except (RedisError, OSError, TimeoutError) as error:
                self._failed = error
                raise unreachable(self._address, error) from error


def run_key(run_id: str) -> str:
    """The key of what a run is."""
    return f"mousetrap:run:{run_id}"


def events_key(run_id: str) -> str:
    """The key of a run's timeline."""
    return f"mousetrap:run:{run_id}:events"
