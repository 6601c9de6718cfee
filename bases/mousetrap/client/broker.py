"""Starts and follows runs over broker and store themselves."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import partial

from mousetrap.blobs import Chunks
from mousetrap.catalogue import INPUTS, PIPELINES
from mousetrap.catalogue_entries import load
from mousetrap.client.backend import Backend, Begun, JobsWanted, Message, Repetition, Submission
from mousetrap.client.errors import UnknownPipeline, UnknownRun
from mousetrap.client.options import new_id
from mousetrap.client.room import Room
from mousetrap.jobs import Outlet
from mousetrap.known_pipelines import KnownPipelines, TakerContradicted
from mousetrap.payloads import PayloadOptions, chunks_of
from mousetrap.pipeline import Pipeline
from mousetrap.run_store import JobFilter, JobPlace, RunStore, StoredRun, open_store, with_letters
from mousetrap.settings import Settings
from mousetrap.shapes import BEAT_S, Event, JobPage, Progress, RunState
from mousetrap.submit_run import (
    KEY_OWNER,
    Accepted,
    Gate,
    IntakeBounds,
    OptionInvalid,
    Publication,
    StartOptions,
    Submitter,
)
from mousetrap.submit_run import Submission as Ready
from mousetrap.worker_registry import WorkerRegistry, open_registry

#: For an outage in a wait: then the handle, which counts it, asks again.
_OUTAGE_S = 1.0

OpenOutlet = Callable[[], AbstractAsyncContextManager[Outlet]]


@asynccontextmanager
async def open_broker(settings: Settings, open_outlet: OpenOutlet) -> AsyncIterator[Backend]:
    """The backend over the settings' broker and store, which need not be reachable yet."""
    known = KnownPipelines(PIPELINES, settings.keyring)
    async with (
        open_store(
            settings.store_url,
            retention=settings.retention_seconds,
            tls=settings.tls,
            keyring=settings.keyring,
            payloads=PayloadOptions.of(settings),
        ) as store,
        open_registry(settings.store_url, tls=settings.tls) as registry,
        open_outlet() as outlet,
    ):
        yield Broker(settings, store, outlet, Pipelines(known, registry))


class Pipelines:
    """Finds pipelines by name, as the API does: our own, and those that workers publish."""

    def __init__(self, known: KnownPipelines, registry: WorkerRegistry) -> None:
        self._known = known
        self._registry = registry
        self._refreshed = -BEAT_S

    async def named(self, name: str) -> Pipeline:
        """The pipeline of that name, as workers publish it now. Raises UnknownPipeline."""
        if name not in self._known:
            await self._known.look_for(name, self._registry)
        else:
            await self._refresh()
        if reason := self._known.contradiction(name):
            raise UnknownPipeline(f"workers contradict each other about {name!r}: {reason}")
        if name not in self._known:
            near = get_close_matches(name, self._known, 1)
            hint = f"is it {near[0]!r}? " if near else ""
            names = ", ".join(sorted(self._known)) or "none"
            raise UnknownPipeline(
                f"no worker serves a pipeline {name!r}: {hint}start a worker with it, or submit the task itself; known are: {names}"
            )
        return self._known[name]

    async def taking(self, topic: str) -> tuple[Pipeline, ...]:
        """The pipelines that take this topic, as workers publish them now. Raises NoTaker and UnknownPipeline."""
        await self._refresh()
        try:
            return await self._known.look_for_takers(topic, self._registry)
        except TakerContradicted as error:
            raise UnknownPipeline(
                f"workers contradict each other about a pipeline that takes {topic!r}: {error}"
            ) from None

    async def _refresh(self) -> None:
        if time.monotonic() - self._refreshed > BEAT_S:
            self._refreshed = time.monotonic()
            await self._known.refresh(self._registry)


