"""Tests packed records in a real store."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Self

import msgspec
import pytest

from mousetrap.jobs import Done, Failure, GiveUp, Job, RecordDamaged, RetryLater
from mousetrap.run_store import (
    Busy,
    ClaimRequest,
    Decided,
    DecisionRequest,
    Forgotten,
    Granted,
    Locked,
    Over,
    RunConflict,
    RunStore,
    Terms,
    Unsigned,
    open_store,
)
from mousetrap.run_store.keys import OPENED, OPENED_DELAYED, newest_key, packed_job_key, packed_run_key
from mousetrap.run_store.notifications import ENDS, Notifications
from mousetrap.run_store.packed.transitions import MarkPublished
from mousetrap.shapes import Progress, RunState
from mousetrap.signing import Keyring, SignatureRefused
from mousetrap.store_client import Command, ReplyError, StoreClient, open_client
from mousetrap.store_client import packed as packed_words
from support.packed import (
    events,
    job_facts,
    job_record,
    packed_child,
    packed_first,
    passed,
    run_record,
    untimed,
)
from support.valkey import console, names

BROKEN = Failure(kind="ValueError", text="no")
OUTPUT = Done(msgspec.Raw(b'{"sum":3}'))
RESULT = Done(msgspec.Raw(b"6"))
DEAD = GiveUp("max-retries", BROKEN)
KEYRING = Keyring({"k1": b"k" * 32})


@pytest.fixture(autouse=True)
def new_runs_are_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", 5)


@pytest.fixture
def store_url(either_url: str) -> str:
    """The address of either kind of store in turn, with nothing in it."""
    return either_url


def a_store(url: str) -> AbstractAsyncContextManager[RunStore]:
    return open_store(url, retention=3600)


class Watched(Notifications):
    """Notifications of ends, over a connection of their own."""

    def __init__(self, url: str) -> None:
        self._own = open_client(url, None)
        super().__init__(self._own, ENDS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
        await self._own.close()


async def opened(store: RunStore, run_id: str = "r1", **terms: Any) -> Job:
    """A run that was accepted, by its first job."""
    accepted = await store.open_run(run_id, "sums", "add", b"[1,2]", terms=Terms(**terms))
    return packed_first(run_id, accepted_ms=accepted.accepted_ms, expires_ms=accepted.expires_ms)


def before(store: RunStore, named: str, act: Callable[[], Awaitable[object]]) -> None:
    """Lets the store wait for `act` once, before it sends the first call that has such a word."""
    send, acts = store._client.pipeline, [act]

    async def pipeline(commands: Sequence[Command]) -> list[Any]:
        if acts and any(named.encode() in each for each in packed_words(commands)):
            await acts.pop()()
        return await send(commands)

    store._client.pipeline = pipeline  # type: ignore[method-assign]


def lacks_ifeq(store: RunStore) -> None:
    """Lets the server answer as one that cannot compare, though it was asked whether it can."""
    send = store._client.pipeline

    async def pipeline(commands: Sequence[Command]) -> list[Any]:
        replies = await send([("PING",) if "IFEQ" in command else command for command in commands])
        return [
            ReplyError("ERR syntax error") if "IFEQ" in command else reply
            for command, reply in zip(commands, replies, strict=True)
        ]

    store._client.pipeline = pipeline  # type: ignore[method-assign]


async def claimed(store: RunStore, job: Job, worker: str = "w1", **more: Any) -> Any:
    return await store.claim(job, worker=worker, **{"redelivered": False, "lease": 60.0, **more})


async def decided(
    store: RunStore, job: Job, outcome: Any, claim: Granted, worker: str = "w1", *, last: bool = False
) -> Any:
    request = DecisionRequest(job, outcome, claim, last, None if last else "double")
    (decision,) = (await store.exchange([request], (), worker=worker)).decisions
    return decision


# The usual path


async def test_a_run_goes_from_its_opening_to_its_result_without_an_event(
    store_url: str, compares: bool
) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        claim = await claimed(store, job)
        assert (claim.fence, claim.starts, claim.record[:9]) == (1, 1, b"R00000001")
        assert await decided(store, job, OUTPUT, claim) == "recorded"
        child = packed_child(job, claim.fence)
        second = await claimed(store, child, "w2")
        assert second.fence == 1
        assert await decided(store, child, RESULT, second, "w2", last=True) == "recorded"

        run, first, last = (
            run_record(store_url, "r1"),
            job_record(store_url, job),
            job_record(store_url, child),
        )
        assert run is not None and first is not None and last is not None
        assert (run.state, run.facts.pipeline, run.facts.stage, run.input) == (
            "completed",
            "sums",
            "add",
            b"[1,2]",
        )
        assert (first.state, first.facts.next, first.facts.worker) == ("done", "double", "w1")
        assert first.verdict == b'{"type":"done","output":{"sum":3}}'
        assert (last.state, last.facts.next, last.verdict) == ("done", "", b'{"type":"done","output":6}')
        assert first.facts.claimed_ms <= first.facts.decided_ms <= last.facts.decided_ms
        assert events(store_url, "r1") == []
        assert untimed(store_url) == []
        with console(store_url) as client:
            assert client.zrange(newest_key("sums"), 0, -1) == [b"r1"]
            assert client.exists(OPENED) == 0


async def test_a_batch_is_one_exchange(store_url: str) -> None:
    async with a_store(store_url) as store:
        jobs = [await opened(store, f"r{number}") for number in range(20)]
        wanted = [ClaimRequest(job, redelivered=False, lease=60.0) for job in jobs]
        claims = (await store.exchange((), wanted, worker="w1")).claims
        done = [
            DecisionRequest(job, RESULT, claim, last=True)
            for job, claim in zip(jobs, claims, strict=True)
            if isinstance(claim, Granted)
        ]

        exchanged = await store.exchange(done, [], worker="w1")

        assert exchanged.decisions == ["recorded"] * 20
        assert {run_record(store_url, job.run_id).state for job in jobs} == {"completed"}  # type: ignore[union-attr]


async def test_a_decision_that_is_repeated_is_the_first_one(store_url: str, compares: bool) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        claim = await claimed(store, job)
        for _ in range(2):
            assert await decided(store, job, OUTPUT, claim) == "recorded"
        child = packed_child(job, 1)
        second = await claimed(store, child)
        for _ in range(2):
            assert await decided(store, child, RESULT, second, last=True) == "recorded"
        assert await claimed(store, child, redelivered=True) == Over()


async def test_a_recorded_outcome_is_the_reply_to_a_claim(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        await decided(store, job, OUTPUT, await claimed(store, job))

        assert await claimed(store, job, "w2", redelivered=True) == Decided(OUTPUT, fence=1)


# Claims that plain commands do not settle


async def test_a_claim_whose_reply_was_lost_is_granted_again_under_its_fence(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        first = await claimed(store, job)

        again = await claimed(store, job)

        assert (again.fence, again.starts, again.record) == (1, 1, b"")
        assert await decided(store, job, OUTPUT, first) == "recorded"
        assert events(store_url, "r1") == ["started", "finished"]


async def test_only_the_newest_claim_decides(store_url: str, compares: bool) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        first = await claimed(store, job)
        assert isinstance(await claimed(store, job, "w2"), Busy)
        second = await claimed(store, job, "w2", redelivered=True)
        assert (second.fence, second.starts) == (2, 2)

        assert await decided(store, job, OUTPUT, first) == "stale"
        assert await decided(store, job, OUTPUT, second, "w2") == "recorded"
        assert events(store_url, "r1") == ["started", "started", "finished"]


async def test_a_claim_that_its_worker_did_not_renew_ends(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        await claimed(store, job, lease=0.0)

        assert isinstance(await claimed(store, job, "w2"), Granted)


async def test_a_renewed_claim_decides_still(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        claim = await claimed(store, job, lease=0.0)
        assert await store.renew(job, fence=1, lease=60.0)
        assert isinstance(await claimed(store, job, "w2"), Busy)

        assert await decided(store, job, RESULT, claim, last=True) == "recorded"
        assert not await store.renew(job, fence=0, lease=60.0)


async def test_a_released_job_goes_to_the_next_worker_as_its_first_start(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        claim = await claimed(store, job)
        await store.release(job, fence=claim.fence, worker="w1")

        again = await claimed(store, job, "w2")

        assert (again.fence, again.starts) == (2, 1)
        assert events(store_url, "r1") == ["started", "handed_back", "started"]


async def test_a_cancelled_run_starts_nothing_and_decides_nothing(store_url: str, compares: bool) -> None:
    async with a_store(store_url) as store:
        waiting, running, last = [await opened(store, f"r{number}") for number in (1, 2, 3)]
        claim, final = await claimed(store, running), await claimed(store, last)
        for run in ("r1", "r2", "r3"):
            assert await store.cancel(run) == RunState.CANCELLED
        assert await store.cancel("r1") == RunState.CANCELLED

        assert await claimed(store, waiting) == Over()
        assert job_record(store_url, waiting) is None
        assert await decided(store, running, OUTPUT, claim) == "over"
        assert await decided(store, last, RESULT, final, last=True) == "over"
        assert await store.ended(["r1", "r2", "r9"]) == {"r1", "r2"}
        with console(store_url) as client:
            assert client.zrange(newest_key("sums"), 0, -1) == []


async def test_a_run_that_failed_was_not_ended_from_outside(store_url: str) -> None:
    async with a_store(store_url) as store:
        jobs = [await opened(store, run) for run in ("r1", "r2", "r3")]
        await decided(store, jobs[0], DEAD, await claimed(store, jobs[0]))
        await decided(store, jobs[1], RESULT, await claimed(store, jobs[1]), last=True)
        await store.cancel("r3")

        assert await store.ended(["r1", "r2", "r3"]) == {"r3"}


async def test_a_completed_run_cannot_be_cancelled(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        await decided(store, job, RESULT, await claimed(store, job), last=True)

        assert await store.cancel("r1") == RunState.COMPLETED
        assert await store.cancel("r2") is None


@pytest.mark.parametrize("outcome", [RESULT, DEAD], ids=["completed", "failed"])
async def test_a_job_of_an_ended_run_is_not_done_again_though_its_record_is_gone(
    store_url: str, outcome: Any
) -> None:
    """As in the moment in which the job's record is over, and its run's not yet."""
    async with a_store(store_url) as store:
        job = await opened(store)
        assert await decided(store, job, outcome, await claimed(store, job), last=True) == "recorded"
        with console(store_url) as client:
            client.delete(packed_job_key("r1", job.id))

        assert await claimed(store, job, "w2", redelivered=True) == Over()


async def test_a_job_that_has_expired_ends_its_run(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store, expires_in=0.001)
        assert job.expires_ms
        await passed(store, job.expires_ms)

        assert await claimed(store, job, lease=1.0) == Over("expired")
        run = run_record(store_url, "r1")
        assert run is not None
        assert run.state == "expired"


async def test_a_message_older_than_any_run_is_forgotten(store_url: str) -> None:
    async with a_store(store_url) as store:
        assert await claimed(store, packed_first("r1", accepted_ms=1)) == Forgotten()


async def test_who_waits_learns_of_the_ends_of_a_batch(store_url: str) -> None:
    async with a_store(store_url) as store, Watched(store_url) as watched:
        jobs = [await opened(store, run) for run in ("r1", "r2")]
        claims = [await claimed(store, job) for job in jobs]
        done = [
            DecisionRequest(job, RESULT, claim, last=True) for job, claim in zip(jobs, claims, strict=True)
        ]
        async with watched.of("r1") as first, watched.of("r2") as second:
            await watched.subscribed_within(60.0)
            for watcher in (first, second):
                watcher.look()

            await store.exchange(done, [], worker="w1")

            await asyncio.wait_for(asyncio.gather(first.news(), second.news()), 60.0)
            assert first.look() and second.look()


async def test_an_end_is_notified_again_where_the_server_had_to_get_the_library_first(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        claim = await claimed(store, job)
        with console(store_url) as client, client.pubsub() as notices:
            notices.subscribe(ENDS)
            assert notices.get_message(timeout=60.0) is not None
            client.function_flush()

            assert await decided(store, job, RESULT, claim, last=True) == "recorded"

            # The first came before the decision, which that server did not know how to make. A cluster may also pass on a notice
            # of the test before.
            found = 0
            while found < 2:
                notice = notices.get_message(timeout=60.0)
                assert notice is not None
                found += notice["data"] == b"r1"


# The parent's fence


async def test_a_claim_under_the_fence_of_a_running_parent_implies_its_decision(
    store_url: str, compares: bool
) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        claim = await claimed(store, job)

        child = await claimed(store, packed_child(job, claim.fence), "w2")

        assert child.fence == 1
        parent = job_record(store_url, job)
        assert parent is not None
        assert (parent.state, parent.facts.next, parent.verdict) == ("done", "double", b"")
        assert await claimed(store, job, "w3", redelivered=True) == Over()
        assert await decided(store, job, OUTPUT, claim) == "recorded"
        assert job_record(store_url, job).verdict == b'{"type":"done","output":{"sum":3}}'  # type: ignore[union-attr]


@pytest.mark.parametrize("done", [False, True])
async def test_a_message_from_a_parent_whose_outcome_was_lost_starts_nothing(
    store_url: str, done: bool
) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        await claimed(store, job)
        taken = await claimed(store, job, "w2", redelivered=True)
        if done:
            assert await decided(store, job, OUTPUT, taken, "w2") == "recorded"

        assert await claimed(store, packed_child(job, 1)) == Over()
        assert job_record(store_url, packed_child(job, 1)) is None
        assert isinstance(await claimed(store, packed_child(job, 2)), Granted)


async def test_a_parent_that_the_store_has_lost_holds_up_no_child(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)

        assert isinstance(await claimed(store, packed_child(job, 7)), Granted)


async def test_a_large_output_is_removed_once_it_has_arrived(store_url: str) -> None:
    async with open_store(store_url, retention=3600, keep=20) as store:
        job = await opened(store)
        large = b'"%b"' % (b"x" * 40)
        await decided(store, job, Done(msgspec.Raw(large)), await claimed(store, job))
        assert isinstance(await claimed(store, packed_child(job, 1, large)), Granted)

        assert job_record(store_url, job).verdict == b""  # type: ignore[union-attr]
        assert await claimed(store, job, redelivered=True) == Over()


# Runs that the store does not know, or knows already


async def test_a_claim_opens_a_run_from_its_message_and_its_submitter_finds_it(store_url: str) -> None:
    async with a_store(store_url) as store:
        run = await store.open_run("r0", "sums", "add", b"0")
        job = packed_first("r1", accepted_ms=run.accepted_ms)
        assert isinstance(await claimed(store, job), Granted)

        found = run_record(store_url, "r1")
        assert found is not None
        assert (found.state, found.facts.pipeline, found.input) == ("queued", "sums", b"[1,2]")
        assert (await store.open_run("r1", "sums", "add", b"[1,2]")).state == "known"
        with pytest.raises(RunConflict):
            await store.open_run("r1", "sums", "add", b"[3]")
        (index,) = names(store_url, "mousetrap:runs:sums:*")
        with console(store_url) as client:
            assert [member[14:] for member in client.zrange(index, 0, -1)] == [b"r0", b"r1"]


async def test_a_repeat_of_a_run_that_no_worker_has_met_is_published_again(store_url: str) -> None:
    async with a_store(store_url) as store:
        first = await store.open_run("r1", "sums", "add", b"1")
        again = await store.open_run("r1", "sums", "add", b"1")

        assert (first.state, again.state) == ("new", "waiting")
        assert again.accepted_ms == first.accepted_ms


@pytest.mark.parametrize("which", [0, 1])
async def test_a_rejection_that_comes_twice_counts_once(store_url: str, which: int) -> None:
    async with a_store(store_url) as store:
        submissions = [await store.open_run("r1", "sums", "add", b"[1,2]") for _ in range(2)]
        assert [each.state for each in submissions] == ["new", "waiting"]
        for _ in range(2):  # the first reply is lost
            await store.reject_run("r1", BROKEN, submissions[which])
        run = run_record(store_url, "r1")
        assert run is not None
        assert run.state == "queued"

        await store.reject_run("r1", BROKEN, submissions[1 - which])
        assert isinstance(await claimed(store, packed_first("r1", accepted_ms=1)), Over)


async def test_a_rejection_that_comes_again_leaves_the_run_that_was_opened_since(store_url: str) -> None:
    async with a_store(store_url) as store:
        refused = await store.open_run("r1", "sums", "add", b"[1,2]")
        await store.reject_run("r1", BROKEN, refused)
        await passed(store, refused.accepted_ms)
        assert (await store.open_run("r1", "sums", "add", b"[1,2]")).state == "new"
        await store.reject_run("r1", BROKEN, refused)

        run = run_record(store_url, "r1")
        assert run is not None
        assert run.state == "queued"


async def test_an_outcome_is_recorded_by_a_server_that_cannot_compare_though_another_can(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        claim = await claimed(store, job)
        lacks_ifeq(store)
        assert store._sender.compares
        assert await decided(store, job, OUTPUT, claim) == "recorded"
        assert isinstance(await claimed(store, packed_child(job, claim.fence)), Granted)


async def test_a_rejected_run_is_not_run_and_may_be_accepted_later(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        await store.reject_run("r1", BROKEN)
        assert await claimed(store, job) == Over()
        assert (await store.open_run("r1", "sums", "add", b"[1,2]")).state == "new"
        assert isinstance(await claimed(store, job), Granted)


async def test_a_submission_that_was_refused_before_it_was_recorded_leaves_a_tombstone(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        seen = await store.open_run("r0", "sums", "add", b"0")
        await store.reject_run("r1", BROKEN)

        assert await claimed(store, packed_first("r1", accepted_ms=seen.accepted_ms)) == Over()
        assert untimed(store_url) == []
        assert (await store.open_run("r1", "sums", "add", b"[1,2]")).state == "new"


async def test_a_rejection_leaves_a_run_that_a_worker_or_another_submitter_has(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        await opened(store)
        await store.reject_run("r1", BROKEN)
        await claimed(store, job)
        await store.reject_run("r1", BROKEN)

        assert await store.ended(["r1"]) == set()


def stands_as(url: str, run_id: str, record: bytes) -> None:
    """The store has forgotten all of the run that came after this record, as a replica can that takes over."""
    with console(url) as client:
        client.delete(*names(url, f"mousetrap:{{{run_id}}}:*"))
        client.set(packed_run_key(run_id), record, px=3_600_000)


async def rejected(store: RunStore, *, recorded: bool) -> Job:
    """A run whose only submission was refused, with its record or before there was one; its message."""
    draft = await store.draft_run("r1", "sums", "add", b"[1,2]")
    if recorded:
        await store.reject_run("r1", BROKEN, await store.open_drafted(draft))
    else:
        await store._packed_runs.withdraw(draft, "{}")
    await passed(store, draft.facts.accepted_ms)
    return packed_first("r1", accepted_ms=draft.facts.accepted_ms)


@pytest.mark.parametrize("recorded", [True, False], ids=["rejected", "tombstone"])
@pytest.mark.parametrize("begun", [False, True], ids=["its first job", "a later one"])
async def test_a_run_that_was_accepted_after_its_rejection_goes_on_though_the_store_has_forgotten_that(
    store_url: str, recorded: bool, begun: bool
) -> None:
    async with a_store(store_url) as store:
        refused = await rejected(store, recorded=recorded)
        with console(store_url) as client:
            record: Any = client.get(packed_run_key("r1"))
        job = await opened(store)
        if begun:
            claim = await claimed(store, job)
            await decided(store, job, OUTPUT, claim)
            job = packed_child(job, claim.fence)
        stands_as(store_url, "r1", record)

        assert await claimed(store, refused) == Over(), "it is the message of the submission that was refused"
        claim = await claimed(store, job)
        assert isinstance(claim, Granted)
        assert await decided(store, job, RESULT, claim, last=True) == "recorded"
        run = await store.get("r1")
        assert run is not None
        assert (run.state, run.result) == ("completed", 6)
        assert "rejected" not in [event.kind for event in run.timeline]
        assert untimed(store_url) == []


async def test_a_message_of_a_refused_submission_expires_no_run_that_was_accepted_for_longer(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        refused = await store.open_run("r1", "sums", "add", b"[1,2]", terms=Terms(expires_in=0.05))
        await store.reject_run("r1", BROKEN, refused)
        assert refused.expires_ms is not None
        await passed(store, refused.expires_ms)
        accepted = await opened(store, expires_in=60.0)
        late = packed_first("r1", accepted_ms=refused.accepted_ms, expires_ms=refused.expires_ms)

        claim = await claimed(store, late)
        assert isinstance(claim, Granted), "as a copy of the message of the accepted one"
        assert await decided(store, late, RESULT, claim, last=True) == "recorded"
        assert isinstance(await claimed(store, accepted, "w2", redelivered=True), Decided | Over)
        assert run_record(store_url, "r1").state == "completed"  # type: ignore[union-attr]


@pytest.mark.parametrize("known", [0, 1], ids=["none", "the first"])
async def test_a_run_whose_earlier_jobs_the_store_has_forgotten_has_its_result(
    store_url: str, known: int
) -> None:
    async with a_store(store_url) as store:
        jobs = [await opened(store)]
        for stage in ("double", "halve"):
            claim = await claimed(store, jobs[-1])
            request = DecisionRequest(jobs[-1], OUTPUT, claim, False, stage)
            assert (await store.exchange([request], (), worker="w1")).decisions == ["recorded"]
            jobs.append(jobs[-1].following(stage, b'{"sum":3}', fence=claim.fence))
        with console(store_url) as client:
            for job in jobs[known:]:
                client.delete(packed_job_key("r1", job.id))

        claim = await claimed(store, jobs[-1], "w2")
        assert await decided(store, jobs[-1], RESULT, claim, "w2", last=True) == "recorded"
        run = await store.get("r1")
        assert run is not None
        assert (run.state, run.result) == ("completed", 6)
        assert run.timeline[-1].kind == "completed"


async def test_a_repeat_of_a_submission_is_known_though_the_store_has_the_run_from_a_later_job_alone(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        later = packed_child(job, (await claimed(store, job)).fence)
        with console(store_url) as client:
            client.delete(*names(store_url, "mousetrap:{r1}:*"))
        claim = await claimed(store, later)

        repeated = await store.open_run("r1", "sums", "add", b"[1,2]")
        assert repeated.state == "known", "its first job is not published again, as a later one is under way"
        with pytest.raises(RunConflict):
            await store.open_run("r1", "products", "add", b"[1,2]")
        assert await decided(store, later, RESULT, claim, last=True) == "recorded"
        run = await store.get("r1")
        assert run is not None
        assert (run.state, run.result) == ("completed", 6)
        assert (await store.open_run("r1", "sums", "add", b"[1,2]")).state == "known"


async def test_of_submissions_that_were_all_refused_no_message_is_done(store_url: str) -> None:
    async with a_store(store_url) as store:
        first = await rejected(store, recorded=True)
        second = await rejected(store, recorded=True)

        assert first.accepted_ms < second.accepted_ms
        assert [await claimed(store, job) for job in (first, second)] == [Over(), Over()]


async def test_no_handler_is_stopped_for_a_rejection_that_was_forgotten_to_be_over(store_url: str) -> None:
    async with a_store(store_url) as store:
        await rejected(store, recorded=True)

        assert await store.ended(["r1"]) == set()


async def test_a_dead_letter_is_redriven_of_a_run_that_stands_as_it_was_before_it_was_accepted(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        refused = await rejected(store, recorded=True)
        with console(store_url) as client:
            record: Any = client.get(packed_run_key("r1"))
        job = await opened(store)
        await decided(store, job, DEAD, await claimed(store, job))
        stands_as(store_url, "r1", record)

        assert await store.redrive(refused) == "stale"
        again = await store.redrive(job)
        assert isinstance(again, Job)
        await store.mark_redriven(again)
        claim = await claimed(store, again)
        assert await decided(store, again, RESULT, claim, last=True) == "recorded"
        assert await store.wait_ended("r1", 0) is not None


async def test_a_run_whose_publish_was_not_noted_is_found(store_url: str) -> None:
    async with a_store(store_url) as store:
        for run in ("r1", "r2", "r3"):
            await opened(store, run)
        await opened(store, "r4", delay_s=60.0)
        await claimed(store, packed_first("r2", accepted_ms=1))
        await store.cancel("r3")

        found = await store.unpublished(age=0)

        assert list(found.run_ids) == ["r1", "r4"]
        assert await store.known(["r1", "r9"]) == {"r1"}
        assert (await store.opening("r1")).first_job("r1").payload == msgspec.Raw(b"[1,2]")  # type: ignore[union-attr]


async def test_a_run_that_is_accepted_after_its_rejection_is_found_though_its_first_message_was_claimed_meanwhile(
    store_url: str,
) -> None:
    async with a_store(store_url) as store, a_store(store_url) as repeating:
        job = await opened(store)
        await store.reject_run("r1", BROKEN)

        async def claims() -> None:
            assert await claimed(store, job) == Over()

        before(repeating, "open_run", claims)
        assert (await repeating.open_run("r1", "sums", "add", b"[1,2]")).state == "new"

        assert list((await store.unpublished(age=0)).run_ids) == ["r1"]


async def test_a_run_that_was_rejected_and_is_submitted_with_a_delay_is_published_once(
    store_url: str,
) -> None:
    """It is named as one at once too, until its record is looked at."""
    async with a_store(store_url) as store:
        refused = await store.open_run("r1", "sums", "add", b"[1,2]")
        await store.reject_run("r1", BROKEN, refused)
        again = await store.open_run("r1", "sums", "add", b"[1,2]", terms=Terms(delay_s=60.0))
        await passed(store, again.accepted_ms)

        assert list((await store.unpublished(age=0)).run_ids) == ["r1"]


async def test_a_run_that_is_accepted_after_its_rejection_is_found_though_its_name_was_just_taken_away(
    store_url: str,
) -> None:
    async with a_store(store_url) as store, a_store(store_url) as repeating:
        job = await opened(store)
        await store.reject_run("r1", BROKEN)
        await passed(store, job.accepted_ms + 1)

        async def repeats() -> None:
            assert (await repeating.open_run("r1", "sums", "add", b"[1,2]")).state == "new"

        before(store, "unname", repeats)
        await store.unpublished(age=0)

        assert list((await store.unpublished(age=0)).run_ids) == ["r1"]


async def test_all_runs_whose_publish_was_not_noted_are_found_by_page(store_url: str) -> None:
    run_ids = {f"r{number}" for number in range(50)}
    later = {f"d{number}" for number in range(20)}
    async with a_store(store_url) as store:
        await asyncio.gather(*(opened(store, run_id) for run_id in run_ids))  # many in one millisecond
        for run_id in later:
            await opened(store, run_id, delay_s=60.0)

        page = await store.unpublished(age=0, limit=8)
        found = list(page.run_ids)
        while page.marks:
            page = await store.unpublished(age=0, limit=8, marks=page.marks)
            found += page.run_ids

    assert len(found) == len(set(found))
    assert set(found) == run_ids | later


async def test_a_noted_publish_is_not_found(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        await opened(store)
        store.mark_published("r1")
    async with open_store(store_url, retention=3600) as store:
        assert list((await store.unpublished(age=0)).run_ids) == []


async def test_a_delayed_run_that_is_published_is_not_published_again(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        first = await store.open_run("r1", "sums", "add", b"1", terms=Terms(delay_s=60.0))
        again = await store.open_run("r1", "sums", "add", b"1", terms=Terms(delay_s=60.0))
        store.mark_published("r1")
    async with open_store(store_url, retention=3600) as store:
        later = await store.open_run("r1", "sums", "add", b"1", terms=Terms(delay_s=60.0))

    assert (first.state, again.state, later.state) == ("new", "waiting", "known")
    assert first.due_ms == first.accepted_ms + 60_000 == later.due_ms
    assert untimed(store_url) == []


async def test_a_delayed_run_whose_process_died_once_it_had_marked_it_is_not_published_again(
    store_url: str,
) -> None:
    later = Terms(delay_s=60.0)
    async with a_store(store_url) as store:
        await store.open_run("r1", "sums", "add", b"1", terms=later)
        await store._sender.call(MarkPublished("r1"))

        assert list((await store.unpublished(age=0)).run_ids) == []
        with console(store_url) as client:
            assert client.zrange(OPENED_DELAYED, 0, -1) == []
        assert (await store.open_run("r1", "sums", "add", b"1", terms=later)).state == "known"


async def test_what_was_published_or_known_is_not_remembered_here(store_url: str) -> None:
    async with a_store(store_url) as store:
        for delay_s in (0.0, 60.0):
            terms = Terms(delay_s=delay_s)
            for _ in range(2):
                opened = await store.open_run(f"r{delay_s:.0f}", "sums", "add", b"1", terms=terms)
                if opened.state == "new":
                    store.mark_published(f"r{delay_s:.0f}")
                    await claimed(store, packed_first(f"r{delay_s:.0f}", accepted_ms=opened.accepted_ms))

        assert store._packed_runs._unpublished == {}


# Attempts that fail


async def test_a_failed_attempt_is_made_again_and_its_job_given_up(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        claim = await claimed(store, job)
        assert await decided(store, job, RetryLater(0.0, BROKEN), claim) == "recorded"
        assert isinstance(await claimed(store, job, redelivered=True), Decided)
        again = job.again()
        second = await claimed(store, again)
        assert (second.fence, second.starts) == (2, 1)
        assert await decided(store, again, DEAD, second) == "recorded"
        # The message of the last attempt alone leads to the dead letter, which is one.
        assert isinstance(await claimed(store, job, redelivered=True), Over)
        assert isinstance(await claimed(store, again, redelivered=True), Decided)

        run, dead = run_record(store_url, "r1"), job_record(store_url, job)
        assert run is not None and dead is not None
        assert (run.state, msgspec.json.decode(run.facts.failure)["text"]) == ("failed", "no")
        assert (dead.state, dead.facts.attempt) == ("dead", 2)
        assert events(store_url, "r1") == ["started", "retrying", "started", "gave_up", "failed"]
        assert untimed(store_url) == []


async def test_an_outage_is_one_attempt_and_one_event(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        away = RetryLater(0.0, BROKEN, counted=False)
        for _ in range(3):
            assert await decided(store, job, away, await claimed(store, job)) == "recorded"

        claim = await claimed(store, job)

        assert claim.starts == 1
        assert claim.away_ms >= 0
        assert events(store_url, "r1") == ["started", "retrying"]


async def test_a_job_that_kills_its_workers_is_a_suspect(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        for worker in ("w1", "w2"):
            assert not (await claimed(store, job, worker, redelivered=True)).suspect
        claim = await claimed(store, job, "w3", redelivered=True)
        assert (claim.suspect, claim.starts) == (True, 2)

        assert await store.begin(job, fence=claim.fence, worker="w3") == 3
        assert isinstance(await claimed(store, job, "w4", redelivered=True, crashes=3), Busy)
        await store.mark_survived(job, worker="w3")
        assert job_facts(store_url, job)["starts"] == 2


async def test_a_dead_job_is_redriven_once(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        await decided(store, job, DEAD, await claimed(store, job))
        again = await store.redrive(job)
        assert isinstance(again, Job)
        assert run_record(store_url, "r1").state == "failed"  # type: ignore[union-attr]
        await store.mark_redriven(again)
        assert run_record(store_url, "r1").state == "queued"  # type: ignore[union-attr]

        claim = await claimed(store, again)
        assert claim.fence == 3
        assert await store.redrive(job) == "stale" or isinstance(await store.redrive(job), Job)
        assert await decided(store, again, RESULT, claim, last=True) == "recorded"
        assert await store.redrive(job) == "stale"
        assert events(store_url, "r1") == [
            "started",
            "gave_up",
            "failed",
            "redriven",
            "started",
            "finished",
            "completed",
        ]


async def test_a_lock_excludes_jobs_of_both_families(single_url: str) -> None:
    async with a_store(single_url) as store:
        older = packed_first("r2", accepted_ms=1_800_000_000_000)
        older_job = Job(**{name: getattr(older, name) for name in Job.__struct_fields__ if name != "v"}, v=2)
        job = await opened(store)
        claim = await claimed(store, job, lock="one", waits=True)
        assert claim.lock_fence > 0

        assert isinstance(await claimed(store, older_job, "w2", lock="one", waits=True), Locked)
        assert await decided(store, job, OUTPUT, claim) == "recorded"
        assert isinstance(await claimed(store, older_job, "w2", lock="one", waits=True), Granted)
        assert isinstance(await claimed(store, await opened(store, "r3"), lock="one", waits=True), Locked)


async def test_a_job_that_lost_its_lock_decides_nothing(single_url: str) -> None:
    async with a_store(single_url) as store:
        job, other = await opened(store), await opened(store, "r2")
        claim = await claimed(store, job, lock="one", lease=0.0)
        assert isinstance(await claimed(store, other, "w2", lock="one"), Granted)

        assert await decided(store, job, OUTPUT, claim) == "unlocked"
        assert isinstance(await claimed(store, job, lock="one"), Locked)
        assert events(single_url, "r1") == ["started", "waiting"]


async def test_values_and_progress_of_a_run_are_kept(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        claim = await claimed(store, job)
        for number in (1, 2, 2):
            kept = await store.keep_value(job.id, "r1", "add", 1, claim.fence, "w1", number, b'"x"')
            assert kept == "recorded"
        assert await store.keep_value(job.id, "r1", "add", 1, 9, "w1", 1, b'"x"') == "stale"
        await store.report("r1", Progress(stage="add", done=0.5))

        assert await decided(store, job, RESULT, claim, last=True) == "recorded"
        assert events(store_url, "r1") == ["started", "yielded", "yielded", "finished", "completed"]
        assert untimed(store_url) == []


# Forged


async def test_an_outcome_that_is_not_ours_is_given_up_and_nothing_follows_from_it(store_url: str) -> None:
    async with open_store(store_url, retention=3600, keyring=KEYRING) as store:
        job = await opened(store)
        claim = await claimed(store, job)
        assert await decided(store, job, OUTPUT, claim) == "recorded"
        assert await claimed(store, job, redelivered=True) == Decided(OUTPUT, fence=1)
        key = packed_job_key("r1", job.id)
        with console(store_url) as client:
            record: Any = client.get(key)
            client.set(key, record.replace(b'{"sum":3}', b'{"sum":4}'), keepttl=True)
        refused = await claimed(store, job, redelivered=True)
        assert isinstance(refused, Unsigned)

        assert await store.replace_unsigned(job, refused, DEAD, worker="w1") == "recorded"

        assert await store.replace_unsigned(job, refused, DEAD, worker="w1") == "stale"
        assert await claimed(store, job, redelivered=True) == Decided(DEAD, fence=2)
        assert run_record(store_url, "r1").state == "failed"  # type: ignore[union-attr]
        assert await claimed(store, packed_child(job, 1)) == Over()


@pytest.mark.parametrize("forged", [b'Q{"pipeline":"sums","stage":"add"}\n[3]', b"nonsense"])
async def test_an_opening_that_is_not_ours_is_refused(store_url: str, forged: bytes) -> None:
    async with open_store(store_url, retention=3600, keyring=KEYRING) as store:
        await opened(store)
        assert (await store.opening("r1")).input == b"[1,2]"  # type: ignore[union-attr]
        with console(store_url) as client:
            client.set(packed_run_key("r1"), forged, keepttl=True)

        with pytest.raises(SignatureRefused):
            await store.opening("r1")


async def test_an_opening_made_from_a_message_is_signed_as_its_submitter_would(store_url: str) -> None:
    async with open_store(store_url, retention=3600, keyring=KEYRING) as store:
        known = await opened(store, "r0")
        await claimed(store, packed_first("r1", accepted_ms=known.accepted_ms))

        opening = await store.opening("r1")

        assert opening is not None
        assert opening.first_job("r1").payload == msgspec.Raw(b"[1,2]")


async def test_the_output_of_a_job_is_there_for_a_run_that_begins_after_it(store_url: str) -> None:
    async with open_store(store_url, retention=3600, keyring=KEYRING) as store:
        job = await opened(store)
        assert await store.output(job) is None
        await decided(store, job, OUTPUT, await claimed(store, job))

        assert await store.output(job) == OUTPUT


@pytest.mark.parametrize(("keep", "kept"), [(150_000, True), (50_000, False)])
async def test_an_output_that_is_recorded_after_its_child_s_claim_is_kept_as_the_setting_has_it(
    store_url: str, keep: int, kept: bool
) -> None:
    output = b'"%b"' % (b"a" * 100_000)
    async with open_store(store_url, retention=3600, keep=keep, keyring=KEYRING) as store:
        job = await opened(store)
        claim = await claimed(store, job)
        assert isinstance(await claimed(store, packed_child(job, claim.fence), "w2"), Granted)
        assert await decided(store, job, Done(msgspec.Raw(output)), claim) == "recorded"

        assert await store.output(job) == (Done(msgspec.Raw(output)) if kept else None)


# Damage


@pytest.mark.parametrize("key", ["run", "job"])
@pytest.mark.parametrize("damage", ["of another type", "no record", "facts of another type"])
async def test_a_damaged_record_is_one_jobs_fault(store_url: str, key: str, damage: str) -> None:
    async with a_store(store_url) as store:
        bad, good = await opened(store), await opened(store, "r2")
        name = packed_run_key("r1") if key == "run" else packed_job_key("r1", bad.id)
        with console(store_url) as client:
            client.delete(name)
            if damage == "of another type":
                client.hset(name, "state", "running")
            else:
                head = b"Q" if key == "run" else b"R00000001"
                client.set(name, b"?" if damage == "no record" else head + b'{"starts":[],"attempt":"x"}\n1')
        wanted = [ClaimRequest(job, redelivered=False, lease=60.0) for job in (bad, good)]

        damaged, granted = (await store.exchange((), wanted, worker="w1")).claims

        assert isinstance(damaged, RecordDamaged) or (key, damage) == ("run", "facts of another type")
        assert isinstance(granted, Granted)


# A run whose message is there before its record


async def test_the_record_of_a_run_that_a_claim_opened_adds_its_facts_and_counts_no_other_submission(
    store_url: str, compares: bool
) -> None:
    async with a_store(store_url) as store:
        draft = await store.draft_run(
            "r1", "sums", "add", b"[1,2]", terms=Terms(tags=("blue",), expires_in=900)
        )
        claim = await claimed(store, draft.first_job())
        assert claim.fence == 1
        assert (await store.open_drafted(draft)).state == "known"

        run = run_record(store_url, "r1")
        assert run is not None
        assert run.facts == draft.facts  # the signature and the digest too
        assert await decided(store, draft.first_job(), OUTPUT, claim) == "recorded"
        with pytest.raises(RunConflict):
            await store.open_run("r1", "sums", "add", b"[1,3]")
        assert (await store.open_run("r1", "sums", "add", b"[1,2]")).state == "known"
        with console(store_url) as client:
            assert client.exists(OPENED) == 0
        assert untimed(store_url) == []


async def test_a_withdrawn_run_that_was_never_recorded_starts_nothing_and_can_be_opened_again(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        draft = await store.draft_run("r1", "sums", "add", b"[1,2]")
        store.withdraw_run(draft, BROKEN)
        await store._withdrawals.close()
        assert isinstance(await claimed(store, draft.first_job()), Over)
        assert (await store.open_run("r1", "sums", "add", b"[1,2]")).state == "new"


async def test_a_withdrawal_leaves_the_run_of_another_submission_and_one_that_a_worker_has_met(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        refused = await store.draft_run("r1", "sums", "add", b"[1,2]")
        earlier = msgspec.structs.replace(refused.facts, accepted_ms=refused.facts.accepted_ms - 1)
        await store.open_drafted(refused)  # it repeats the other
        met = await store.draft_run("r2", "sums", "add", b"[1,2]")
        await claimed(store, met.first_job())
        store.withdraw_run(refused._replace(facts=earlier), BROKEN)
        store.withdraw_run(met, BROKEN)
        await store._withdrawals.close()

        for run_id in ("r1", "r2"):
            run = run_record(store_url, run_id)
            assert run is not None
            assert run.state == "queued"


async def test_a_withdrawal_that_comes_twice_leaves_the_run_that_a_repeat_was_accepted_for(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        draft = await store.draft_run("r1", "sums", "add", b"[1,2]")
        await store.open_drafted(draft)
        assert (await store.open_run("r1", "sums", "add", b"[1,2]")).state == "waiting"
        for _ in range(2):  # the first reply is lost
            await store._packed_runs.withdraw(draft, "no")

        run = run_record(store_url, "r1")
        assert run is not None
        assert run.state == "queued"


async def test_a_submission_that_publishes_nothing_leaves_nothing_in_memory(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        store.mark_published("r1")
        await claimed(store, job)
        assert (await store.open_run("r1", "sums", "add", b"[1,2]")).state == "known"
        with pytest.raises(RunConflict):
            await store.open_run("r1", "sums", "add", b"[1,3]")

        assert store._packed_runs._unpublished == {}


async def test_an_end_that_first_needed_our_functions_is_notified_of_after_it(
    single_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []

    async def noted(self: StoreClient, commands: Any) -> list[Any]:
        calls.append([str(command[0]) for command in commands])
        return await pipeline(self, commands)

    pipeline = StoreClient.pipeline
    async with a_store(single_url) as store:
        job = await opened(store)
        claim = await claimed(store, job)
        with console(single_url) as client:
            client.function_flush()
        monkeypatch.setattr(StoreClient, "pipeline", noted)
        assert await decided(store, job, RESULT, claim, last=True) == "recorded"
        first, again = calls

    assert "PUBLISH" in first
    assert again == ["FUNCTION", "FCALL", "PUBLISH"]
