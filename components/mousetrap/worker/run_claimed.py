"""Runs a claimed job; a suspect runs alone."""

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from msgspec import UNSET

from mousetrap.handlers import (
    AsyncHandler,
    BoundHandler,
    crash_loop,
    lock_held,
    locked_out,
    too_many,
    unknown_stage,
)
from mousetrap.jobs import GiveUp, Job, Outcome, RetryLater
from mousetrap.pipeline import Fallback
from mousetrap.run_store import Granted
from mousetrap.shutdown import uncancel
from mousetrap.telemetry import Observer
from mousetrap.worker.attempts import Attempt, Attempts
from mousetrap.worker.claims import Claims
from mousetrap.worker.endings import Ending
from mousetrap.worker.large_payloads import LargePayloads
from mousetrap.worker.steps import Steps
from mousetrap.worker.suspects import SuspectGate

if TYPE_CHECKING:
    from mousetrap.tracing import Tracer


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
    2. The payload that it refers to is read, while others pass the gate.
    3. It passes the gate; a suspect waits until it is alone, its start is recorded, and it stays alone until its outcome is recorded too;
       given up, until its dead letter is settled.
    4. Its handler runs. What it raises is an outcome, and so is a cancellation by code that is not ours.
    5. Given up, the job may have an outcome all the same, as its stage has it.
    6. An output that is too large for a message is put, and its outcome refers to it.
    """

    def __init__(
        self,
        claims: Claims,
        attempts: Attempts,
        payloads: LargePayloads,
        observer: Observer,
        gate: SuspectGate,
        tracer: "Tracer | None" = None,
    ) -> None:
        self._claims = claims
        self._tracer = tracer
        self._payloads = payloads
        self._attempts = attempts
        self._observer = observer
        self._gate = gate
        #: Whether an output has to be put before its outcome is recorded.
        self.is_large = payloads.is_large

    async def run(self, attempt: Attempt, claim: Granted, alone: ExitStack) -> Outcome | Ending:
        """The outcome; or the ending, where another claim has won or the run has ended before the handler began.

        A suspect stays alone until the caller closes `alone`.
        """
        handler = attempt.handler
        if handler is None:
            return unknown_stage(attempt.job, attempt.queue)
        ran = await self._ran(attempt, claim, handler, alone)
        if not isinstance(ran, Outcome):
            return ran
        outcome = await self._after(attempt, claim, handler, ran)
        # Recorded before another begins: a suspect that kills this worker would count for this one too.
        return await self._claims.record(attempt, outcome) if claim.suspect else outcome

    async def _ran(
        self, attempt: Attempt, claim: Granted, handler: BoundHandler, alone: ExitStack
    ) -> Outcome | Ending:
        """What the handler ended with, or what keeps it from beginning; a suspect stays alone until `alone` is closed."""
        job = attempt.job
        if (early := await self._before(attempt, claim, handler)) is not None:
            return early
        attempt.running = True
        try:
            outcome = await self._through_gate(attempt, claim, handler, alone)
        except asyncio.CancelledError:
            if attempt.obsolete or self._attempts.handing_back:
                raise
            # Other code in this process cancels tasks that are not its own, as all of asyncio.all_tasks().
            uncancel()
            outcome = handler.judged(CancelledByOthers(_CANCELLED), job)
        finally:
            attempt.running = False
            if attempt.span is not None:
                attempt.span.handler_ended()
        if isinstance(outcome, Outcome):
            began = attempt.handler_began
            self._observer.ended(job, outcome, time.monotonic() - began if began else 0.0)
        return outcome

    async def _through_gate(
        self, attempt: Attempt, claim: Granted, handler: BoundHandler, alone: ExitStack
    ) -> Outcome | Ending:
        """What the handler ended with, once it may begin; the ending of a suspect that another worker has."""
        if attempt.suspended is None:  # else it has passed the gate, and goes on in a task of its own
            await self._pass_gate(claim)
        if claim.suspect:
            alone.callback(self._gate.exit, suspect=True)
            if (lost := await self._claims.begin(attempt)) is not None:
                return lost
        try:
            return await self._handled(attempt, claim, handler)
        finally:
            if not claim.suspect:
                self._leave_gate()

    async def _before(
        self, attempt: Attempt, claim: Granted, handler: BoundHandler
    ) -> Outcome | Ending | None:
        """What becomes of a job whose handler has ended already, or is not to begin; else its payload is there."""
        job = attempt.job
        if attempt.outcome is not None:
            return attempt.outcome
        is_usual = job.attempt == 1 and not claim.suspect and not claim.locked_by  # then it may run
        if not is_usual and (refused := await self._refused(job, handler, claim)) is not None:
            return refused
        whole_job = job if job.reference is UNSET else await self._payloads.input_of(attempt)
        return whole_job if isinstance(whole_job, GiveUp) else None

    async def _pass_gate(self, claim: Granted) -> None:
        if claim.suspect or self._gate.suspects:
            await self._gate.enter(suspect=claim.suspect)
        else:
            self._gate.running += 1

    def _leave_gate(self) -> None:
        if self._gate.suspects:
            self._gate.exit(suspect=False)
        else:
            self._gate.running -= 1

    async def _handled(self, attempt: Attempt, claim: Granted, handler: BoundHandler) -> Outcome:
        if attempt.suspended is not None and isinstance(handler, AsyncHandler):
            return await handler.until_ended(*attempt.suspended)
        attempt.handler_began = now_s = time.monotonic()
        self._observer.started(attempt.job, attempt.deliveries[0].since_ms, now_s)
        job = attempt.whole_job or attempt.job
        if self._tracer is None:
            return await handler.run(job, fence=claim.fence, lock_fence=claim.lock_fence)
        attempt.span = span = self._tracer.attempt(attempt.job, attempt.queue)
        with span.current():
            return await handler.run(job, fence=claim.fence, lock_fence=claim.lock_fence)

    async def _after(
        self, attempt: Attempt, claim: Granted, handler: BoundHandler, outcome: Outcome
    ) -> Outcome:
        """What is to be recorded."""
        if isinstance(outcome, RetryLater) and not outcome.counted:
            outcome = handler.waited_out(outcome, claim.away_ms / 1000)
        if isinstance(outcome, GiveUp):
            outcome = await self._carried_on(attempt, handler, outcome)
        attempt.goes_to(outcome)
        return await self._payloads.with_reference(attempt, attempt.as_kept(outcome))

    async def _carried_on(self, attempt: Attempt, handler: BoundHandler, given_up: GiveUp) -> Outcome:
        """As the stage has it. A job that was refused before its payload was read falls back with the payload all the same."""
        job = attempt.whole_job or attempt.job
        if job.reference is not UNSET and isinstance(handler.stage.on_failure, Fallback):
            read = await self._payloads.input_of(attempt)
            job = job if isinstance(read, GiveUp) else read
        return handler.carried_on(given_up, job)

    def steps(self, ended: Callable[[Attempt, Outcome], None], suspended: Callable[[Attempt], None]) -> Steps:
        """Runs the handlers of usual attempts in place, as far as they go without waiting."""
        return Steps(ended, suspended, self._gate, self._observer, self._tracer)

    def is_usual(self, attempt: Attempt, claim: Granted) -> bool:
        """Whether the attempt's handler may be stepped with others."""
        job = attempt.job
        unusual = claim.suspect or claim.locked_by or job.attempt > 1 or job.reference is not UNSET
        return not unusual and isinstance(attempt.handler, AsyncHandler)

    async def _refused(self, job: Job, handler: BoundHandler, claim: Granted) -> Outcome | Ending | None:
        """What becomes of a job that may not run: without its lock, or after too many crashes or attempts."""
        if claim.locked_by:
            return await self._without_lock(job, handler, claim.locked_by)
        policy = handler.stage.retry
        if claim.suspect and claim.starts >= policy.crashes:
            return crash_loop(claim.starts)
        if policy.attempts is not None and job.attempt > policy.attempts:
            return too_many(job.attempt, policy.attempts)
        return None

    async def _without_lock(self, job: Job, handler: BoundHandler, holder: str) -> Outcome | Ending:
        lock = handler.stage.lock
        assert lock is not None
        match lock.on_conflict:
            case "skip":
                return await self._claims.end_run(job, lock_held(holder))
            case "fail":
                return handler.judged(LockHeld(f"run {holder} holds the lock that this job needs"), job)
            case _:
                return locked_out(holder)
