"""Starts, repeats and republishes runs."""

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple
from uuid import UUID, uuid5

import msgspec

from mousetrap.blobs import has_blobs
from mousetrap.jobs import (
    LONGEST_DELAY_S,
    Failure,
    Job,
    MousetrapError,
    Publishes,
    QueueUnreachable,
    StoreUnreachable,
    TraceContext,
    signed_message,
)
from mousetrap.pipeline import Pipeline, Stage, read, write
from mousetrap.run_store import NewRun, Opened, Opening, RunStore, StoredRun, Terms
from mousetrap.signing import Keyring, SignatureRefused
from mousetrap.submit_run.blobs import with_own_blobs
from mousetrap.submit_run.gate import Gate
from mousetrap.submit_run.options import NOW, SubmitOptions
from mousetrap.submit_run.rerun import START, RerunImpossible, check_body, stage_of, stored_job
from mousetrap.submit_run.window import in_a_window
from mousetrap.tracing import open_tracer

#: Any constant would do; changing it would break the promise that a repeated key returns the first run.
_KEYS = UUID("0b1d4d6e-2f55-5d3c-8a7e-93c5a6f1e204")
#: What a run id may be: safe in a URL, a log line and a key.
_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: Age from which on the submitter of a run that is recorded and not published is taken for dead.
ABANDONED_S = 60.0

_log = logging.getLogger("mousetrap.submit_run")


class Accepted(NamedTuple):
    """The run is kept: it survives any crash from now on."""

    run_id: str
    #: False when the same submission was accepted before; then this is that run.
    new: bool


@dataclass(frozen=True, slots=True)
class Submission:
    """One run to submit: as the arguments of `Submitter.submit`."""

    pipeline: Pipeline
    #: JSON; empty for the contract's defaults.
    body: bytes
    run_id: str
    options: SubmitOptions = NOW
    #: Whether the id was made for this submission: no other can have it, so nothing needs to be known before it is published.
    is_new: bool = False
    #: The run that it repeats, and where its own trace leads back to.
    rerun_of: str = ""
    trace: TraceContext | msgspec.UnsetType = msgspec.UNSET


