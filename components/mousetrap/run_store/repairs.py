"""Cancels runs and redrives dead jobs."""

from typing import Literal, cast

import msgspec

from mousetrap.jobs import Done, Failure, Job
from mousetrap.run_store.connection import StoreConnection, text_of
from mousetrap.run_store.keys import job_key
from mousetrap.run_store.signed_records import read_verdict
from mousetrap.run_store.transitions import CancelRun, JobRedriven, RedriveJob
from mousetrap.shapes import RunState


class Repairs(StoreConnection):
    """What an operator does: cancel a run, redrive a dead job, read an output for a re-run."""

    async def cancel(self, run_id: str, why: Failure | None = None) -> RunState | None:
        """The state after this: `cancelled`, or the one in which the run had ended; None for an unknown run."""
        (state,) = await self._batches.call(CancelRun(run_id, text_of(why) if why else "", self._ttl))
        return None if state == "unknown" else RunState(state)

    async def redrive(self, job: Job) -> Job | Literal["stale", "busy"]:
        """Records that a dead job is redriven, before it is published. Gives the job to publish, which no longer expires and is
        no longer too old.

        `stale`: the job has continued since the letter. `busy`: a worker has the job now. The call may be repeated before the
        job is published. The run is reopened by `mark_redriven`, or when a worker claims the job.
        """
        reply, accepted_ms = await self._batches.call(
            RedriveJob(job.id, job.run_id, job.generation, self._ttl)
        )
        if reply == "redriven":
            return job.redriven(accepted_ms)
        return "busy" if reply == "busy" else "stale"

    async def mark_redriven(self, job: Job) -> None:
        """Records that the broker has the job that `redrive` gave: its run is reopened."""
        await self._batches.call(
            JobRedriven(
                job.id, job.run_id, job.pipeline, job.stage, job.accepted_ms, job.generation, self._ttl
            )
        )

    async def output(self, job: Job) -> bytes | None:
        """The output of a job, where it is kept: one larger than the store keeps is deleted when the next stage has it.

        Raises SignatureRefused for a record that is not ours.
        """
        async with self._reaching():
            held = await self._client.hmget(job_key(job.id), "verdict", "generation")
        verdict, reached = cast(list[bytes | None], held)
        if verdict is None:
            return None
        generation = int(reached) if reached and reached.isdigit() else 0
        outcome = read_verdict(verdict, msgspec.structs.replace(job, generation=generation), self._keyring)
        return bytes(outcome.output) if isinstance(outcome, Done) else None
