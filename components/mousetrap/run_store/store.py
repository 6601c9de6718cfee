"""The store's face: opens runs, claims and decides jobs, and answers what a run is about."""

import hashlib
import math
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Literal, NamedTuple, cast

import msgspec
from redis.asyncio import Redis

from mousetrap.jobs import Done, Failure, GiveUp, Job, MousetrapError, Outcome, RetryLater
from mousetrap.retry import RetryPolicy
from mousetrap.run_store.batches import Batches
from mousetrap.run_store.claims import Claim, Unsigned, read_claim
from mousetrap.run_store.reader import RunReader, run_key
from mousetrap.run_store.records import (
    OPENING,
    Opening,
    read_opening,
    read_verdict,
    sign_opening,
    write_verdict,
)
from mousetrap.run_store.transitions import (
    ENDED,
    BeginSuspect,
    CancelRun,
    ClaimJob,
    CompleteRun,
    DistrustRecord,
    JobRedriven,
    OpenRun,
    Published,
    RecordDone,
    RecordGiveUp,
    RecordRetry,
    RedriveJob,
    RejectRun,
    ReleaseClaim,
    RenewClaim,
    ReportProgress,
    Survived,
    Transition,
    Unpublished,
    WaitOut,
)
from mousetrap.shapes import Progress, RunState
from mousetrap.signing import Keyring
from mousetrap.store_client import address, open_client

_NO_KEYS = Keyring()
#: Job, run, stage, attempt, fence, worker: what every decision begins with.
_About = tuple[str, str, str, int, int, str]

#: What became of an outcome that was to be recorded.
Decision = Literal["recorded", "stale", "unlocked", "over"]


class RunConflict(MousetrapError):
    """Another run has this id, or this idempotency key came with another body before: use a new one."""


class Opened(NamedTuple):
    """What became of a run that was to be opened."""

    #: `new`; `waiting` when it is known but no worker has met it yet; `known` when it is further than that.
    state: Literal["new", "waiting", "known"]
    #: Milliseconds since 1970, when the run was accepted first.
    accepted_ms: int
    #: Milliseconds since 1970 after which no job of it is begun; None for never.
    expires_ms: int | None = None


@asynccontextmanager
async def open_store(
    url: str,
    *,
    retention: float,
    keep: int = 65_536,
    tls: ssl.SSLContext | None = None,
    keyring: Keyring = _NO_KEYS,
) -> AsyncIterator["RunStore"]:
    """The run store at `url`, which need not be reachable yet; `retention` (seconds) is how long a run is remembered.

    Outputs of at most `keep` bytes stay after they were handed on, for re-runs from a later stage. `keyring` signs what a
    message may be made from later: give it the keys that sign messages.
    """
    client = open_client(url, tls)
    store = RunStore(client, address(url), retention, keep, keyring)
    try:
        yield store
    finally:
        await store.close()