class Submitter:
    """Submits runs of pipelines.

    1. An input that is too large for a message is put among the payloads; message and record hold a reference to it.
    2. `RunStore.open_run` records the run, so that a reader finds it right after it was accepted.
    3. Its first job is published, and confirmed.
    4. The store notes that the run is published.

    2 and 3 go beside each other where the id is new: the claim of a message that is there first opens the run. Where a
    submitter dies between 2 and 4, `republish` does the rest.
    """

    def __init__(
        self, store: RunStore, queue: Publishes, keyring: Keyring, pipelines: Mapping[str, Pipeline]
    ) -> None:
        self._store = store
        self._queue = queue
        self._keyring = keyring
        self._pipelines = pipelines
        self._tracer = open_tracer()

    async def submit(
        self,
        pipeline: Pipeline,
        body: bytes,
        *,
        run_id: str,
        options: SubmitOptions = NOW,
        is_new: bool = False,
    ) -> Accepted:
        """Accepts one run of `pipeline` on `body` (JSON; empty means the contract's defaults) under the id `run_id`.

        A repeat with the same id and input returns the first run, which keeps its own options. The blobs of files in it are uploaded
        first. Raises ValueError for an id of the wrong form, ContractBroken for a body that the stage does not take and for
        another run's blob, RunConflict when the id is another run's,
        PayloadTooLarge, StoreUnreachable, and what Queue.publish raises: then the run is not accepted, and repeating the
        call is safe. After StoreUnreachable, QueueUnreachable and PublishUnconfirmed it may run all the same.
        """
        return await self._accept(Submission(pipeline, body, run_id, options, is_new), pipeline.first)

    async def submit_many(
        self, submissions: Sequence[Submission], gate: Gate | None = None
    ) -> list[Accepted | Exception]:
        """Accepts many runs as one: for each, in order, that it is accepted, or the error that `submit` raises for it.

        No more than a few hundred are under way at once. While broker or store is away, one a second is tried; after a
        few seconds all others get NotTried. Calls with one `gate` share what they know of it, and keep the order of what has
        the same id. To repeat the call is safe, with the same ids.
        """
        return await in_a_window(
            submissions, lambda each: self._accept(each, each.pipeline.first, many=True), gate or Gate()
        )

    async def rerun(
        self, run: StoredRun, *, run_id: str, begin: str = START, body: bytes | None = None
    ) -> Accepted:
        """Accepts a run under the new id `run_id` that begins at `begin`: "start", "failed", or a stage's name.

        Its input is `body` (JSON) where given, else the input of that stage in `run`, which stays as it is; blobs of `run` are copied,
        and the new run has its tags and its priority.
        Raises RerunImpossible, and as `submit` does.
        """
        pipeline, stage = self._stage(run, begin)
        if body is not None:
            check_body(stage)
        else:
            body = bytes((await stored_job(self._store, pipeline, run, stage)).payload)
        options = SubmitOptions(tags=run.tags, priority=run.priority)
        repeating = Submission(pipeline, body, run_id, options, rerun_of=run.id, trace=run.restarted_trace)
        return await self._accept(repeating, stage)

    async def job_of(self, run: StoredRun, begin: str = START) -> Job:
        """The job that `run` had at the stage `begin`, with its latest attempt, its input as JSON. Changes nothing.

        Raises RerunImpossible.
        """
        pipeline, stage = self._stage(run, begin)
        job = await stored_job(self._store, pipeline, run, stage)
        attempts = [event.attempt for event in run.timeline if event.job == job.id and event.attempt]
        return msgspec.structs.replace(job, attempt=max(attempts, default=1))

    def _stage(self, run: StoredRun, begin: str) -> tuple[Pipeline, Stage]:
        pipeline = self._pipelines.get(run.pipeline)
        if pipeline is None:
            raise RerunImpossible(f"there is no pipeline {run.pipeline!r} here: rerun it where there is")
        return pipeline, stage_of(pipeline, run, begin)

    async def republish(self, *, age: float = ABANDONED_S) -> int:
        """Publishes the first job of each run that was recorded `age` seconds ago and may not be published; how many.

        The submitter of such a run got no answer. If its job is in the queue after all, the second one has the same id and
        changes nothing. The store's data of a run counts only if a key of ours signed it; another run is rejected. A queue that
        takes none holds up no other. Raises as Queue.publish does, once all others are published, QueueUnreachable at once,
        and StoreUnreachable.
        """
        published = 0
        failed: dict[str, MousetrapError] = {}
        page = await self._store.unpublished(age=age)
        while True:
            for run_id in page.run_ids:
                published += await self._published_again(run_id, page.now_ms, failed)
            if not page.marks:
                break
            page = await self._store.unpublished(age=age, marks=page.marks)
        for error in failed.values():
            raise error
        return published

    async def _published_again(self, run_id: str, now_ms: int, failed: dict[str, MousetrapError]) -> bool:
        """Whether the run's first job is published now. `failed` are the queues that took none, each with the error."""
        try:
            opening = await self._store.opening(run_id)
        except SignatureRefused as error:
            await self._refuse(run_id, error)
            return False
        pipeline = self._pipelines.get(opening.pipeline) if opening else None
        stage = pipeline.stage(opening.stage) if opening and pipeline else None
        if opening is None or stage is None or stage.queue in failed:
            return False  # it may be another version's pipeline, whose own API publishes it
        # When it was accepted is the store's word: the delay is bounded here, since a queue refuses one without end.
        left_s = ((opening.due_ms or 0) - now_ms) / 1000
        try:
            await self._publish(opening.first_job(run_id), stage, min(max(left_s, 0.0), LONGEST_DELAY_S))
        except QueueUnreachable:
            raise
        except MousetrapError as error:
            failed[stage.queue] = error
            return False
        return True

    async def _accept(self, submission: Submission, stage: Stage, *, many: bool = False) -> Accepted:
        """As `_recorded`, in a span where this process traces. `many`: it is one of several that are submitted together."""
        if self._tracer is None:
            return await self._recorded(submission, stage)
        names = submission.pipeline.name, stage.queue, submission.run_id
        own = many or bool(submission.rerun_of)
        with self._tracer.submitting(*names, submission.trace or None, own=own) as trace:
            return await self._recorded(replace(submission, trace=trace), stage)

    async def _recorded(self, submission: Submission, stage: Stage) -> Accepted:
        """Records the run, and publishes its first job, unless it is known."""
        run_id, pipeline = submission.run_id, submission.pipeline
        if not _RUN_ID.fullmatch(run_id):
            raise ValueError("a run id is 1 to 64 letters, digits, _ or -")
        payload = write(read(submission.body or b"{}", stage.input), stage.input)
        # Before the run is known to anyone: what dies in between leaves a payload without a run, which a sweep removes.
        payload = await with_own_blobs(payload, self._store.payloads, run_id, submission.rerun_of)
        reference = await self._store.payloads.put_large(run_id, payload)
        if self._goes_beside(submission, payload) and reference is msgspec.UNSET:
            return await self._accept_beside(submission, payload)
        opened = await self._store.open_run(
            run_id,
            pipeline.name,
            stage.name,
            payload,
            reference=reference,
            terms=_terms(submission),
        )
        if opened.state != "known":
            opening = Opening(
                pipeline=pipeline.name,
                stage=stage.name,
                input=payload if reference is msgspec.UNSET else b"null",
                reference=reference,
                accepted_ms=opened.accepted_ms,
                expires_ms=opened.expires_ms,
                is_packed=opened.is_packed,
                trace=submission.trace,
                priority=submission.options.priority,
            )
            try:
                await self._publish(opening.first_job(run_id), stage, opened.due_in_s)
            except MousetrapError as error:
                await self._reject(run_id, error, opened)
                raise
        return Accepted(run_id, opened.state == "new")

    def _goes_beside(self, submission: Submission, payload: bytes) -> bool:
        """Whether record and message go out together. A blob without a record is swept away, and a run's delay is in its record."""
        return (
            submission.is_new
            and not submission.options.delay_s
            and self._store.opens_beside()
            and not has_blobs(payload)
        )

    async def _accept_beside(self, submission: Submission, payload: bytes) -> Accepted:
        """Records the run while its first job is published. A store that failed gets a tombstone, for the message may be there."""
        run_id, name, stage = submission.run_id, submission.pipeline.name, submission.pipeline.first
        draft = await self._store.draft_run(run_id, name, stage.name, payload, terms=_terms(submission))
        publish = self._queue.publish(stage.queue, signed_message(draft.first_job(), self._keyring))
        publishing = asyncio.create_task(publish)
        publishing.add_done_callback(_ignore_error)  # the store's is raised in its place
        try:
            await self._kept(draft, publishing)
        finally:
            publishing.cancel()  # its caller may have left
        self._store.mark_published(run_id)
        return Accepted(run_id, True)

    async def _kept(self, draft: NewRun, publishing: "asyncio.Task[None]") -> None:
        """Returns once the run is recorded and its message confirmed. Raises what either raises, the store's error first."""
        try:
            opened = await self._store.open_drafted(draft)
        except StoreUnreachable as error:
            self._store.withdraw_run(draft, _failure(error))
            await asyncio.wait([publishing])
            raise
        try:
            await publishing
        except MousetrapError as error:
            await self._reject(draft.run_id, error, opened)
            raise

    async def _publish(self, job: Job, stage: Stage, after: float) -> None:
        await self._queue.publish(stage.queue, signed_message(job, self._keyring), after=after)
        self._store.mark_published(job.run_id)
        if after:
            self._store.note_first_later(stage.queue, job.id, after)

    async def _reject(self, run_id: str, error: MousetrapError, opened: Opened) -> None:
        """The caller gets an error; if the message exists after all, its worker must find the run ended."""
        with suppress(StoreUnreachable):
            await self._store.reject_run(run_id, _failure(error), opened)

    async def _refuse(self, run_id: str, error: SignatureRefused) -> None:
        """Ends a run whose record is not ours. No caller was answered that it is accepted."""
        _log.error("will not publish a run in the store: %s", error, extra={"run": run_id})
        await self._store.reject_run(run_id, Failure(kind="SignatureRefused", text=str(error)))
        self._store.mark_published(run_id)  # so that it is not looked at again


