"""Record first, publish second: whoever reads a run right after it was accepted finds it."""

from contextlib import suppress
from typing import NamedTuple

from mousetrap.jobs import Failure, Job, Message, MousetrapError, Queue, StoreUnreachable, encode, first_job
from mousetrap.pipeline import Pipeline, Stage, read, write
from mousetrap.run_store import Opened, RunStore
from mousetrap.signing import Keyring
from mousetrap.submit_run.run_ids import RUN_ID

#: A hundred years; the store counts in milliseconds, which have an end as well.
_LONGEST_S = 100 * 365 * 86_400.0


class Accepted(NamedTuple):
    """The run is kept, whatever dies now."""

    run_id: str
    #: False when the same submission was accepted before; then this is that run.
    new: bool


async def submit_run(
    store: RunStore,
    queue: Queue,
    keyring: Keyring,
    pipeline: Pipeline,
    body: bytes,
    *,
    run_id: str,
    expires_in: float | None = None,
    stage: Stage | None = None,
    rerun_of: str = "",
) -> Accepted:
    """Accepts one run of `pipeline` on `body` (JSON; empty means the contract's defaults) under the id `run_id`.

    After `expires_in` seconds (the pipeline's own number where not given) no job of it is begun any more. It starts at
    the first stage unless another `stage` is named.

    A repeat with the same id and input returns the first run. Raises ValueError for an id of the wrong form and for an
    `expires_in` that is no span of time, ContractBroken for a body that the stage does not take, RunConflict when the id is
    another run's, StoreUnreachable, and what Queue.publish raises: then the run is not accepted, and repeating the call is
    safe.
    """
    if not RUN_ID.fullmatch(run_id):
        raise ValueError("a run id is 1 to 64 letters, digits, _ or -")
    if expires_in is not None and not 0 < expires_in < _LONGEST_S:
        raise ValueError(
            f"expires_in is {expires_in}: give seconds, more than 0 and less than a hundred years"
        )
    stage = stage or pipeline.first
    payload = write(read(body or b"{}", stage.input), stage.input)
    opened = await store.open_run(
        run_id,
        pipeline.name,
        stage.name,
        payload,
        expires_in=pipeline.expires_after if expires_in is None else expires_in,
        rerun_of=rerun_of,
    )
    if opened.state != "known":
        job = _first_job(run_id, pipeline, stage, payload, opened)
        try:
            await publish_first(store, queue, keyring, stage, job)
        except MousetrapError as error:
            await _take_back(store, run_id, error)
            raise
    return Accepted(run_id, opened.state == "new")


def _first_job(run_id: str, pipeline: Pipeline, stage: Stage, payload: bytes, opened: Opened) -> Job:
    return first_job(
        run_id=run_id,
        pipeline=pipeline.name,
        stage=stage.name,
        payload=payload,
        accepted_ms=opened.accepted_ms,
        expires_ms=opened.expires_ms,
    )


async def publish_first(store: RunStore, queue: Queue, keyring: Keyring, stage: Stage, job: Job) -> None:
    """Publishes the job that starts a run, and notes that it is published. Raises as Queue.publish does."""
    signed = encode(job)
    await queue.publish(stage.queue, Message(job.id, signed, keyring.headers(signed)))
    store.published(job.run_id)


async def _take_back(store: RunStore, run_id: str, error: MousetrapError) -> None:
    """The caller hears that the run is not accepted; should the message exist after all, it must find the run ended."""
    with suppress(StoreUnreachable):
        await store.reject_run(run_id, Failure(kind=type(error).__qualname__, text=error.outside()))
