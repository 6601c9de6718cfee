"""Reads runs and their timelines from the store."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, NamedTuple

from mousetrap.jobs import LARGEST_INLINE, PayloadUnusable
from mousetrap.payloads import Payloads
from mousetrap.run_store.damage import is_damage, read_json
from mousetrap.run_store.decode_run import StoredRun, by_name, read_event, read_progress, read_run
from mousetrap.run_store.info import StoreInfo, read_info
from mousetrap.run_store.keys import events_key, run_key
from mousetrap.run_store.listing import Lists
from mousetrap.run_store.notifications import CHANGES, ENDS, Notifications
from mousetrap.run_store.packed.chain import Routes
from mousetrap.run_store.packed.heads import run_head
from mousetrap.run_store.packed.latest import find_latest
from mousetrap.run_store.packed.snapshot import take_snapshot
from mousetrap.run_store.repaired import reruns_of
from mousetrap.run_store.run_filter import EVERY_RUN, RunFilter
from mousetrap.shapes import Event, Progress, Reference, RunPage, RunState
from mousetrap.store_client import ReplyError, StoreClient, unreachable

#: Reads at a time: their replies can be large, and share connections with claims and decisions.
_READS = 16
#: Runs that repeat one, in one answer.
_RERUNS = 200
#: A watcher of a run whose children are under way looks again after so long: their decisions notify of nothing, for each of ten
#: thousand would pay for that.
_LOOK_AGAIN_S = 1.0


class _News(NamedTuple):
    """What one look at a run found."""

    events: Sequence[Event]
    progress: bytes | None
    #: Of the record of a packed run, for the next look.
    head: Any
    has_ended: bool = False
    waits_for_children: bool = False


class RunReader:
    """Reads runs: few reads at a time, and none waits behind one that failed.

    Every method raises StoreUnreachable when the server does not answer within two seconds.
    """

    def __init__(self, client: StoreClient, address: str, retention: float, payloads: Payloads) -> None:
        self._client = client
        #: What is too large for a record or a message.
        self.payloads = payloads
        self._address = address
        self._retention = retention
        self._routes = Routes()
        self._changes = Notifications(client, ENDS, CHANGES)
        self._reads = asyncio.Semaphore(_READS)
        #: The last error of a read.
        self._failed: Exception | None = None

    async def info(self) -> StoreInfo:
        """What the server reports about itself."""
        async with self._reaching():
            return await read_info(self._client)

    async def get(self, run_id: str, *, most: int = LARGEST_INLINE) -> StoredRun | None:
        """The run with its timeline, oldest event first; None for an unknown or forgotten run.

        An input or a result that a reference names is in it as any other, unless it has more than `most` bytes.
        """
        async with self._reaching():
            head, fields, entries = await self._client.pipeline(
                [run_head(run_id), ("HGETALL", run_key(run_id)), ("XRANGE", events_key(run_id), "-", "+")]
            )
            if head:
                run = (await take_snapshot(self._client, self._routes, run_id, head)).read()
            else:
                run = _older(run_id, fields, entries)
        if run is None or (run.input_reference is None and run.result_reference is None):
            return run
        named = {"input": run.input_reference, "result": run.result_reference}
        return await self._resolved(run, {name: at for name, at in named.items() if at and at.size <= most})

    async def with_result(self, run: StoredRun) -> StoredRun:
        """The run with a result that `get` left out for its size. One larger than a payload may be here stays left out."""
        at = run.left_out
        if at is None or not LARGEST_INLINE < at.size <= self.payloads.largest:
            return run
        return await self._resolved(run, {"result": at})

    async def latest(self, pipeline: str) -> StoredRun | None:
        """The newest run of the pipeline that completed, by when it was accepted."""
        async with self._reaching():
            run_id = await find_latest(self._client, pipeline)
        return None if run_id is None else await self.get(run_id)

    async def page(
        self, wanted: RunFilter = EVERY_RUN, *, limit: int = 50, after: str | None = None
    ) -> RunPage:
        """A page of the runs that match, newest first; `after` is the `next` of the page before.

        It can hold fewer than `limit`, or none, and still have a next: one call reads 1,000 runs.
        """
        async with self._reaching():
            return await Lists(self._client, self._routes, self._retention).page(wanted, limit, after)

    async def lines(self, run_ids: Sequence[str]) -> list[StoredRun | None]:
        """The runs as a list shows them, each without its timeline, input and result; None for an unknown or forgotten one."""
        async with self._reaching():
            return await Lists(self._client, self._routes, self._retention).lines(run_ids)

    async def reruns(self, run_id: str) -> list[StoredRun]:
        """The runs that repeat this one, as a list shows them, newest first; of very many, some two hundred."""
        async with self._reaching():
            found = await reruns_of(self._client, run_id, _RERUNS)
        lines = await self.lines(found)
        return sorted((it for it in lines if it is not None), key=lambda it: -it.accepted_ms)

    async def count_open(self) -> dict[str, int]:
        """How many runs of each pipeline may be open, accepted in the last week: a few more than are, for a second."""
        async with self._reaching():
            return await Lists(self._client, self._routes, self._retention).count_open()

    async def watch(self, run_id: str, after: str = "0") -> AsyncIterator[Event | Progress]:
        """The run's events after the one with the id `after`, as they happen, and its progress; ends with the run."""
        reported: bytes | None = None
        head: Any = None
        async with self._changes.of(run_id) as watcher:
            while True:
                watcher.look()
                news = await self._read_after(run_id, after, head)
                event, progress, head = None, news.progress, news.head
                for event in news.events:
                    after = event.id
                    yield event
                # An end with something after it was redriven, unless that is of a child which the others' fate did not stop.
                if event is not None and (event.last or news.has_ended):
                    return
                if progress is not None and progress != reported:
                    reported = progress
                    if (read := read_progress(progress)) is not None:
                        yield read
                with suppress(TimeoutError):
                    await asyncio.wait_for(watcher.news(), _LOOK_AGAIN_S if news.waits_for_children else None)

    async def _resolved(self, run: StoredRun, references: Mapping[str, Reference]) -> StoredRun:
        """The run with what its references name; what cannot be used is listed as unreadable."""
        values: dict[str, Any] = {}
        faults: list[str] = []
        for name, reference in references.items():
            try:
                values[name], fault = read_json(await self.payloads.get(reference))
            except PayloadUnusable as error:
                fault = error.outside()
            if fault:
                faults.append(f"{name}: {fault}")
        return replace(run, **values, unreadable=(*run.unreadable, *faults))

    async def _read_after(self, run_id: str, after: str, head: Any) -> "_News":
        """The events after `after`. `head` is that of the record of a packed run, from the read before."""
        async with self._reaching():
            if not head:
                first = f"({after}" if after != "0" else "-"
                key = run_key(run_id)
                head, entries, progress = await self._client.pipeline(
                    [run_head(run_id), ("XRANGE", events_key(run_id), first, "+"), ("HGET", key, "progress")]
                )
            if head:
                snapshot = await take_snapshot(self._client, self._routes, run_id, head, after)
                has_ended = snapshot.run is not None and RunState(snapshot.run.state).ended
                found = (snapshot.after(after), snapshot.progress, head)
                return _News(*found, has_ended, snapshot.waits_for_children)
            events = () if is_damage(entries) else tuple(map(read_event, entries))
            return _News(events, None if is_damage(progress) else progress, None)

    @asynccontextmanager
    async def _reaching(self) -> AsyncIterator[None]:
        """Waits for a free read, and turns the client's errors into StoreUnreachable.

        A read that waited behind one that failed fails as well: a thousand watchers of a server that hangs would wait for
        one another.
        """
        failed = self._failed
        async with self._reads:
            if self._failed is not failed and self._failed is not None:
                raise unreachable(self._address, self._failed)
            try:
                yield
            except (ReplyError, OSError) as error:
                self._failed = error
                raise unreachable(self._address, error) from error


def _older(run_id: str, fields: Any, entries: Any) -> StoredRun | None:
    """The run of the older family in these replies; None for an unknown one."""
    answers = (("the run", fields), ("its timeline", entries))
    damage = tuple(f"{what}: {answer}" for what, answer in answers if is_damage(answer))
    if not fields:
        return None
    timeline = () if is_damage(entries) else tuple(map(read_event, entries))
    return read_run(run_id, {} if is_damage(fields) else by_name(fields), timeline, damage)