class RunStore(RunReader):
    """Every method raises StoreUnreachable when the server does not answer within two seconds."""

    def __init__(
        self, client: Redis, address: str, retention: float, keep: int, keyring: Keyring = _NO_KEYS
    ) -> None:
        super().__init__(client, address, retention)
        self._ttl = int(retention * 1000)
        self._keep = keep
        self._keyring = keyring
        self._batches = Batches(client, address)

    async def close(self) -> None:
        """Says what is still to be said, and leaves the server."""
        await self._batches.close()
        await self._nudges.close()
        await self._client.aclose()

    async def check(self) -> None:
        """Returns if the server takes transitions now, which one that is full does not."""
        await self._batches.call((ENDED,))

    # What submitting does

    async def open_run(
        self,
        run_id: str,
        pipeline: str,
        stage: str,
        input: bytes,
        *,
        expires_in: float | None = None,
        rerun_of: str = "",
    ) -> Opened:
        """Records a run before its first job is published. Raises RunConflict when the id is another run's."""
        digest = hashlib.sha256(input).hexdigest()
        expires = math.ceil(expires_in * 1000) if expires_in else 0
        signature = sign_opening(run_id, pipeline, stage, input, expires, self._keyring)
        state, at, expires = await self._batches.call(
            OpenRun(run_id, pipeline, stage, input.decode(), digest, expires, rerun_of, signature, self._ttl)
        )
        if state == "conflict":
            raise RunConflict(
                f"run {run_id} exists with another input or pipeline: use a new id or idempotency key"
            )
        return Opened("new" if state == "opened" else state, at, expires or None)

    async def opening(self, run_id: str) -> Opening | None:
        """What the run was started with; None when there is no such run. Raises SignatureRefused for what is not ours."""
        async with self._reaching():
            fields = cast(list[bytes | None], await self._client.hmget(run_key(run_id), OPENING))
        return read_opening(run_id, fields, self._keyring) if fields[0] is not None else None

    def published(self, run_id: str) -> None:
        """Notes, within a second or so, that the run's first job is with the broker for good.

        Should the note be lost, the job is published once more, under the same id.
        """
        self._batches.note(Published(run_id))

    async def unpublished(self, *, age: float, most: int = 100) -> Sequence[str]:
        """Runs recorded so many seconds ago whose first job may never have been published: their submitter died."""
        _, *run_ids = await self._batches.call(Unpublished(int(age * 1000), most))
        return run_ids

    async def reject_run(self, run_id: str, why: Failure) -> None:
        """Takes one submission back: ends the run unless another one stands, or a worker has met it already."""
        await self._batches.call(RejectRun(run_id, _text(why), self._ttl))

    # What repairing and stopping do

    async def cancel(self, run_id: str, why: Failure | None = None) -> RunState | None:
        """The state after this: `cancelled`, or what the run had ended in before; None for a run that is not known."""
        (state,) = await self._batches.call(CancelRun(run_id, _text(why) if why else "", self._ttl))
        return None if state == "unknown" else RunState(state)

    async def redrive(self, job: Job) -> Job | Literal["stale", "busy"]:
        """Records that a dead job goes round again, before it is published; the job to publish, which expires no more and is
        not too old any more.

        Stale is the letter of a job that has gone on since; busy that of one which a worker has at this moment. Repeating
        the call before the job was published is safe. The run says so after `redriven`, or when a worker meets the job.
        """
        reply, accepted_ms = await self._batches.call(
            RedriveJob(job.id, job.run_id, job.generation, self._ttl)
        )
        if reply == "redriven":
            return job.anew(accepted_ms)
        return "busy" if reply == "busy" else "stale"

    async def redriven(self, job: Job) -> None:
        """Notes that what `redrive` gave is with the broker for good: its run goes on."""
        await self._batches.call(
            JobRedriven(
                job.id, job.run_id, job.pipeline, job.stage, job.accepted_ms, job.generation, self._ttl
            )
        )

    async def output(self, job: Job) -> bytes | None:
        """What a job handed on, if it did and that is kept: larger outputs than the store keeps are forgotten on arrival.

        Raises SignatureRefused for what is not ours.
        """
        async with self._reaching():
            held = await self._client.hmget(f"mousetrap:job:{job.id}", "verdict", "generation")
        verdict, round_ = cast(list[bytes | None], held)
        if verdict is None:
            return None
        generation = int(round_) if round_ and round_.isdigit() else 0
        outcome = read_verdict(verdict, msgspec.structs.replace(job, generation=generation), self._keyring)
        return bytes(outcome.output) if isinstance(outcome, Done) else None

    # What a worker does

    async def claim(
        self,
        job: Job,
        *,
        worker: str,
        redelivered: bool,
        lease: float,
        lock: str = "",
        waits: bool = True,
        crashes: int = RetryPolicy().crashes,
    ) -> Claim:
        """Asks for a job. A redelivered one is taken over at once, for its last holder's connection is gone; one that was
        begun `crashes` times without an end only when its last claim has ended.

        With `lock`, the claim comes with that lock, or with `waits` not at all while another job holds it.
        """
        reply = await self._batches.call(
            ClaimJob(
                job=job.id,
                run=job.run_id,
                pipeline=job.pipeline,
                stage=job.stage,
                attempt=job.attempt,
                parent=job.parent or "",
                accepted_ms=job.accepted_ms,
                generation=job.generation,
                expires_ms=job.expires_ms or 0,
                worker=worker,
                redelivered=redelivered,
                lock=lock,
                waits=waits,
                crashes=crashes,
                lease=int(lease * 1000),
                keep=self._keep,
                ttl=self._ttl,
            )
        )
        return read_claim(reply, job, self._keyring)

    async def distrust(self, job: Job, refused: Unsigned, why: GiveUp, *, worker: str) -> Decision:
        """Gives the job up because of what is on record of it, so that nothing ever follows from that.

        `stale` when something else is on record by now: claim it again. `over` when the run has ended otherwise.
        """
        reply = await self._batches.call(
            DistrustRecord(
                job=job.id,
                run=job.run_id,
                pipeline=job.pipeline,
                stage=job.stage,
                attempt=job.attempt,
                accepted_ms=job.accepted_ms,
                worker=worker,
                refused=refused.record,
                verdict=self._verdict(job, why),
                failure=_text(why.failure),
                ttl=self._ttl,
            )
        )
        decision: Decision = reply[0]
        return decision

    async def begin(self, job: Job, *, fence: int, worker: str) -> int:
        """Notes that a suspect begins, alone; how often it has now, or 0 when a later claim has won."""
        _, starts = await self._batches.call(
            BeginSuspect(job.id, job.run_id, job.stage, job.attempt, fence, worker, self._ttl)
        )
        return int(starts)

    async def survived(self, job: Job) -> None:
        """Notes that a worker which lost the job lives, so that this start does not count as one that killed it."""
        await self._batches.call(Survived(job.id, job.attempt))

    async def ended(self, run_ids: Sequence[str]) -> set[str]:
        """Those of the runs that have ended."""
        _, *ended = await self._batches.call((ENDED, *run_ids))
        return set(ended)

    async def renew(self, job: Job, *, fence: int, lease: float) -> bool:
        """Prolongs a claim; False once a later claim has won."""
        reply = await self._batches.call(RenewClaim(job.id, job.run_id, fence, int(lease * 1000), self._ttl))
        return bool(reply[0] == "renewed")

    async def decide(self, job: Job, outcome: Outcome, *, fence: int, worker: str, last: bool) -> Decision:
        """Records the outcome of an attempt before anyone acts on it. With `last`, a Done's output is the run's result.

        `over` when the run was ended from outside: nothing follows. `stale` when a later claim has won, `unlocked` when the
        lock was lost meanwhile: what was given is dropped, but the job may have to come again.
        """
        about = (job.id, job.run_id, job.stage, job.attempt, fence, worker)
        if isinstance(outcome, Done) and last:
            reply = await self._batches.call(CompleteRun(*about, bytes(outcome.output).decode(), self._ttl))
        elif isinstance(outcome, Done):
            reply = await self._batches.call(RecordDone(*about, self._verdict(job, outcome), self._ttl))
        else:
            reply = await self._batches.call(self._failed_attempt(about, job, outcome))
        decision: Decision = reply[0]
        return decision

    async def release(self, job: Job, *, fence: int, worker: str) -> None:
        """Gives a claim back undecided; the start does not count."""
        await self._batches.call(
            ReleaseClaim(job.id, job.run_id, job.stage, job.attempt, fence, worker, self._ttl)
        )

    async def report(self, run_id: str, progress: Progress) -> None:
        """Notes how far a running handler has come."""
        await self._batches.call(ReportProgress(run_id, _text(progress)))

    def _failed_attempt(self, about: _About, job: Job, outcome: RetryLater | GiveUp) -> Transition:
        """The transition that records it. The traceback is kept once, in the timeline."""
        story = _text(outcome.failure)
        short = msgspec.structs.replace(outcome, failure=outcome.failure.without_traceback())
        if isinstance(short, GiveUp):
            return RecordGiveUp(*about, self._verdict(job, short), _text(short.failure), story, self._ttl)
        delay = int(short.after * 1000)
        if short.counted:
            return RecordRetry(*about, self._verdict(job, short), story, delay, self._ttl)
        return WaitOut(*about, story, delay, self._ttl)

    def _verdict(self, job: Job, outcome: Outcome) -> str:
        return write_verdict(outcome, job, self._keyring).decode()


def _text(value: object) -> str:
    # The server's msgpack knows texts, not byte strings.
    return msgspec.json.encode(value).decode()
