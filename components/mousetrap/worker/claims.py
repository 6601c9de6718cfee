"""Claims jobs in the run store and records their outcomes, through outages."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import structs

from mousetrap.handlers import fan_late, fan_stalled, record_refused
from mousetrap.jobs import Done, Failure, GiveUp, Job, MousetrapError, Outcome, RecordDamaged
from mousetrap.pipeline import Fan, Pipeline, limits_met, lock_key
from mousetrap.retry import RetryPolicy
from mousetrap.run_store import (
    Busy,
    Claim,
    ClaimRequest,
    Decided,
    Decision,
    DecisionRequest,
    Fired,
    Granted,
    Limited,
    Over,
    RunStore,
    Unsigned,
)
from mousetrap.telemetry import Observer
from mousetrap.worker.attempts import Attempt
from mousetrap.worker.beside import Beside
from mousetrap.worker.endings import (
    Drop,
    Ending,
    LetGo,
    Publish,
    anchored,
    ending_of,
    forks_of,
    standing,
    unrecorded,
    with_join,
)
from mousetrap.worker.exchange import Exchange, Replies
from mousetrap.worker.in_place import StandIn
from mousetrap.worker.joins import join_text
from mousetrap.worker.large_payloads import LargePayloads
from mousetrap.worker.options import WorkerOptions
from mousetrap.worker.outages import Outages
from mousetrap.worker.traced import traced

#: Bytes that a recorded outcome has beside its output, at most.
_AROUND_OUTPUT = 1_024
#: For a job whose stage has no handler here.
_DEFAULT_POLICY = RetryPolicy()
#: Seconds in which none of a job's children is decided, after which their messages count as lost. Stages that wait longer for an
#: outage, or run longer, have so long.
_STALLED_S = 7 * 86_400.0


class Claims:
    """A worker's side of the run store.

    1. `claim` asks for the job; granted, it sets the attempt's fence. `replace_unsigned` replaces a record that is not ours.
    2. `begin` notes the start of a suspect.
    3. `record` records an outcome and returns what follows, or `release` gives the claim back.

    Jobs that go on together ask by `claim_request` and `decision_request`, and give the replies to `claimed` and `recorded`.
    """

    def __init__(
        self,
        store: RunStore,
        options: WorkerOptions,
        outages: Outages,
        observer: Observer,
        payloads: LargePayloads,
    ) -> None:
        self._store = store
        self._payloads = payloads
        self._worker = options.name
        self._keyring = options.keyring
        self._lease = options.lease
        self._outages = outages
        self._observer = observer

    async def claim(self, attempt: Attempt) -> Claim:
        """Asks the store for the job."""
        if self.is_payload_needed(attempt):
            # A payload that cannot be used is a failure of the attempt, and not of the claim.
            await self._payloads.input_of(attempt)
        request = self.claim_request(attempt)
        claim = await self._outages.retry_until_up("claim jobs", self._ask, attempt, request)
        if isinstance(claim, Busy) and attempt.unanswered:
            await self.mark_survived(attempt)  # as in `begin`
        self.claimed(attempt, claim)
        return claim

    async def _ask(self, attempt: Attempt, request: ClaimRequest) -> Claim:
        try:
            claim: Claim = await self._exchange_one((), [request])
        except MousetrapError:
            attempt.unanswered = True
            raise
        return claim

    async def _exchange_one(
        self, decisions: Sequence[DecisionRequest], claims: Sequence[ClaimRequest]
    ) -> Any:
        """The result of the one request; raises its error."""
        results = await self._store.exchange(decisions, claims, worker=self._worker)
        result: Any = [*results.decisions, *results.claims][0]
        if isinstance(result, MousetrapError):
            raise result
        return result

    def claim_request(self, attempt: Attempt) -> ClaimRequest:
        """What the store is asked for; a field of the payload can select the lock."""
        job, stage = attempt.whole_job or attempt.job, attempt.handler.stage if attempt.handler else None
        lock, delivery = stage.lock if stage else None, attempt.deliveries[0]
        limits = limits_met(job.written, job.pipeline, stage) if stage and stage.limit is not None else ()
        return ClaimRequest(
            attempt.job,
            # A spare shows nothing of who holds the job: that one has a message of its own.
            delivery.redelivered and not (limits and attempt.is_spare),
            self._lease,
            lock=lock_key(job.written, stage) if stage and lock else "",
            waits=lock is not None and lock.on_conflict == "wait",
            crashes=(stage.retry if stage else _DEFAULT_POLICY).crashes,
            in_place=isinstance(delivery, StandIn),
            bounded=attempt.handler is not None and attempt.handler.bounded,
            gathers=attempt.handler is not None and attempt.handler.gathers and job.parent is not None,
            opens=attempt.handler is not None and attempt.handler.opens is not None,
            limits=limits,
        )

    def claimed(self, attempt: Attempt, claim: Claim) -> None:
        """Notes the store's reply."""
        attempt.claim = claim
        if isinstance(claim, Granted):
            self.granted(attempt, claim)
        elif isinstance(claim, Decided):
            attempt.goes_to(claim.outcome)

    def granted(self, attempt: Attempt, claim: Granted) -> None:
        """Notes that the attempt has its job."""
        attempt.claim, attempt.fence = claim, claim.fence

    def exchange(self, take: Callable[[Replies, Replies], None]) -> Exchange:
        """Claims and records the outcomes of jobs that go on together; `take` gets the replies."""
        return Exchange(self._store, self._worker, take)

    def is_kept(self, outcome: Done) -> bool:
        """Whether the outcome stays recorded once what follows from it is claimed."""
        given_up = outcome.instead_of  # its failure is recorded with the output, without the traceback
        more = 0 if given_up is msgspec.UNSET else len(msgspec.json.encode(given_up))
        return len(outcome.output) + more + _AROUND_OUTPUT <= self._store.keep

    def beside(self, attempt: Attempt, outcome: Done) -> Beside | None:
        """What follows from the outcome, where that may leave while the outcome is being recorded; else the record is first.

        Its job names the fence, so that nothing is done on an outcome which the store refuses. Only after a plain claim, so not
        for formats before 5, with a lock, or after the first attempt. Only where the record keeps the whole output, and
        while no server is known to be away: most such messages would come to nothing, or be published twice.
        """
        if attempt.next_stage is None or not isinstance(attempt.claim, Granted) or not attempt.claim.record:
            return None
        if outcome.instead_of is not msgspec.UNSET:  # its failure is recorded by Lua
            return None
        if attempt.job.fans and attempt.joins:
            return None
        if self._outages or outcome.reference is not msgspec.UNSET or not self.is_kept(outcome):
            return None
        following = ending_of(outcome, attempt.job, attempt.queue, attempt.next_stage, attempt.fence)
        if attempt.span is not None:
            following = traced(following, attempt.span)
        return Beside(following) if isinstance(following, Publish) else None

    def is_payload_needed(self, attempt: Attempt) -> bool:
        """Whether the lock or the limits of the job may depend on a payload that must be read first."""
        if attempt.job.reference is msgspec.UNSET or attempt.handler is None:
            return False
        return attempt.handler.stage.lock is not None or attempt.handler.stage.limit is not None

    async def replace_unsigned(self, job: Job, record: Unsigned) -> Claim:
        """Gives up a job whose recorded outcome is not ours: no message of ours may follow from that."""
        outcome = record_refused(record.why)
        decision = await self._outages.retry_until_up(
            "record outcomes", self._store.replace_unsigned, job, record, outcome, worker=self._worker
        )
        return self._replaced(job, outcome, decision)

    async def give_up_fan(self, attempt: Attempt, claim: Decided) -> Claim:
        """Gives up a job in place of its outcome, where the time of its children is over and too few are done, or none was decided for
        so long that their messages are gone. Its redrive sends those that are missing."""
        if (outcome := _why_over(attempt, claim)) is None:
            return claim
        decision = await self._outages.retry_until_up(
            "record outcomes", self._store.give_up_fan, attempt.job, outcome, worker=self._worker
        )
        replaced = self._replaced(attempt.job, outcome, decision)
        # Its children go on meanwhile, or it does: it is asked again soon, as one that waits for them.
        return structs.replace(claim, waits_s=0.0, late=None) if isinstance(replaced, Busy) else replaced

    def _replaced(self, job: Job, outcome: GiveUp, decision: Decision) -> Claim:
        """What follows from the reply to an outcome that replaces the recorded one."""
        fired, taken = self._taken(job, decision)
        self._observer.recorded(job, outcome, taken)
        match taken:
            case "recorded":
                return Decided(outcome, fired=fired)
            case "over":
                return Over()
            case _:  # another worker has recorded something since
                return Busy(self._lease)

    def _taken(self, job: Job, decision: Decision) -> tuple[Fired | None, str]:
        """The join that follows from a decision, and whether the outcome is on record; reports a run that has ended with it."""
        if isinstance(decision, Fired):
            return decision, "recorded"
        if decision not in ("completed", "failed"):
            return None, decision
        self._observer.run_ended(job, decision)
        return None, "recorded"

    def note_ended(self, job: Job, state: str) -> None:
        """Reports that the run has ended with the job's claim."""
        self._observer.run_ended(job, state)

    async def begin(self, attempt: Attempt) -> Ending | None:
        """Notes that a suspect begins, for its start counts only now; its ending when another worker has it."""
        starts = await self._outages.retry_until_up(
            "begin jobs", self._store.begin, attempt.job, fence=attempt.fence, worker=self._worker
        )
        if starts:
            return None
        await self.mark_survived(attempt)  # the reply to an earlier call can have been lost
        return self._unrecorded(attempt, "stale")

    async def record(self, attempt: Attempt, outcome: Outcome) -> Ending:
        """Records the outcome before anyone acts on it: a crash from here on repeats the act, not the work."""
        request = self.decision_request(attempt, outcome)
        decision: Decision = await self._outages.retry_until_up(
            "record outcomes", self._exchange_one, [request], ()
        )
        return self.recorded(attempt, outcome, decision)

    def decision_request(self, attempt: Attempt, outcome: Outcome) -> DecisionRequest:
        """What the store is to record."""
        claim, next_stage, handler = attempt.claim, attempt.next_stage, attempt.handler
        assert isinstance(claim, Granted)
        last = handler is not None and next_stage is None
        if attempt.job.fans or (handler is not None and handler.opens is not None):
            return self._request_in_a_fan(attempt, outcome, claim)
        return DecisionRequest(attempt.job, outcome, claim, last, next_stage.name if next_stage else None)

    def _request_in_a_fan(self, attempt: Attempt, outcome: Outcome, claim: Granted) -> DecisionRequest:
        """The same of a job that opens a fan, or is in one."""
        job, handler, next_stage = attempt.job, attempt.handler, attempt.next_stage
        fan = handler.opens if handler else None
        if fan is not None and isinstance(outcome, Done) and outcome.opens is not None:
            return self._opening_request(attempt, outcome, claim, fan)
        ends_way = isinstance(outcome, Done) and outcome.ends_way
        ends = handler is not None and next_stage is None and (fan is None or ends_way)
        return DecisionRequest(
            job,
            outcome,
            claim,
            ends and not job.fans,
            next_stage.name if next_stage else None,
            joins=bool(job.fans) and (ends or attempt.joins),
        )

    def _opening_request(self, attempt: Attempt, outcome: Done, claim: Granted, fan: Fan) -> DecisionRequest:
        job, span = attempt.job, attempt.span
        trace = job.trace if span is None else span.carried
        return DecisionRequest(
            job,
            outcome,
            claim,
            False,
            fan.join.name if fan.join else None,
            need=fan.need,
            join=join_text(fan, job, self._keyring, trace),
            within=fan.within.total_seconds() if fan.within else 0.0,
        )

    def recorded(self, attempt: Attempt, outcome: Outcome, decision: Decision) -> Ending:
        """What follows from the store's reply."""
        # Of nearly all jobs.
        fired, taken = (None, "recorded") if decision == "recorded" else self._taken(attempt.job, decision)
        self._observer.recorded(attempt.job, outcome, taken)
        if (span := attempt.span) is not None:
            span.decided(outcome, taken)
        if taken != "recorded":
            return self._unrecorded(attempt, decision)
        if attempt.beside is not None:
            return attempt.beside.following
        ending = self._ending(attempt, outcome, fired)
        return ending if span is None else traced(ending, span)

    def _ending(self, attempt: Attempt, outcome: Outcome, fired: Fired | None) -> Ending:
        """What follows from an outcome that is on record now."""
        job, handler = attempt.job, attempt.handler
        if job.fans or (handler is not None and handler.opens is not None):
            return self.following(attempt, outcome, attempt.fence, fired)
        return ending_of(outcome, job, attempt.queue, attempt.next_stage, attempt.fence)

    def following(
        self, attempt: Attempt, outcome: Outcome, fence: int, fired: Fired | None, waits_s: float | None = 0.0
    ) -> Ending:
        """What follows from a recorded outcome, and from the fan that fired with it; always the same for the same record.

        `waits_s`: for how long the fan that the job opened has been waited for; None where it is over.
        """
        job, handler = attempt.job, attempt.handler
        own: Ending
        if not isinstance(outcome, Done) or outcome.opens is None:
            joins = isinstance(outcome, Done) and bool(job.fans) and attempt.joins
            own = Drop() if joins else ending_of(outcome, job, attempt.queue, attempt.next_stage, fence)
        elif waits_s is None:
            own = Drop()
        elif outcome.forks is msgspec.UNSET:
            within = handler.opens.within if handler and handler.opens else None
            own = anchored(job, fence, waits_s, within.total_seconds() if within else None)
        else:
            own = forks_of(outcome, job, handler.followers if handler else (), fence, waits_s)
        return own if fired is None else with_join(own, job, fired)

    def decided(self, attempt: Attempt, claim: Decided) -> Ending:
        """The ending of a job that was decided before, as its record has it."""
        if attempt.is_spare and not attempt.deliveries[0].redelivered and _has_its_message(claim):
            return Drop()
        is_fork = isinstance(claim.outcome, Done) and claim.outcome.forks is not msgspec.UNSET
        if claim.waits_s is not None and (attempt.is_anchor(claim.fence) or not is_fork):
            # The jobs of a fork were sent before it: each copy of one that was given up makes a dead letter.
            return anchored(attempt.job, claim.fence, claim.waits_s, claim.left_s)
        return self.following(attempt, claim.outcome, claim.fence, claim.fired, claim.waits_s)

    def stand_in_line(self, attempt: Attempt, claim: Limited) -> Ending:
        """The ending of a job over a limit."""
        return LetGo() if attempt.is_woken else standing(claim, attempt.job, self._store.retention_s)

    def _unrecorded(self, attempt: Attempt, decision: Decision) -> Ending:
        if decision == "stale":
            attempt.fence = 0
        return unrecorded(decision, attempt.job, self._lease)

    async def end_run(self, job: Job, why: Failure) -> Ending:
        """Ends the job's run as cancelled."""
        await self._outages.retry_until_up("end runs", self._store.cancel, job.run_id, why)
        return Drop()

    async def release(self, attempt: Attempt) -> None:
        """Gives a claim back undecided, once: without it a lock ends with its lease, and a redelivered job is taken over."""
        if not attempt.fence:
            return
        try:
            await self._store.release(attempt.job, fence=attempt.fence, worker=self._worker)
        except MousetrapError as error:
            self._observer.outage(attempt.job, "release a job", error)

    async def mark_survived(self, attempt: Attempt) -> None:
        """Has the store know that this worker lives, whose job another one has: its start does not count as a crash."""
        with suppress(RecordDamaged):
            await self._outages.retry_until_up(
                "note survivors", self._store.mark_survived, attempt.job, worker=self._worker
            )


def _longest_s(pipeline: Pipeline) -> float:
    """Seconds for which a job of one of its stages may be on its way, or at work, without an end."""
    return max(max(stage.retry.outage_limit, stage.timeout or 0.0) for stage in pipeline.stages)


def _why_over(attempt: Attempt, claim: Decided) -> GiveUp | None:
    """Why the children of a decided job are not waited for any more; None while they are."""
    if claim.late is not None:
        return fan_late(claim.late.total, claim.late.done, claim.late.lost)
    waits_s = claim.waits_s or 0.0
    if waits_s <= _STALLED_S or (attempt.handler and waits_s <= _longest_s(attempt.handler.pipeline)):
        return None
    return fan_stalled(waits_s)


def _has_its_message(claim: Decided) -> bool:
    """Whether who decided it keeps a message of its own until what follows is there, and another one of that would be one too many: a
    dead letter, or who waits for children."""
    return isinstance(claim.outcome, GiveUp) or claim.waits_s is not None
