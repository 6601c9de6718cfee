"""Finds the stage and the input that a re-run begins with."""

from mousetrap.jobs import Done, Job, MousetrapError, PayloadUnusable
from mousetrap.pipeline import (
    ContractBroken,
    Fallback,
    Fan,
    Payload,
    Pipeline,
    SerializerMissing,
    Stage,
    edge_of,
    payload_as_json,
)
from mousetrap.run_store import RunStore, StoredRun
from mousetrap.shapes import Fan as Children
from mousetrap.shapes import RunState
from mousetrap.signing import SignatureRefused
from mousetrap.submit_run.joined_input import JoinImpossible, joined_input

#: Where a re-run may begin, besides a stage's name: where the run did, or where it failed.
START, FAILED = "start", "failed"


class RerunImpossible(MousetrapError):
    """The run cannot be repeated in this way; the text has the reason, and what can be done."""


def stage_of(pipeline: Pipeline, run: StoredRun, begin: str) -> Stage:
    """The stage that `begin` names: "start", "failed", or a stage's name. Raises RerunImpossible."""
    if begin == FAILED and run.state != RunState.FAILED:
        raise RerunImpossible(
            f"run {run.id} has not failed, it is {run.state}: name the stage to begin at, or `start`"
        )
    if begin == FAILED and (lost := _lost_children(run)) is not None:
        raise RerunImpossible(
            f"run {run.id} failed as {lost.lost} of the jobs that stage {lost.stage!r} opened were given up: redrive them with "
            f"`mousetrap dead redrive --run {run.id}`, and what joins them follows; or begin at {lost.stage!r}"
        )
    name = {START: run.first, FAILED: run.stage}.get(begin, begin)
    stage = pipeline.stage(name)
    if stage is None:
        known = ", ".join(stage.name for stage in pipeline.stages)
        raise RerunImpossible(f"pipeline {pipeline.name!r} has no stage {name!r}: it has {known}")
    _check_single(pipeline, run, stage)
    return stage


def check_body(stage: Stage) -> None:
    """Raises RerunImpossible for a stage that takes what no one can write down."""
    if _gathers(stage):
        raise RerunImpossible(
            f"stage {stage.name!r} takes the outputs of a fan-out, which are in the store: leave out the input"
        )


def _gathers(stage: Stage) -> bool:
    """Whether it joins a fan-out. Of a pipeline that is known from workers, the contracts do not show it."""
    return edge_of(stage.after) == "gather"


def _check_single(pipeline: Pipeline, run: StoredRun, stage: Stage) -> None:
    """Raises RerunImpossible for a stage with many jobs, and for one whose input names outputs that are its own run's."""
    if levels := pipeline.levels(stage):
        opener = levels[0].opener
        raise RerunImpossible(
            f"a run has no single job of stage {stage.name!r} to begin with, for {opener!r} opens several: begin at {opener!r}; or "
            f"redrive what was given up with `mousetrap dead redrive --run {run.id}`, and what joins them follows"
        )
    for each in pipeline.stages:
        if _gathers(each) and each.on_failure == Fallback(stage.name):
            raise RerunImpossible(
                f"what stage {stage.name!r} takes of {each.name!r} names outputs of run {run.id}: begin at {each.name!r}"
            )


def _lost_children(run: StoredRun) -> Children | None:
    """The children that a run has failed with; None where the job that opened them was given up itself."""
    last = run.fans[-1] if run.fans else None
    if last is None or last.state == "fired" or not last.lost:
        return None
    return None if any(it.kind == "gave_up" and it.job == last.job for it in run.timeline) else last


async def stored_job(store: RunStore, pipeline: Pipeline, run: StoredRun, stage: Stage) -> Job:
    """The job of `stage` in `run`: its input, as JSON, is the run's own, or the output of the stage before.

    Raises RerunImpossible.
    """
    try:
        return await _Way(store, pipeline, run, stage).job()
    except SignatureRefused as error:
        raise RerunImpossible(
            f"the store's data of run {run.id} is not ours to repeat: {error}. Give an input"
        ) from error
    except PayloadUnusable as error:
        raise RerunImpossible(
            f"the input of stage {stage.name!r} in run {run.id} is gone: {error.outside()}"
        ) from error
    except JoinImpossible as error:
        raise RerunImpossible(
            f"stage {stage.name!r} of run {run.id} cannot begin once more: {error}"
        ) from error


