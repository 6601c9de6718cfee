"""The store's face: opens runs, claims and decides jobs, and answers what a run is about."""

import asyncio
import hashlib
import math
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Literal, NamedTuple, cast

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from mousetrap.jobs import Done, Failure, GiveUp, Job, MousetrapError, Outcome, RetryLater
from mousetrap.retry import RetryPolicy
from mousetrap.run_store.batches import Batches
from mousetrap.run_store.claims import Claim, Unsigned, read_claim
from mousetrap.run_store.damage import is_damage
from mousetrap.run_store.facts import StoreFacts, read_facts
from mousetrap.run_store.listing import Wanted, list_runs
from mousetrap.run_store.nudges import Nudges
from mousetrap.run_store.records import (
    OPENING,
    Opening,
    read_opening,
    read_verdict,
    sign_opening,
    write_verdict,
)
from mousetrap.run_store.runs import Event, Page, Progress, Run, RunState, read_event, read_progress, read_run
from mousetrap.signing import Keyring
from mousetrap.store_client import address, open_client, unreachable

#: Reads at once, each on a connection of its own: as many as watchers make would stay for ever.
_READS = 16
#: Seconds between two looks at a watched run when no nudge comes: nudges can be lost with a connection.
_LOOK_ANYWAY = 5.0


_NO_KEYS = Keyring()

#: What became of the wish to decide a job.
Decision = Literal["recorded", "stale", "unlocked", "over"]


class RunConflict(MousetrapError):
    """Another run has this id, or this idempotency key came with another body before: use a new one."""


class Opened(NamedTuple):
    """What became of the wish to open a run."""

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


