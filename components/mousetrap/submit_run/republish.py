"""Finishes what a submitter began that died between recording a run and publishing its first job."""

from collections.abc import Mapping

import msgspec

from mousetrap.jobs import Queue, first_job
from mousetrap.pipeline import Pipeline
from mousetrap.run_store import RunStore
from mousetrap.signing import Keyring
from mousetrap.submit_run.submit import publish_first

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
    all, the second one has the same id and changes nothing. Raises as Queue.publish does, and StoreUnreachable.
    """
    published = 0
    for run_id in await store.unpublished(age=age):
        run = await store.get(run_id)
        pipeline = pipelines.get(run.pipeline) if run else None
        stage = pipeline.stage(run.first) if run and pipeline else None
        if run is None or stage is None:
            continue  # another version's pipeline: its own API publishes it
        job = first_job(
            run_id=run_id,
            pipeline=run.pipeline,
            stage=stage.name,
            payload=msgspec.json.encode(run.input),
            accepted_ms=run.accepted_ms,
            expires_ms=run.expires_ms,
        )
        await publish_first(store, queue, keyring, stage, job)
        published += 1
    return published
