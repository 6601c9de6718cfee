"""Takes a granted job to its outcome: alone if it is a suspect, not at all if its lock is another's."""

import asyncio
import random
from functools import partial
from typing import Literal

from mousetrap.handlers import (
    BoundHandler,
    crash_loop,
    lock_held,
    locked_out,
    too_many,
    unknown_stage,
    waited_out,
)
from mousetrap.jobs import Job, Outcome, RetryLater
from mousetrap.run_store import Granted, RunStore
from mousetrap.shutdown import uncancel
from mousetrap.worker.attempt import Attempt
from mousetrap.worker.company import Company
from mousetrap.worker.patience import Patience
from mousetrap.worker.watching import Watching


class LockHeld(Exception):
    """Another job holds the lock that this one needs, and its stage has that fail the attempt."""


class CancelledByOthers(Exception):
    """The attempt was cancelled, and not by its worker."""


_CANCELLED = (
    "the task that runs this attempt was cancelled, and not by the worker: cancel no task that is not yours"
)


class Undertaking:
    """What lies between a claim and a decision."""

    def __init__(self, store: RunStore, name: str, patience: Patience, watching: Watching) -> None:
        self._store = store
        self._name = name
        self._patience = patience
        self._watching = watching
        self._company = Company()

    async def outcome(
        self, attempt: Attempt, performer: BoundHandler | None, claim: Granted
    ) -> Outcome | Literal["stale", "over"]:
        """What came of the job; or, as a decision would say it, that another claim has won or its run ended before it began."""
        if performer is None:
            return unknown_stage(attempt.job, attempt.queue)
        if claim.locked_by:
            return await self._without_lock(attempt.job, performer, claim.locked_by)
        if claim.suspect and claim.starts >= performer.stage.retry.crashes:
            return crash_loop(claim.starts)
        allowed = performer.stage.retry.attempts
        if allowed is not None and attempt.job.attempt > allowed:
            return too_many(attempt.job.attempt, allowed)
        attempt.performing, attempt.counted = True, not claim.suspect
        try:
            await self._company.join(alone=claim.suspect)
            try:
                if claim.suspect and not await self._begin(attempt):
                    return "stale"
                outcome = await self._perform(attempt, performer, claim)
            finally:
                self._company.leave(alone=claim.suspect)
        finally:
            attempt.performing = False
        if isinstance(outcome, RetryLater) and not outcome.counted:
            return waited_out(outcome, claim.away_ms / 1000, performer.stage.retry, random.random())
        return outcome

    async def _without_lock(
        self, job: Job, performer: BoundHandler, holder: str
    ) -> Outcome | Literal["over"]:
        assert performer.stage.lock is not None
        match performer.stage.lock.on_conflict:
            case "skip":
                skip = partial(self._store.cancel, job.run_id, lock_held(holder))
                await self._patience.until_done("end runs", skip)
                return "over"
            case "fail":
                error = LockHeld(f"run {holder} holds the lock that this job needs")
                return performer.judged(error, job)
            case _:
                return locked_out(holder)

    async def _begin(self, attempt: Attempt) -> bool:
        """Notes that a suspect begins, for its start counts only now; False when another worker has it."""
        begin = partial(self._store.begin, attempt.job, fence=attempt.fence, worker=self._name)
        attempt.counted = bool(await self._patience.until_done("begin jobs", begin))
        return attempt.counted

    async def _perform(self, attempt: Attempt, performer: BoundHandler, claim: Granted) -> Outcome:
        try:
            return await performer.run(attempt.job, fence=claim.fence, lock_fence=claim.lock_fence)
        except asyncio.CancelledError:
            if attempt.useless or self._watching.forced:
                raise
            # Somebody in this process cancels tasks that are not his own, as all of asyncio.all_tasks().
            uncancel()
            return performer.judged(CancelledByOthers(_CANCELLED), attempt.job)
