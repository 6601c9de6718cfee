"""Starts, repeats and republishes runs."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from mousetrap.jobs import (
    Failure,
    Job,
    MousetrapError,
    Queue,
    StoreUnreachable,
    signed_message,
)
from mousetrap.pipeline import Pipeline, Stage, read, write
from mousetrap.run_store import Opening, RunStore, StoredRun
from mousetrap.signing import Keyring, SignatureRefused
from mousetrap.submit_run.rerun import START, RerunImpossible, stage_of, stored_input
from mousetrap.submit_run.run_ids import RUN_ID

#: A hundred years; the store counts in milliseconds, which have an end as well.
_LONGEST_S = 100 * 365 * 86_400.0
#: Age from which on the submitter of a run that is recorded and not published is taken for dead.
ABANDONED_S = 60.0

_log = logging.getLogger("mousetrap.submit_run")


class Accepted(NamedTuple):
    """The run is kept: it survives any crash from now on."""

    run_id: str
    #: False when the same submission was accepted before; then this is that run.
    new: bool


class Repeat(NamedTuple):
    """What a re-run repeats: which run, and from which stage on."""

    run_id: str
    stage: Stage


class Submitter:
    """Submits runs of pipelines.

    1. `RunStore.open_run` records the run, so that a reader finds it right after it was accepted.
    2. Its first job is published, and confirmed.
    3. The store notes that the run is published.

    Where a submitter dies between 1 and 3, `republish` does the rest.
    """

    def __init__(
        self, store: RunStore, queue: Queue, keyring: Keyring, pipelines: Mapping[str, Pipeline]
    ) -> None:
        self._store = store
        self._queue = queue
        self._keyring = keyring
        self._pipelines = pipelines

    async def submit(
        self,
        pipeline: Pipeline,
        body: bytes,
        *,
        run_id: str,
        expires_in: float | None = None,
        repeat: Repeat | None = None,
    ) -> Accepted:
        """Accepts one run of `pipeline` on `body` (JSON; empty means the contract's defaults) under the id `run_id`.

        After `expires_in` seconds (the pipeline's own number where not given) no job of it is begun any more.

        A repeat with the same id and input returns the first run. Raises ValueError for an id of the wrong form and for an
        `expires_in` that is no span of time, ContractBroken for a body that the stage does not take, RunConflict when the
        id is another run's, StoreUnreachable, and what Queue.publish raises: then the run is not accepted, and repeating
        the call is safe.
        """
        if not RUN_ID.fullmatch(run_id):
            raise ValueError("a run id is 1 to 64 letters, digits, _ or -")
        if expires_in is not None and not 0 < expires_in < _LONGEST_S:
            raise ValueError(
                f"expires_in is {expires_in}: give seconds, more than 0 and less than a hundred years"
            )
        stage = repeat.stage if repeat else pipeline.stages[0]
        payload = write(read(body or b"{}", stage.input), stage.input)
        opened = await self._store.open_run(
            run_id,
            pipeline.name,
            stage.name,
            payload,
            expires_in=pipeline.expires_after if expires_in is None else expires_in,
            rerun_of=repeat.run_id if repeat else "",
        )
        if opened.state != "known":
            opening = Opening(
                pipeline=pipeline.name,
                stage=stage.name,
                input=payload,
                accepted_ms=opened.accepted_ms,
                expires_ms=opened.expires_ms,
            )
            try:
                await self._publish(opening.first_job(run_id), stage)
            except MousetrapError as error:
                await self._reject(run_id, error)
                raise
        return Accepted(run_id, opened.state == "new")

    async def rerun(
        self, run: StoredRun, *, run_id: str, begin: str = START, body: bytes | None = None
    ) -> Accepted:
        """Accepts a run under the new id `run_id` that begins at `begin`: "start", "failed", or a stage's name.

        Its input is `body` (JSON) where given, else the input of that stage in `run`, which stays as it is.
        Raises RerunImpossible, and as `submit` does.
        """
        pipeline = self._pipelines.get(run.pipeline)
        if pipeline is None:
            raise RerunImpossible(f"there is no pipeline {run.pipeline!r} here: rerun it where there is")
        stage = stage_of(pipeline, run, begin)
        if body is None:
            body = await stored_input(self._store, pipeline, run, stage)
        return await self.submit(pipeline, body, run_id=run_id, repeat=Repeat(run.id, stage))

    async def republish(self, *, age: float = ABANDONED_S) -> int:
        """Publishes the first job of each run that was recorded `age` seconds ago and may not be published; how many.

        The submitter of such a run got no answer. If its job is in the queue after all, the second one has the same id and
        changes nothing. The store's data of a run counts only if a key of ours signed it; another run is rejected. Raises as
        Queue.publish does, and StoreUnreachable.
        """
        published = 0
        for run_id in await self._store.unpublished(age=age):
            try:
                opening = await self._store.opening(run_id)
            except SignatureRefused as error:
                await self._refuse(run_id, error)
                continue
            pipeline = self._pipelines.get(opening.pipeline) if opening else None
            stage = pipeline.stage(opening.stage) if opening and pipeline else None
            if opening is None or stage is None:
                continue  # another version's pipeline: its own API publishes it
            await self._publish(opening.first_job(run_id), stage)
            published += 1
        return published

    async def _publish(self, job: Job, stage: Stage) -> None:
        await self._queue.publish(stage.queue, signed_message(job, self._keyring))
        self._store.mark_published(job.run_id)

    async def _reject(self, run_id: str, error: MousetrapError) -> None:
        """The caller gets an error; if the message exists after all, its worker must find the run ended."""
        with suppress(StoreUnreachable):
            await self._store.reject_run(run_id, Failure(kind=type(error).__qualname__, text=error.outside()))

    async def _refuse(self, run_id: str, error: SignatureRefused) -> None:
        """Ends a run whose record is not ours. No caller was answered that it is accepted."""
        _log.error("will not publish a run in the store: %s", error, extra={"run": run_id})
        await self._store.reject_run(run_id, Failure(kind="SignatureRefused", text=str(error)))
        self._store.mark_published(run_id)  # so that it is not looked at again


async def submit_run(
    store: RunStore,
    queue: Queue,
    keyring: Keyring,
    pipeline: Pipeline,
    body: bytes,
    *,
    run_id: str,
    expires_in: float | None = None,
) -> Accepted:
    """Submits one run. A `Submitter` does it for many, and repeats them as well."""
    submitter = Submitter(store, queue, keyring, {pipeline.name: pipeline})
    return await submitter.submit(pipeline, body, run_id=run_id, expires_in=expires_in)