class _Way:
    """Goes from a run's first job on by what its jobs gave, to the one of a stage."""

    def __init__(self, store: RunStore, pipeline: Pipeline, run: StoredRun, end: Stage) -> None:
        self._store = store
        self._pipeline = pipeline
        self._run = run
        self._end = end

    async def job(self) -> Job:
        """The job of that stage. Raises as `stored_job`, what the store raises, and JoinImpossible."""
        job, payload = await self._first(), None
        here = self._pipeline.stage(job.stage)
        while here is not None and here.name != self._end.name:
            outcome = await self._store.output(job) if _leads_on(self._pipeline, here) else None
            opens = outcome is not None and outcome.opens is not None
            if opens and (fan := self._pipeline.opened_by(here)) is not None:
                job, payload, here = await self._joined(job, fan)
            else:
                job, payload, here = self._followed(job, here, outcome)
        if payload is None:
            payload = bytes((await self._store.payloads.resolved(job)).payload)
        return job.edited(payload)

    async def _first(self) -> Job:
        opening = await self._store.opening(self._run.id)
        if opening is None or (opening.pipeline, opening.stage) != (self._pipeline.name, self._run.first):
            raise RerunImpossible(f"the input of run {self._run.id} is not kept any more: give an input")
        return opening.first_job(self._run.id)

    async def _joined(self, opener: Job, fan: Fan) -> tuple[Job, bytes, Stage]:
        """The job that joins what a job has opened. Only at the end of the way its input is looked for."""
        run, join = self._run, fan.join
        if join is None:
            raise RerunImpossible(f"run {run.id} ended with what stage {opener.stage!r} opened: begin there")
        is_end = join.name == self._end.name
        payload = await joined_input(self._store, run, opener, fan) if is_end else b"null"
        return opener.joined(join.name, b"null", fan=opener.id, fence=1), payload, join

    def _followed(self, job: Job, here: Stage, outcome: Done | None) -> tuple[Job, bytes, Stage]:
        """The job that follows from an outcome."""
        following = self._pipeline.follower(here, outcome.next) if outcome is not None else None
        if outcome is None or following is None:
            why = _why_missing(self._pipeline, self._run, here, outcome)
            raise RerunImpossible(
                f"the input of stage {self._end.name!r} in run {self._run.id} is not kept: {why}. "
                "Give another (`--input @FILE`), begin at an earlier stage, or redrive its dead letter if it has one"
            )
        output = Payload(bytes(outcome.output), outcome.serializer)
        following_job = job.following(following.name, output.raw, output.serializer)
        return following_job, _as_json(output, following), following


def _leads_on(pipeline: Pipeline, stage: Stage) -> bool:
    """Whether a run may go on after the stage: with one that follows it, or with its fallback."""
    return bool(pipeline.followers(stage)) or isinstance(stage.on_failure, Fallback)


def _as_json(output: Payload, stage: Stage) -> bytes:
    """The input of `stage` as a submitter gives it."""
    try:
        return payload_as_json(output, stage)
    except (ContractBroken, SerializerMissing) as error:
        raise RerunImpossible(
            f"the input of stage {stage.name!r} was written with serializer {output.serializer!r} and cannot be read here: "
            f"{error}. Give another input (`--input @FILE`), or begin at an earlier stage"
        ) from error


def _why_missing(pipeline: Pipeline, run: StoredRun, before: Stage, outcome: Done | None) -> str:
    """Why nothing goes on from the stage `before`, by the pipeline and the run's timeline."""
    if not _leads_on(pipeline, before):
        return f"the run went to stage {before.name!r}, which nothing follows"
    given_up = any(event.kind == "gave_up" and event.stage == before.name for event in run.timeline)
    if before.on_failure == "skip_after" and given_up:
        return f"stage {before.name!r} was given up, and then nothing that follows it runs"
    if outcome is not None:
        return (
            f"after stage {before.name!r} the run went to {outcome.next!r}, which does not follow it any more"
        )
    if any(event.kind == "finished" and event.stage == before.name for event in run.timeline):
        return f"an output larger than MOUSETRAP_KEEP_OUTPUT_BYTES, as that of stage {before.name!r}, is not kept"
    return f"the run did not finish stage {before.name!r}"