class RunStore:
    """Every method raises StoreUnreachable when the server does not answer within two seconds."""

    def __init__(
        self, client: Redis, address: str, retention: float, keep: int, keyring: Keyring = _NO_KEYS
    ) -> None:
        self._client = client
        self._address = address
        self._retention = retention
        self._ttl = int(retention * 1000)
        self._keep = keep
        self._keyring = keyring
        self._batches = Batches(client, address)
        self._nudges = Nudges(client)
        self._reads = asyncio.Semaphore(_READS)
        #: Why a read failed last.
        self._failed: Exception | None = None

    async def close(self) -> None:
        """Says what is still to be said, and leaves the server."""
        await self._batches.close()
        await self._nudges.close()
        await self._client.aclose()

    async def check(self) -> None:
        """Returns if the server takes transitions now, which one that is full does not."""
        await self._batches.call("ended")

    async def facts(self) -> StoreFacts:
        """What the server says of itself."""
        async with self._reaching():
            return await read_facts(self._client)

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
            *("open_run", run_id, pipeline, stage, input.decode(), digest, expires, rerun_of, signature),
            self._ttl,
        )
        if state == "conflict":
            raise RunConflict(
                f"run {run_id} exists with another input or pipeline: use a new id or idempotency key"
            )
        return Opened("new" if state == "opened" else state, at, expires or None)

    async def opening(self, run_id: str) -> Opening | None:
        """What the run was started with; None when there is no such run. Raises SignatureRefused for what is not ours."""
        async with self._reaching():
            fields = cast(list[bytes | None], await self._client.hmget(_run_key(run_id), OPENING))
        return read_opening(run_id, fields, self._keyring) if fields[0] is not None else None

    def published(self, run_id: str) -> None:
        """Notes, within a second or so, that the run's first job is with the broker for good.

        Should the note be lost, the job is published once more, under the same id.
        """
        self._batches.note("published", run_id)

    async def unpublished(self, *, age: float, most: int = 100) -> Sequence[str]:
        """Runs recorded so many seconds ago whose first job may never have been published: their submitter died."""
        _, *run_ids = await self._batches.call("unpublished", int(age * 1000), most)
        return run_ids

    async def reject_run(self, run_id: str, why: Failure) -> None:
        """Takes one submission back: ends the run unless another one stands, or a worker has met it already."""
        await self._batches.call("reject_run", run_id, _text(why), self._ttl)

    # What those who mend and stop do

    async def cancel(self, run_id: str, why: Failure | None = None) -> RunState | None:
        """The state after this: `cancelled`, or what the run had ended in before; None for a run that is not known."""
        (state,) = await self._batches.call("cancel_run", run_id, _text(why) if why else "", self._ttl)
        return None if state == "unknown" else RunState(state)

    async def redrive(self, job: Job) -> Job | Literal["stale", "busy"]:
        """Records that a dead job goes round again, before it is published; the job to publish, which expires no more and is
        not too old any more.

        Stale is the letter of a job that has gone on since; busy that of one which a worker has at this moment. Repeating
        the call before the job was published is safe. The run says so after `redriven`, or when a worker meets the job.
        """
        reply, accepted_ms = await self._batches.call(
            "redrive", job.id, job.run_id, job.generation, self._ttl
        )
        if reply == "redriven":
            return job.anew(accepted_ms)
        return "busy" if reply == "busy" else "stale"

    async def redriven(self, job: Job) -> None:
        """Notes that what `redrive` gave is with the broker for good: its run goes on."""
        await self._batches.call(
            *("redriven", job.id, job.run_id, job.pipeline, job.stage, job.accepted_ms, job.generation),
            self._ttl,
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
            *(
                "claim",
                job.id,
                job.run_id,
                job.pipeline,
                job.stage,
                job.attempt,
                job.parent or "",
                job.accepted_ms,
                job.generation,
                job.expires_ms or 0,
            ),
            *(worker, redelivered, lock, waits, crashes, int(lease * 1000), self._keep, self._ttl),
        )
        return read_claim(reply, job, self._keyring)

    async def distrust(self, job: Job, refused: Unsigned, why: GiveUp, *, worker: str) -> Decision:
        """Gives the job up because of what is on record of it, so that nothing ever follows from that.

        `stale` when something else is on record by now: claim it again. `over` when the run has ended otherwise.
        """
        reply = await self._batches.call(
            *("distrust", job.id, job.run_id, job.pipeline, job.stage, job.attempt, job.accepted_ms, worker),
            *(refused.record, self._verdict(job, why), _text(why.failure), self._ttl),
        )
        decision: Decision = reply[0]
        return decision

    async def begin(self, job: Job, *, fence: int, worker: str) -> int:
        """Notes that a suspect begins, alone; how often it has now, or 0 when a later claim has won."""
        _, starts = await self._batches.call(
            "begin", job.id, job.run_id, job.stage, job.attempt, fence, worker, self._ttl
        )
        return int(starts)

    async def survived(self, job: Job) -> None:
        """Notes that a worker which lost the job lives, so that this start does not count as one that killed it."""
        await self._batches.call("survived", job.id, job.attempt)

    async def ended(self, run_ids: Sequence[str]) -> set[str]:
        """Those of the runs that have ended."""
        _, *ended = await self._batches.call("ended", *run_ids)
        return set(ended)

    async def renew(self, job: Job, *, fence: int, lease: float) -> bool:
        """Prolongs a claim; False once a later claim has won."""
        reply = await self._batches.call("renew", job.id, job.run_id, fence, int(lease * 1000), self._ttl)
        return bool(reply[0] == "renewed")

    async def decide(self, job: Job, outcome: Outcome, *, fence: int, worker: str, last: bool) -> Decision:
        """Records the outcome of an attempt before anyone acts on it. With `last`, a Done's output is the run's result.

        `over` when the run was ended from outside: nothing follows. `stale` when a later claim has won, `unlocked` when the
        lock was lost meanwhile: what was given is dropped, but the job may have to come again.
        """
        about = (job.id, job.run_id, job.stage, job.attempt, fence, worker)
        if isinstance(outcome, Done):
            if last:
                reply = await self._batches.call(
                    "complete", *about, bytes(outcome.output).decode(), self._ttl
                )
            else:
                reply = await self._batches.call("done", *about, self._verdict(job, outcome), self._ttl)
        else:
            told = outcome.failure
            # The traceback is kept once, in the timeline.
            outcome = msgspec.structs.replace(outcome, failure=outcome.failure.without_traceback())
            verdict, failure, story = self._verdict(job, outcome), _text(outcome.failure), _text(told)
            if isinstance(outcome, RetryLater):
                delay = int(outcome.after * 1000)
                if outcome.counted:
                    reply = await self._batches.call("retry", *about, verdict, story, delay, self._ttl)
                else:
                    reply = await self._batches.call("wait_out", *about, story, delay, self._ttl)
            else:
                reply = await self._batches.call("give_up", *about, verdict, failure, story, self._ttl)
        decision: Decision = reply[0]
        return decision

    async def release(self, job: Job, *, fence: int, worker: str) -> None:
        """Gives a claim back undecided; the start does not count."""
        await self._batches.call(
            "release", job.id, job.run_id, job.stage, job.attempt, fence, worker, self._ttl
        )

    async def report(self, run_id: str, progress: Progress) -> None:
        """Notes how far a running handler has come."""
        await self._batches.call("progress", run_id, _text(progress))

    # What those who watch do

    async def get(self, run_id: str) -> Run | None:
        """The run with its timeline, oldest event first; None when there is none, or not any more."""
        async with self._reaching():
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.hgetall(_run_key(run_id))
                pipe.xrange(_events_key(run_id))
                fields, entries = await pipe.execute(raise_on_error=False)
            damage = [
                f"{what}: {answer}"
                for what, answer in (("the run", fields), ("its timeline", entries))
                if is_damage(answer)
            ]
        if not fields:
            return None
        timeline = () if is_damage(entries) else tuple(map(read_event, entries))
        return read_run(run_id, {} if is_damage(fields) else fields, timeline, tuple(damage))

    async def latest(self, pipeline: str) -> Run | None:
        """The newest run of the pipeline that completed, by when it was accepted."""
        async with self._reaching():
            run_id = await self._client.hget(f"mousetrap:latest:{pipeline}", "run")
        return await self.get(str(run_id, "ascii")) if isinstance(run_id, bytes) else None

    async def page(
        self,
        *,
        pipeline: str | None = None,
        state: RunState | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> Page:
        """A page of runs, newest first; `after` is the `next` of the page before.

        With `state` a page can hold fewer than `limit`, or none, and still have a next: one call looks at 2,000 runs.
        """
        async with self._reaching():
            return await list_runs(self._client, Wanted(pipeline, state), limit, after, self._retention)

    async def watch(self, run_id: str, after: str = "0") -> AsyncIterator[Event | Progress]:
        """The run's events after the one with the id `after`, as they happen, and its progress; ends with the run."""
        said: bytes | None = None
        async with self._nudges.of(run_id) as nudged:
            while True:
                nudged.clear()
                entries, progress = await self._read_after(run_id, after)
                event = None
                for event in map(read_event, entries):
                    after = event.id
                    yield event
                if event is not None and event.last:  # an end with something after it was mended
                    return
                if progress is not None and progress != said:
                    said = progress
                    if (read := read_progress(progress)) is not None:
                        yield read
                await self._nudges.wait(nudged, _LOOK_ANYWAY)

    async def _read_after(
        self, run_id: str, after: str
    ) -> tuple[list[tuple[bytes, Mapping[bytes, bytes]]], bytes | None]:
        async with self._reaching():
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.xrange(_events_key(run_id), min=f"({after}" if after != "0" else "-")
                pipe.hget(_run_key(run_id), "progress")
                entries, progress = await pipe.execute(raise_on_error=False)
            return (
                [] if is_damage(entries) else entries,
                None if is_damage(progress) else progress,
            )

    def _verdict(self, job: Job, outcome: Outcome) -> str:
        return write_verdict(outcome, job, self._keyring).decode()

    @asynccontextmanager
    async def _reaching(self) -> AsyncIterator[None]:
        """Waits for a turn to read, and turns the client's errors into ours.

        Whoever waited behind a read that failed does not try for itself: a thousand watchers of a server that hangs
        would wait for one another.
        """
        failed = self._failed
        async with self._reads:
            if self._failed is not failed and self._failed is not None:
                raise unreachable(self._address, self._failed)
            try:
                yield
            except (RedisError, OSError, TimeoutError) as error:
                self._failed = error
                raise unreachable(self._address, error) from error


def _text(value: object) -> str:
    # The server's msgpack knows texts, not byte strings.
    return msgspec.json.encode(value).decode()


def _run_key(run_id: str) -> str:
    return f"mousetrap:run:{run_id}"


def _events_key(run_id: str) -> str:
    return f"mousetrap:run:{run_id}:events"
