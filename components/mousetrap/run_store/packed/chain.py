"""Follows the jobs of a packed run, whose ids are deterministic."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from mousetrap.jobs import first_job
from mousetrap.run_store.damage import is_damage
from mousetrap.run_store.records import JobRecord, RecordBroken, RunFacts, decode_job

#: Stages that are remembered; far more than one deployment has.
_MOST = 10_000
#: Stages that are guessed of one run.
_FARTHEST = 64

_model = first_job(run_id="r", pipeline="p", stage="s", payload=b"null", accepted_ms=0)


class Chain(NamedTuple):
    """Jobs of a run, each following from the one before."""

    jobs: tuple[tuple[str, JobRecord], ...] = ()
    #: The job whose record is needed to go on; empty where the chain has ended.
    lacking: str = ""
    #: Why it cannot be followed further; empty where it can.
    damage: str = ""

    @property
    def tail(self) -> JobRecord | None:
        """The last job that is known."""
        return self.jobs[-1][1] if self.jobs else None

    @property
    def stage(self) -> str:
        """The stage of the last job that a worker had or that was redriven; empty for none."""
        facts = (job.facts for _, job in reversed(self.jobs))
        return next((it.stage for it in facts if it.claimed_ms or it.generation), "")


def first_id(run_id: str, stage: str) -> str:
    """The id of a run's first job."""
    return first_job(run_id=run_id, pipeline="p", stage=stage, payload=b"null", accepted_ms=0).id


def next_id(run_id: str, job_id: str, stage: str) -> str:
    """The id of the job at `stage` that follows from this one."""
    return msgspec.structs.replace(_model, run_id=run_id, id=job_id).following(stage, b"null").id


def follow(run_id: str, stage: str, newest: str, records: Mapping[str, Any]) -> Chain:
    """The jobs of a run that began with `stage`; `records` are replies of the store by job id, None for no record.

    `newest` is the job of the last event that is written, empty for none. A run that was restored from a later job's message has
    no earlier ones: its chain begins there.
    """
    chain = _from(run_id, first_id(run_id, stage), records)
    if chain.lacking or not newest or any(job_id == newest for job_id, _ in chain.jobs):
        return chain
    rest = _from(run_id, newest, records)
    return Chain(chain.jobs + rest.jobs, rest.lacking, chain.damage or rest.damage)


def _from(run_id: str, job_id: str, records: Mapping[str, Any]) -> Chain:
    jobs: list[tuple[str, JobRecord]] = []
    while job_id in records:
        if (record := records[job_id]) is None:
            return Chain(tuple(jobs))
        try:
            if is_damage(record):
                raise RecordBroken(str(record))
            job = decode_job(record)
        except RecordBroken as error:
            return Chain(tuple(jobs), damage=f"the job {job_id}: {error}")
        jobs.append((job_id, job))
        # The stage after a decision that names none is not known.
        if job.state != "done" or job.facts.next in ("", "?"):
            return Chain(tuple(jobs))
        job_id = next_id(run_id, job_id, job.facts.next)
    return Chain(tuple(jobs), lacking=job_id)


class Routes:
    """The stages that followed in the runs read so far: most runs go the way of those before.

    What is guessed from them is only which records to ask for; the records show the way.
    """

    def __init__(self) -> None:
        self._next: dict[tuple[str, str], str] = {}

    def learn(self, pipeline: str, chain: Chain) -> None:
        """Remembers the way of a run."""
        if len(self._next) > _MOST:
            self._next.clear()
        for _, job in chain.jobs:
            if job.facts.next not in ("", "?"):
                self._next[pipeline, job.facts.stage] = job.facts.next

    def first(self, run_id: str, facts: RunFacts) -> Iterable[str]:
        """The ids of the jobs that a run may have."""
        return self._guess(run_id, facts.pipeline, facts.stage, first_id(run_id, facts.stage))

    def more(self, run_id: str, facts: RunFacts, chain: Chain) -> Iterable[str]:
        """The ids of those that may follow in a chain that lacks one."""
        if not chain.lacking:
            return ()
        stage = chain.tail.facts.next if chain.tail else ""
        return self._guess(run_id, facts.pipeline, stage, chain.lacking)

    def _guess(self, run_id: str, pipeline: str, stage: str, job_id: str) -> Iterable[str]:
        for _ in range(_FARTHEST):
            yield job_id
            stage = self._next.get((pipeline, stage), "")
            if not stage:
                return
            job_id = next_id(run_id, job_id, stage)
