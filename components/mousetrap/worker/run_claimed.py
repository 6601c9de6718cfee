"""Runs a claimed job; a suspect runs alone."""

import asyncio
import random
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
from mousetrap.retry import RetryPolicy
from mousetrap.run_store import Granted
from mousetrap.shutdown import uncancel
from mousetrap.telemetry import Observer
from mousetrap.worker.attempts import Attempt, Attempts
from mousetrap.worker.claims import Claims
from mousetrap.worker.suspects import SuspectGate


class LockHeld(Exception):
    """Another job holds the lock that this one needs, and its stage has that fail the attempt."""


class CancelledByOthers(Exception):
    """The attempt was cancelled, and not by its worker."""


_CANCELLED = (
    "the task that runs this attempt was cancelled, and not by the worker: cancel no task that is not yours"
)


class ClaimedRunner:
    """Takes a claimed job to its outcome.

    1. A job that may not run gets its outcome at once: no handler, no lock, too many attempts or crashes.
    2. It passes the gate; a suspect waits until it is alone, and its start is recorded.
    3. Its handler runs; what it raises is an outcome, and so is a cancellation by code that is not ours.
    """

    def __init__(self, claims: Claims, attempts: Attempts, observer: Observer) -> None:
        self._claims = claims
        self._attempts = attempts
        self._observer = observer
        self._gate = SuspectGate()

    async def run(self, attempt: Attempt, claim: Granted) -> Outcome | Literal["stale", "over"]:
        """The outcome; or why there is none: another claim has won, or the run has ended, before the handler began."""
        job, handler = attempt.job, attempt.handler
        if handler is None:
            return unknown_stage(job, attempt.queue)
        if claim.locked_by:
            return await self._without_lock(job, handler, claim.locked_by)
        if (refused := _refused(job, handler.stage.retry, claim)) is not None:
            return refused
        attempt.running, attempt.counted = True, not claim.suspect
        try:
            await self._gate.enter(suspect=claim.suspect)
            try:
                if claim.suspect and not await self._claims.begin(attempt):
                    return "stale"
                self._observer.started(job)
                outcome = await self._handled(attempt, handler, claim)
            finally:
                self._gate.exit(suspect=claim.suspect)
        finally:
            attempt.running = False
        self._observer.ended(job, outcome)
        if isinstance(outcome, RetryLater) and not outcome.counted:
            return waited_out(outcome, claim.away_ms / 1000, handler.stage.retry, random.random())
        return outcome

    async def _handled(self, attempt: Attempt, handler: BoundHandler, claim: Granted) -> Outcome:
        try:
            return await handler.run(attempt.job, fence=claim.fence, lock_fence=claim.lock_fence)
        except asyncio.CancelledError:
            if attempt.obsolete or self._attempts.handing_back:
                raise
            # Other code in this process cancels tasks that are not its own, as all of asyncio.all_tasks().
            uncancel()
            return handler.judged(CancelledByOthers(_CANCELLED), attempt.job)

    async def _without_lock(self, job: Job, handler: BoundHandler, holder: str) -> Outcome | Literal["over"]:
        lock = handler.stage.lock
        assert lock is not None
        match lock.on_conflict:
            case "skip":
                await self._claims.end_run(job, lock_held(holder))
                return "over"
            case "fail":
                return handler.judged(LockHeld(f"run {holder} holds the lock that this job needs"), job)
            case _:
                return locked_out(holder)


def _refused(job: Job, policy: RetryPolicy, claim: Granted) -> Outcome | None:
    if claim.suspect and claim.starts >= policy.crashes:
        return crash_loop(claim.starts)
    if policy.attempts is not None and job.attempt > policy.attempts:
        return too_many(job.attempt, policy.attempts)
    return None
