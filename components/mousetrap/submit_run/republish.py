"""Finishes what a submitter began that died between recording a run and publishing its first job."""

import logging
from collections.abc import Mapping

from mousetrap.jobs import Failure, Job, Queue, first_job
from mousetrap.pipeline import Pipeline
from mousetrap.run_store import Opening, RunStore
from mousetrap.signing import Keyring, SignatureRefused
from mousetrap.submit_run.submit import publish_first

_log = logging.getLogger("mousetrap.submit_run")

#: Seconds after which whoever recorded a run is not about to publish it any more.
_SURELY_DEAD = 60.0


async def republish(
    store: RunStore,
    queue: Queue,
    keyring: Keyring,
    pipelines: Mapping[str, Pipeline],
    *,
    age: float = _SURELY_DEAD,
) -> int:
    """Publishes the first job of each run that was recorded `age` seconds ago and may not be published; how many.

    Nobody heard that such a run was accepted, and nobody heard that it was not. Should its job be with the broker after
    all, the second one has the same id and changes nothing. What the store says of a run counts only if a key of ours signed
    it; a run that somebody else wrote there is rejected. Raises as Queue.publish does, and StoreUnreachable.
    """
    published = 0
    for run_id in await store.unpublished(age=age):
        try:
            opening = await store.opening(run_id)
        except SignatureRefused as error:
            await _refuse(store, run_id, error)
            continue
        pipeline = pipelines.get(opening.pipeline) if opening else None
        stage = pipeline.stage(opening.stage) if opening and pipeline else None
        if opening is None or stage is None:
            continue  # another version's pipeline: its own API publishes it
        await publish_first(store, queue, keyring, stage, _first_job(run_id, opening))
        published += 1
    return published


def _first_job(run_id: str, opening: Opening) -> Job:
    return first_job(
        run_id=run_id,
        pipeline=opening.pipeline,
        stage=opening.stage,
        payload=opening.input,
        accepted_ms=opening.accepted_ms,
        expires_ms=opening.expires_ms,
    )


async def _refuse(store: RunStore, run_id: str, error: SignatureRefused) -> None:
    """Ends a run that nobody of ours has recorded so, and that nobody heard to be accepted."""
    _log.error("will not publish a run that lies in the store: %s", error, extra={"run": run_id})
    await store.reject_run(run_id, Failure(kind="SignatureRefused", text=str(error)))
    store.published(run_id)  # so that it is not looked at again