async def submit_run(
    store: RunStore,
    queue: Publishes,
    keyring: Keyring,
    pipeline: Pipeline,
    body: bytes,
    *,
    run_id: str,
    options: SubmitOptions = NOW,
    is_new: bool = False,
) -> Accepted:
    """Submits one run. A `Submitter` does it for many, and repeats them as well."""
    submitter = Submitter(store, queue, keyring, {pipeline.name: pipeline})
    return await submitter.submit(pipeline, body, run_id=run_id, options=options, is_new=is_new)


def _terms(submission: Submission) -> Terms:
    options, its_own = submission.options, submission.pipeline.expires_after
    expires_in = options.expires_in
    if expires_in is None and its_own is not None:
        expires_in = options.delay_s + its_own
    return Terms(
        delay_s=options.delay_s,
        expires_in=expires_in,
        rerun_of=submission.rerun_of,
        tags=options.tags,
        priority=options.priority,
        trace=submission.trace,
    )


def _ignore_error(publishing: "asyncio.Task[None]") -> None:
    if not publishing.cancelled():
        publishing.exception()


def _failure(error: MousetrapError) -> Failure:
    return Failure(kind=type(error).__qualname__, text=error.outside())


def new_run_id(now_ms: int, chance: bytes) -> str:
    """An id of 32 hexadecimal digits: the time in milliseconds, then ten bytes of `chance`."""
    return f"{now_ms:012x}{chance[:10].hex()}"


def run_id_of_key(owner: str, pipeline: str, key: str) -> str:
    """The id that `owner` gets for this idempotency key, always the same; two owners' equal keys do not meet."""
    return uuid5(_KEYS, f"{owner}|{pipeline}|{key}").hex