class Broker:
    """Backend over broker and store."""

    def __init__(self, settings: Settings, store: RunStore, outlet: Outlet, pipelines: Pipelines) -> None:
        self._settings = settings
        self._keyring = settings.keyring
        self._store = store
        self._outlet = outlet
        self._pipelines = pipelines
        self._room = Room(outlet, store, IntakeBounds(dead_letters=settings.dead_max_length))
        self._declared: set[str] = set()
        self._declaring = asyncio.Lock()

    async def start(self, submission: Submission) -> Accepted:
        job = await self._prepared(submission)
        return await self._submitter(job.pipeline).submit(
            job.pipeline, job.body, run_id=job.run_id, options=job.options, is_new=job.is_new
        )

    async def start_many(self, submissions: Sequence[Submission]) -> Sequence[Accepted | Exception]:
        gate = Gate()
        found = [await gate.run(partial(self._prepared, each)) for each in submissions]
        ready = [each for each in found if not isinstance(each, Exception)]
        pipelines = {each.pipeline.name: each.pipeline for each in ready}
        replies = iter(
            await Submitter(self._store, self._outlet, self._keyring, pipelines).submit_many(ready, gate)
        )
        return [each if isinstance(each, Exception) else next(replies) for each in found]

    async def publish(self, message: Message) -> Sequence[Begun]:
        publication = Publication(
            topic=message.topic,
            body=message.input,
            owner=KEY_OWNER,
            key=message.options.unique or new_id(),
            is_new=message.is_new,
            options=message.options.terms(datetime.now(UTC)),
        )
        runs: list[Ready] = []
        for pipeline in await self._pipelines.taking(message.topic):
            runs.append(publication.submission(pipeline, self._default(pipeline.name)))
            await self._pipeline(pipeline.name, pipeline)
            await self._room.check(pipeline, len(runs[-1].body))
        pipelines = {run.pipeline.name: run.pipeline for run in runs}
        begun: list[Begun] = []
        submitter = Submitter(self._store, self._outlet, self._keyring, pipelines)
        for run, result in zip(runs, await submitter.submit_many(runs), strict=True):
            if isinstance(result, Exception):
                raise result
            begun.append(Begun(run.pipeline.name, result))
        return begun

    async def get(self, run_id: str) -> StoredRun:
        run = await self._store.get(run_id)
        if run is None:
            raise UnknownRun(run_id)
        return run

    async def cancel(self, run_id: str) -> RunState:
        state = await self._store.cancel(run_id)
        if state is None:
            raise UnknownRun(run_id)
        return state

    async def rerun(self, repetition: Repetition) -> Accepted:
        run = await self.get(repetition.run_id)
        pipeline = await self._pipeline(run.pipeline, repetition.known)
        owner = f"{pipeline.name}|rerun|{run.id}"
        run_id = StartOptions(unique=repetition.unique).run_id(owner, new_id())
        await self._room.check(pipeline, len(repetition.input or b""))
        return await self._submitter(pipeline).rerun(
            run, run_id=run_id, begin=repetition.begin, body=repetition.input
        )

    async def jobs(self, wanted: JobsWanted) -> JobPage:
        run = await self.get(wanted.run_id)
        pipeline = wanted.known or await self._pipelines.named(run.pipeline)
        if wanted.stage is not None and pipeline.stage(wanted.stage) is None:
            names = ", ".join(each.name for each in pipeline.stages)
            raise OptionInvalid(
                "stage", f"pipeline {pipeline.name!r} has no stage {wanted.stage!r}: it has {names}"
            )
        place = None if wanted.after is None else JobPlace.read(wanted.after)
        filtered = JobFilter(stage=wanted.stage, state=wanted.state, limit=wanted.limit, place=place)
        return with_letters(await self._store.jobs(run, pipeline, filtered), pipeline)

    async def events(self, run_id: str, after: str) -> AsyncIterator[Event | Progress]:
        await self.get(run_id)  # an unknown one has no events, and never ends
        async for each in self._store.watch(run_id, after):
            yield each

    async def wait_ended(self, run_id: str, within: float | None) -> StoredRun | None:
        run = await self._store.wait_ended(run_id, math.inf if within is None else within, _OUTAGE_S)
        if run is None:
            await self.get(run_id)  # it raises for one that is not known
            return None
        return await self._store.with_result(run)  # whatever its size: it is what the caller waits for

    async def _prepared(self, submission: Submission) -> Ready:
        """The submission with its pipeline, whose queues are declared.

        Raises UnknownPipeline, OptionInvalid, QueueUnreachable, DeadLettersFull and StoreFull.
        """
        options, name = submission.options, submission.pipeline
        terms = options.terms(datetime.now(UTC))
        pipeline = await self._pipeline(name, submission.known)
        body = submission.input or self._default(name)
        await self._room.check(pipeline, len(body))
        return Ready(pipeline, body, options.run_id(name, new_id()), terms, submission.is_new)

    async def _pipeline(self, name: str, known: Pipeline | None) -> Pipeline:
        pipeline = known or await self._pipelines.named(name)
        if not self._declared.issuperset(queues := [stage.queue for stage in pipeline.stages]):
            async with self._declaring:  # one for all who submit at the same time
                for queue in queues:  # a worker that has not started yet finds what waits for it
                    if queue not in self._declared:
                        await self._outlet.declare_queue(queue)
                        self._declared.add(queue)
        return pipeline

    def chunks(self, run_id: str) -> Chunks:
        """Those of the run's blobs, on the running event loop."""
        return chunks_of(self._store.payloads)(run_id)

    def _submitter(self, pipeline: Pipeline) -> Submitter:
        return Submitter(self._store, self._outlet, self._keyring, {pipeline.name: pipeline})

    def _default(self, pipeline: str) -> bytes:
        """What an empty input means where the catalogue has it; nothing means the defaults of the contract."""
        if pipeline not in INPUTS:
            return b""
        given: bytes = load(INPUTS[pipeline])(self._settings)
        return given
