"""Claims packed jobs and records their outcomes."""

from collections.abc import Sequence
from typing import Literal, cast

from mousetrap.jobs import GiveUp, Job, MousetrapError
from mousetrap.run_store.claim_replies import Unsigned, read_more
from mousetrap.run_store.notifications import CHANGES
from mousetrap.run_store.packed.call import Call
from mousetrap.run_store.packed.claims import Claims
from mousetrap.run_store.packed.decisions import Decisions
from mousetrap.run_store.packed.fans import in_fans, needed
from mousetrap.run_store.packed.naming import Naming
from mousetrap.run_store.packed.open_runs import EndedRuns
from mousetrap.run_store.packed.sender import Sender
from mousetrap.run_store.packed.transitions import (
    DistrustRecord,
    JobRedriven,
    OpenFan,
    RedriveJob,
    ReleaseClaim,
    StallFan,
    Survived,
)
from mousetrap.run_store.requests import (
    ClaimRequest,
    Decision,
    DecisionRequest,
    Exchanged,
    FanOpening,
    KeyTwice,
    OpenedFan,
    Window,
)
from mousetrap.run_store.signed_records import write_verdict
from mousetrap.run_store.transitions import BeginSuspect, RenewClaim, text_of
from mousetrap.signing import Keyring


class PackedWork:
    """What a worker does with jobs of wire format 5; each method is as the one of the same name of `Work` or `Repairs`."""

    def __init__(self, sender: Sender, naming: Naming, keyring: Keyring, ttl: int, keep: int) -> None:
        self._sender = sender
        self._naming = naming
        self._keyring = keyring
        self._ttl = ttl
        self._ended = EndedRuns(sender, ttl)
        self._claims = Claims(sender, naming, keyring, ttl, keep)
        self._decisions = Decisions(sender, self._ended, keyring, ttl, keep)

    async def exchange(
        self, decisions: Sequence[DecisionRequest], claims: Sequence[ClaimRequest], worker: str
    ) -> Exchanged:
        """Decides and claims, usually in one call."""
        await self._sender.server_known()
        failing = [it for it in decisions if type(it.outcome) is GiveUp]
        reopening = [it for it in claims if it.job.generation or (it.gathers and self._claims.revives(it))]
        long = self._naming.long([*(it.job for it in decisions), *(it.job for it in claims)])
        if (failing or reopening or long) and (error := await self._name(failing, reopening, long)):
            refused = {job.id for job in (*(it.job for it in failing), *(it.job for it in reopening), *long)}
            return await self._without(refused, error, decisions, claims, worker)
        return await self._exchange(decisions, claims, worker)

    async def close(self) -> None:
        """Takes the runs that have ended off the lists of open ones."""
        await self._ended.close()

    async def _name(
        self, failing: Sequence[DecisionRequest], reopening: Sequence[ClaimRequest], long: Sequence[Job]
    ) -> MousetrapError | None:
        """Names runs that may fail, be open once more, or live for long, before that is recorded. The error, where that cannot be
        done.
        """
        errors = [cast(GiveUp, it.outcome).failure.kind for it in failing]
        try:
            if failing:
                await self._naming.failing([it.job for it in failing], errors)
            if reopening:
                await self._naming.reopening([it.job for it in reopening])
            if long:
                await self._naming.keeping(long)
        except MousetrapError as error:
            return error
        return None

    async def _without(
        self,
        refused: set[str],
        error: MousetrapError,
        decisions: Sequence[DecisionRequest],
        claims: Sequence[ClaimRequest],
        worker: str,
    ) -> Exchanged:
        """Decides and claims all but these jobs, which have this error: the server of a cluster that is away is not all others'."""
        if not self._sender.is_cluster:
            raise error
        done = await self._exchange(
            [it for it in decisions if it.job.id not in refused],
            [it for it in claims if it.job.id not in refused],
            worker,
        )
        decided, claimed = iter(done.decisions), iter(done.claims)
        return Exchanged(
            [error if it.job.id in refused else next(decided) for it in decisions],
            [error if it.job.id in refused else next(claimed) for it in claims],
        )

    async def _exchange(
        self, decisions: Sequence[DecisionRequest], claims: Sequence[ClaimRequest], worker: str
    ) -> Exchanged:
        call = Call()
        decided = self._decisions.plan(call, decisions, worker)
        claimed = self._claims.plan(call, claims, worker)
        call.publish(CHANGES, [it.job.run_id for it in claims if not it.job.fans])
        replies = await self._sender.send(call.commands)
        return Exchanged(
            await self._decisions.judge(decided, replies, worker),
            await self._claims.judge(claimed, replies, worker),
        )

    async def open_children(self, job: Job, fence: int, window: Window, worker: str) -> FanOpening:
        reply = await self._sender.call(in_fans(job, self._opening(job, fence, window, worker)))
        match reply:
            case ["opened", opened, confirmed, indexes, lost]:
                return OpenedFan(opened, confirmed, tuple(indexes), tuple(map(int, lost)))
            case ["twice", key]:
                return KeyTwice(key)
            case [refused]:
                return refused  # type: ignore[no-any-return]
        raise AssertionError(reply)

    def _opening(self, job: Job, fence: int, window: Window, worker: str) -> OpenFan:
        share, least = needed(window.need)
        return OpenFan(
            job=job.id,
            run=job.run_id,
            fence=fence,
            opened=window.opened,
            confirmed=window.confirmed,
            keys=window.keys or (),
            window=window.number,
            most=window.most,
            share=share,
            least=least,
            join=window.join,
            worker=worker,
            ttl=self._ttl,
        )

    async def give_up_fan(self, job: Job, why: GiveUp, worker: str) -> Decision:
        verdict, failure = write_verdict(why, job, self._keyring), text_of(why.failure)
        late = why.reason == "fan-late"
        await self._naming.failing([job], [why.failure.kind])
        stall = StallFan(job.id, job.run_id, job.attempt, worker, verdict, failure, late, self._ttl)
        decision, *more = await self._sender.call(in_fans(job, stall))
        return cast(Decision, read_more(decision, more))

    async def replace_unsigned(self, job: Job, refused: Unsigned, why: GiveUp, worker: str) -> Decision:
        await self._naming.failing([job], [why.failure.kind])
        distrust = DistrustRecord(
            job=job.id,
            run=job.run_id,
            attempt=job.attempt,
            worker=worker,
            refused=refused.record,
            verdict=write_verdict(why, job, self._keyring),
            failure=text_of(why.failure),
            restore=self._claims.restored(job),
            ttl=self._ttl,
        )
        decision, *more = await self._sender.call(in_fans(job, distrust))
        return cast(Decision, read_more(decision, more))

    async def begin(self, job: Job, fence: int, worker: str) -> int:
        _, starts = await self._sender.call(
            in_fans(job, BeginSuspect(job.id, job.run_id, job.stage, job.attempt, fence, worker, self._ttl))
        )
        return int(starts)

    async def mark_survived(self, job: Job, worker: str) -> None:
        await self._sender.call(in_fans(job, Survived(job.id, job.run_id, job.attempt, worker)))

    async def renew(self, job: Job, fence: int, lease: float) -> bool:
        if long := self._naming.long([job]):
            await self._naming.keeping(long)
        renewal = RenewClaim(job.id, job.run_id, fence, int(lease * 1000), self._ttl)
        reply = await self._sender.call(in_fans(job, renewal))
        return bool(reply[0] == "renewed")

    async def release(self, job: Job, fence: int, worker: str) -> None:
        release = ReleaseClaim(job.id, job.run_id, job.attempt, fence, worker, self._ttl)
        await self._sender.call(in_fans(job, release))

    async def redrive(self, job: Job) -> Job | Literal["stale", "busy"]:
        reply, accepted_ms = await self._sender.call(
            in_fans(job, RedriveJob(job.id, job.run_id, job.accepted_ms, job.generation, self._ttl))
        )
        if reply == "redriven":
            return job.redriven(accepted_ms)
        return "busy" if reply == "busy" else "stale"

    async def mark_redriven(self, job: Job) -> None:
        restore = self._claims.restored(job)
        redriven = JobRedriven(job.id, job.run_id, job.stage, job.generation, restore, self._ttl)
        await self._naming.reopening([job])
        await self._sender.call(in_fans(job, redriven))
        # Who takes failed runs off the list of open ones may have done so just before.
        await self._naming.reopening([job])
