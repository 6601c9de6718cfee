"""Takes one job from its delivery to its acknowledgement."""

import asyncio
from contextlib import ExitStack

from mousetrap.jobs import Delivery, Done, Outcome, RecordDamaged
from mousetrap.run_store import Busy, Claim, Decided, Forgotten, Granted, Limited, Locked, Over, Unsigned
from mousetrap.worker.attempts import Attempt, Attempts
from mousetrap.worker.claims import Claims
from mousetrap.worker.endings import (
    Bury,
    Drop,
    Ending,
    HandBack,
    LetGo,
    Refuse,
    StandInLine,
    unknown_follower,
    unrecorded,
    waiting,
)
from mousetrap.worker.lines import Lines
from mousetrap.worker.options import WorkerOptions
from mousetrap.worker.refusals import damaged, forgotten
from mousetrap.worker.run_claimed import ClaimedRunner
from mousetrap.worker.settle import Settler
from mousetrap.worker.turns import Turns


class Processor:
    """The way of a message; as many are under way at once as the worker's concurrency allows.

    1. A message that is no job of ours is refused: it becomes a dead letter.
    2. A job that is under way already takes the new delivery over.
    3. Otherwise an attempt begins, and claims the job. Without the claim it is parked, dropped, or settled by its record.
    4. With the claim its handler runs, and the outcome is recorded.
    5. What follows from the record is published; then the deliveries are acknowledged. A suspect that is given up stays alone until
       then: another that kills this worker before would make a second dead letter of it.
    6. An attempt that is stopped gives its claim up, and its deliveries are handed back, parked or dropped.

    Usual jobs take the same steps together, in `Turns`; whatever is not usual goes on here, from where it is.
    """

    def __init__(
        self,
        attempts: Attempts,
        claims: Claims,
        runner: ClaimedRunner,
        settler: Settler,
        turns: Turns,
        lines: Lines,
        options: WorkerOptions,
    ) -> None:
        self._attempts = attempts
        self._claims = claims
        self._run = runner.run
        self._settle = settler.settle
        self._turns = turns
        self._lines = lines
        self._options = options

    async def refuse(self, delivery: Delivery, why: Refuse) -> None:
        """Makes a dead letter of a message that is no job of ours."""
        await self._settle([delivery], why)

    async def process(self, attempt: Attempt) -> None:
        """Claim, run, record, publish, acknowledge."""
        attempt.task = asyncio.current_task()
        with ExitStack() as alone:
            try:
                try:
                    ran = attempt.ending or await self._claimed_and_run(attempt, alone)
                    if isinstance(ran, Done) and attempt.outcome is None:
                        self._turns.finish(attempt, ran)
                        return
                    ending = await self._claims.record(attempt, ran) if isinstance(ran, Outcome) else ran
                except RecordDamaged as error:
                    ending = damaged(attempt.job, error)
                if not isinstance(ending, Bury):
                    alone.close()  # a full queue may wait for what others of this worker take from it
                if isinstance(ending, StandInLine):
                    await self._lines.stand(attempt, ending)
                else:
                    await self._settle(attempt.deliveries, ending, attempt.posted)
                    attempt.is_settled = not isinstance(ending, LetGo | HandBack)
            except asyncio.CancelledError:
                alone.close()
                await self._settle(attempt.deliveries, await self._stopped(attempt))
                if not attempt.obsolete:
                    raise
            finally:
                if attempt.alone:
                    self._attempts.end(attempt)
                    # A task that is cancelled keeps its frames, and with them the attempt, which the collector does not know.
                    attempt.task = attempt.suspended = None

    async def hand_back(self, attempt: Attempt) -> None:
        """Hands an attempt back that no runner has."""
        attempt.alone = True
        if attempt.suspended is not None:
            attempt.suspended[1].cancel()
        try:
            await self._claims.release(attempt)
            await self._settle(attempt.deliveries, HandBack())
        finally:
            self._attempts.end(attempt)

    async def _claimed_and_run(self, attempt: Attempt, alone: ExitStack) -> Outcome | Ending:
        claim = attempt.claim or await self._claims.claim(attempt)
        if isinstance(claim, Over) and attempt.is_later:
            attempt.is_later = False
            claim = await self._claims.claim(attempt)
        if attempt.obsolete and attempt.outcome is None and attempt.suspended is None:
            return await self._stopped(attempt)  # while it waited for its turn
        if isinstance(claim, Unsigned):
            claim = await self._claims.replace_unsigned(attempt.job, claim)
        if isinstance(claim, Granted):
            return await self._run(attempt, claim, alone)
        if isinstance(claim, Decided) and (claim.waits_s or claim.late):
            claim = await self._claims.give_up_fan(attempt, claim)
        return self._without_claim(attempt, claim)

    def _without_claim(self, attempt: Attempt, claim: Claim) -> Ending:
        """The ending of a job that the store did not grant."""
        match claim:
            case Decided(Done(next=name, ends_way=False)) if attempt.is_at_a_loss:
                return Bury(attempt.job, "unknown-stage", unknown_follower(attempt.job, name or ""))
            case Decided():
                return self._claims.decided(attempt, claim)
            case Busy() | Locked() if attempt.is_woken:
                return LetGo()
            case Busy() | Locked():
                return waiting(claim, attempt.job, spare=attempt.is_beside_a_line)
            case Limited():
                return self._claims.stand_in_line(attempt, claim)
            case Forgotten():
                return forgotten(attempt.job)
            case Over(ended) if ended:
                self._claims.note_ended(attempt.job, ended)
        return Drop()

    async def _stopped(self, attempt: Attempt) -> Ending:
        """Gives up the claim of an attempt that was cancelled: by the worker's end, or because it is obsolete."""
        task = attempt.task
        if attempt.obsolete and task is not None:
            task.uncancel()
        if attempt.lost:
            await self._claims.mark_survived(attempt)
            return unrecorded("stale", attempt.job, self._options.lease)
        await self._claims.release(attempt)
        return Drop() if attempt.cancelled else HandBack()
