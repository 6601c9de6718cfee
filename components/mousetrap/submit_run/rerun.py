"""Starts a run that repeats another one: all of it, or from a later stage on, with the input it had or another."""

from mousetrap.jobs import MousetrapError, Queue, first_job
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.run_store import RunStore, StoredRun
from mousetrap.shapes import RunState
from mousetrap.signing import Keyring, SignatureRefused
from mousetrap.submit_run.submit import Accepted, submit_run

#: Where a re-run may begin, besides a stage's name: where the run did, or where it failed.
START, FAILED = "start", "failed"


class RerunImpossible(MousetrapError):
    """The run cannot be repeated in this way; the text says why, and what can be done."""


async def rerun(
    store: RunStore,
    queue: Queue,
    keyring: Keyring,
    pipeline: Pipeline,
    run: StoredRun,
    *,
    run_id: str,
    begin: str = START,
    body: bytes | None = None,
) -> Accepted:
    """Accepts a run under the new id `run_id` that begins at `begin`: "start", "failed", or a stage's name.

    Its input is `body` (JSON) where given, else what that stage was given in `run`. The old run stays as it is.
    Raises RerunImpossible, and as submit_run does.
    """
    stage = _stage(pipeline, run, begin)
    if body is None:
        body = await _stored_input(store, pipeline, run, stage)
    return await submit_run(
        store, queue, keyring, pipeline, body, run_id=run_id, stage=stage, rerun_of=run.id
    )


def _stage(pipeline: Pipeline, run: StoredRun, begin: str) -> Stage:
    if begin == FAILED and run.state != RunState.FAILED:
        raise RerunImpossible(
            f"run {run.id} has not failed, it is {run.state}: name the stage to begin at, or `start`"
        )
    name = {START: run.first, FAILED: run.stage}.get(begin, begin)
    stage = pipeline.stage(name)
    if stage is None:
        known = ", ".join(stage.name for stage in pipeline.stages)
        raise RerunImpossible(f"pipeline {pipeline.name!r} has no stage {name!r}: it has {known}")
    return stage


async def _stored_input(store: RunStore, pipeline: Pipeline, run: StoredRun, stage: Stage) -> bytes:
    """What `stage` was given in `run`: the run's own input, or what the stage before it gave."""
    try:
        return await _walked(store, pipeline, run, stage)
    except SignatureRefused as error:
        raise RerunImpossible(
            f"what the store holds of run {run.id} is not ours to repeat: {error}. Give an input"
        ) from error


async def _walked(store: RunStore, pipeline: Pipeline, run: StoredRun, stage: Stage) -> bytes:
    opening = await store.opening(run.id)
    if opening is None or (opening.pipeline, opening.stage) != (pipeline.name, run.first):
        raise RerunImpossible(f"the input of run {run.id} is not kept any more: give an input")
    payload = opening.input
    job = first_job(
        run_id=run.id,
        pipeline=pipeline.name,
        stage=opening.stage,
        payload=payload,
        accepted_ms=opening.accepted_ms,
    )
    here = pipeline.stage(opening.stage)
    while here is not None and here.name != stage.name:
        output, before = await store.output(job), here
        here = pipeline.after(here)
        if output is None or here is None:
            raise RerunImpossible(
                f"the input of stage {stage.name!r} in run {run.id} is not kept: {_why_missing(run, before)}. "
                "Give another (`--input @FILE`), begin at an earlier stage, or redrive its dead letter if it has one"
            )
        job, payload = job.following(here.name, output), output
    return payload


def _why_missing(run: StoredRun, before: Stage) -> str:
    """Why there is no output of the stage `before`, by what the run's timeline says."""
    if any(event.kind == "finished" and event.stage == before.name for event in run.timeline):
        return f"an output larger than MOUSETRAP_KEEP_OUTPUT_BYTES, as that of stage {before.name!r}, is not kept"
    return f"the run did not finish stage {before.name!r}"
