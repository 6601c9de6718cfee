"""Tests cancel, expiry, redrive and locks in a real store."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import pytest
from redis import Redis

from mousetrap.jobs import Done, Failure, GiveUp, Job, RetryLater, StoreUnreachable, first_job
from mousetrap.run_store import Busy, Decided, Granted, Locked, Over, RunStore, Terms, open_store
from mousetrap.run_store.keys import job_key, packed_job_key
from mousetrap.shapes import RunState
from support.inbox import eventually
from support.packed import passed
from support.valkey import administrator

BROKEN = Failure(kind="ValueError", text="no")
OUTPUT = Done(msgspec.Raw(b'{"sum":3}'))
DEAD = GiveUp("max-retries", BROKEN)


pytestmark = pytest.mark.usefixtures("both_families")


def a_store(url: str, keep: int = 65_536) -> AbstractAsyncContextManager[RunStore]:
    return open_store(url, retention=3600, keep=keep)


async def opened(store: RunStore, run_id: str = "r1", expires_in: float | None = None) -> Job:
    """A run that was accepted, by its first job."""
    accepted = await store.open_run(run_id, "sums", "add", b"[1,2]", terms=Terms(expires_in=expires_in))
    return first_job(
        run_id=run_id,
        pipeline="sums",
        stage="add",
        payload=b"[1,2]",
        accepted_ms=accepted.accepted_ms,
        expires_ms=accepted.expires_ms,
    )


async def claimed(store: RunStore, job: Job, worker: str = "w1", **more: Any) -> Any:
    return await store.claim(job, worker=worker, **{"redelivered": False, "lease": 60.0, **more})


async def decided(store: RunStore, job: Job, outcome: Any, claim: Granted, worker: str = "w1") -> Any:
    return await store.decide(job, outcome, fence=claim.fence, worker=worker, last=True)


async def state(store: RunStore, run_id: str = "r1") -> RunState:
    run = await store.get(run_id)
    assert run is not None
    return run.state


async def kinds(store: RunStore, run_id: str = "r1") -> list[str]:
    run = await store.get(run_id)
    assert run is not None
    return [event.kind for event in run.timeline]


async def redriven(store: RunStore, job: Job) -> Job:
    again = await store.redrive(job)
    assert isinstance(again, Job)
    await store.mark_redriven(again)
    return again


def forget(url: str, key: str) -> None:
    """The key's time to live is over."""
    with Redis.from_url(administrator(url)) as client:
        assert client.delete(key) == 1


def damage_verdict(url: str, job: Job) -> None:
    """The outcome on record becomes what is no text."""
    with Redis.from_url(administrator(url)) as client:
        if job.v < 5:
            client.hset(job_key(job.id), "verdict", b"\xff\xfe")
            return
        key = packed_job_key(job.run_id, job.id)
        record: Any = client.get(key)
        client.set(key, record.partition(b"\n")[0] + b"\n\xff\xfe")


# Damaged


async def test_what_is_no_text_on_record_of_one_job_holds_up_no_other(store_url: str) -> None:
    async with a_store(store_url) as store:
        bad, good = await opened(store, "r1"), await opened(store, "r2")
        await decided(store, bad, RetryLater(0.0, BROKEN), await claimed(store, bad))
        damage_verdict(store_url, bad)

        async with asyncio.timeout(60):
            # Asked for at the same time, both go in one batch.
            both: Any = await asyncio.gather(
                claimed(store, bad), claimed(store, good), return_exceptions=True
            )

        refused, claim = both
        assert isinstance(refused, StoreUnreachable)
        assert "no text" in str(refused)
        assert isinstance(claim, Granted)


# Cancelled


async def test_a_queued_run_that_was_cancelled_never_starts(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)

        assert await store.cancel("r1") == RunState.CANCELLED
        assert await claimed(store, job) == Over()
        assert await store.cancel("r1") == RunState.CANCELLED
        assert await kinds(store) == ["accepted", "cancelled"]


async def test_a_run_that_was_cancelled_while_it_waits_for_its_next_attempt_never_starts_again(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        await decided(store, job, RetryLater(0.0, BROKEN), await claimed(store, job))

        await store.cancel("r1")

        assert await claimed(store, job.again()) == Over()
        assert await claimed(store, job, redelivered=True) == Over()


@pytest.mark.parametrize("outcome", [OUTPUT, RetryLater(1.0, BROKEN), DEAD])
async def test_what_a_cancelled_job_comes_to_changes_nothing(store_url: str, outcome: Any) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        claim = await claimed(store, job)
        assert await store.ended(["r1", "unknown"]) == set()

        await store.cancel("r1")

        assert await store.ended(["r1", "unknown"]) == {"r1"}
        assert await decided(store, job, outcome, claim) == "over"
        assert await state(store) == RunState.CANCELLED


async def test_what_a_job_had_on_record_when_its_run_was_cancelled_is_not_handed_on(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        claim = await claimed(store, job)
        await store.decide(job, OUTPUT, fence=claim.fence, worker="w1", last=False)

        await store.cancel("r1")

        assert await claimed(store, job, "w2", redelivered=True) == Over()


async def test_a_run_that_has_ended_cannot_be_cancelled(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        await decided(store, job, OUTPUT, await claimed(store, job))

        assert await store.cancel("r1") == RunState.COMPLETED
        assert await store.cancel("unknown") is None
        assert await state(store) == RunState.COMPLETED


async def test_a_reason_to_cancel_is_kept(store_url: str) -> None:
    async with a_store(store_url) as store:
        await opened(store)
        await store.cancel("r1", BROKEN)

        run = await store.get("r1")
        assert run is not None
        assert run.failure == BROKEN


# Expired


async def test_a_job_is_not_begun_after_its_run_s_time_is_over(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store, expires_in=0.001)
        assert job.expires_ms == job.accepted_ms + 1
        await passed(store, job.expires_ms + 1)

        assert await claimed(store, job) == Over("expired")
        assert await state(store) == RunState.EXPIRED
        assert await claimed(store, job, redelivered=True) == Over()
        assert await kinds(store) == ["accepted", "expired"]


async def begun_in_time(store: RunStore, name: str) -> tuple[Job, Granted]:
    """A job that was claimed soon before the end of its run: soon is longer where the machine stops for as long."""
    for expires_in in (0.3, 3.0, 30.0):
        job = await opened(store, f"{name}-{expires_in}", expires_in)
        if isinstance(claim := await claimed(store, job), Granted):
            return job, claim
    raise AssertionError("no claim was made in half a minute")


async def test_a_job_begun_in_time_may_end_late_but_not_begin_again(store_url: str) -> None:
    async with a_store(store_url) as store:
        (job, claim), (other, lost) = await begun_in_time(store, "r1"), await begun_in_time(store, "r2")
        await passed(store, max(job.expires_ms or 0, other.expires_ms or 0) + 1)

        assert await decided(store, job, OUTPUT, claim) == "recorded"
        assert await claimed(store, other, "w2", redelivered=True) == Over("expired")
        assert await decided(store, other, OUTPUT, lost) == "stale"
        assert await state(store, job.run_id) == RunState.COMPLETED
        assert await state(store, other.run_id) == RunState.EXPIRED


async def test_a_worker_whose_claim_got_lost_does_not_begin_when_it_asks_again_too_late(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        job, _ = await begun_in_time(store, "r1")  # and the answer never arrives
        await passed(store, (job.expires_ms or 0) + 1)

        assert await claimed(store, job) == Over("expired")
        assert await state(store, job.run_id) == RunState.EXPIRED


# Suspects


async def test_a_job_whose_workers_died_twice_is_a_suspect_and_counted_only_when_it_begins(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        for n in (1, 2):
            claim = await claimed(store, job, f"w{n}", redelivered=True)
            assert msgspec.structs.replace(claim, record=b"") == Granted(fence=n, starts=n)

        waiting = await claimed(store, job, "w3", redelivered=True)
        assert waiting == Granted(fence=3, starts=2, suspect=True)
        claim = await claimed(store, job, "w4", redelivered=True)
        assert claim == Granted(fence=4, starts=2, suspect=True)

        assert await store.begin(job, fence=claim.fence, worker="w4") == 3
        assert await store.begin(job, fence=claim.fence, worker="w4") == 3
        assert await store.begin(job, fence=waiting.fence, worker="w3") == 0
        assert (await claimed(store, job, "w5", redelivered=True)).starts == 3


async def test_a_worker_that_learns_that_it_lost_its_job_did_not_die_of_it(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        await claimed(store, job, "w1")
        for n in range(2, 9):
            claim = await claimed(store, job, f"w{n}", redelivered=True)
            assert (claim.starts, claim.suspect) == (2, False)
            for _ in range(2):  # its reply can be lost
                await store.mark_survived(job, worker=f"w{n - 1}")


async def test_a_worker_whose_outcome_is_refused_lives(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        claims = [await claimed(store, job, f"w{n}", redelivered=True) for n in (1, 2, 3)]
        for n in (1, 2):
            assert await decided(store, job, OUTPUT, claims[n - 1], f"w{n}") == "stale"

        claim = await claimed(store, job, "w4", redelivered=True)
        assert (claim.starts, claim.suspect) == (1, False)


async def test_workers_that_died_of_a_job_count_through_an_outage(store_url: str) -> None:
    """A job that kills its worker now and then, and finds its database away in between."""
    async with a_store(store_url) as store:
        job = await opened(store)
        away = RetryLater(0.0, BROKEN, counted=False)
        for worker in ("w1", "w2"):
            await claimed(store, job, f"{worker} dead", redelivered=True)
            claim = await claimed(store, job, worker, redelivered=True)
            assert await decided(store, job, away, claim, worker) == "recorded"

        for worker in ("w3", "w4"):  # it stays a suspect, and these live
            claim = await claimed(store, job, worker)
            assert (claim.starts, claim.suspect) == (2, True)
            assert await store.begin(job, fence=claim.fence, worker=worker) == 3
            assert await decided(store, job, away, claim, worker) == "recorded"


async def test_a_worker_that_lost_a_job_which_waits_for_an_outage_did_not_die_of_it(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        await claimed(store, job, "late")
        claim = await claimed(store, job, "w1", redelivered=True)
        await decided(store, job, RetryLater(0.0, BROKEN, counted=False), claim)
        await store.mark_survived(job, worker="late")

        assert (await claimed(store, job, "w2")).starts == 1


async def test_a_claim_or_a_start_that_comes_late_saves_no_job_from_what_its_worker_died_of(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        claims = [await claimed(store, job, f"w{n}", redelivered=True) for n in (1, 2, 3)]
        assert await store.begin(job, fence=claims[2].fence, worker="w3") == 3
        await claimed(store, job, "w4", redelivered=True)

        await store.begin(job, fence=claims[2].fence, worker="w3")
        for worker in ("w1", "w3"):
            await claimed(store, job, worker, redelivered=False)
            again = await claimed(store, job, worker, redelivered=True)
            assert (again.starts, again.suspect) == (3, True)


async def test_a_suspect_that_begins_again_in_its_worker_is_one_death_at_most(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        for worker in ("w1", "w2", "w3", "w3"):
            claim = await claimed(store, job, worker, redelivered=True)
            if claim.suspect:
                assert await store.begin(job, fence=claim.fence, worker=worker) == 3


async def test_a_worker_that_lost_an_earlier_attempt_and_lives_saves_no_later_one(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        late = await claimed(store, job, "late")
        claim = await claimed(store, job, "w1", redelivered=True)
        await decided(store, job, RetryLater(0.0, BROKEN), claim)
        again = job.again()
        for worker in ("late", "w3"):
            await claimed(store, again, worker, redelivered=True)

        await store.mark_survived(job, worker="late")
        assert await decided(store, job, OUTPUT, late, "late") == "stale"

        assert (await claimed(store, again, "w4", redelivered=True)).suspect


async def test_a_job_is_not_convicted_while_its_last_holder_may_live(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        for n in range(3):
            claim = await claimed(store, job, f"w{n}", redelivered=True, crashes=3)
            if claim.suspect:
                await store.begin(job, fence=claim.fence, worker=f"w{n}")

        assert isinstance(await claimed(store, job, "w3", redelivered=True, crashes=3), Busy)

        await store.renew(job, fence=claim.fence, lease=0)  # it lives, and has the time of another claim
        assert isinstance(await claimed(store, job, "w3", redelivered=True, crashes=3), Busy)

        await store.renew(job, fence=claim.fence, lease=0)
        assert (await claimed(store, job, "w3", redelivered=True, crashes=3, lease=0)).starts == 3


async def test_a_job_is_not_convicted_for_the_time_that_the_store_was_away(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        for n in range(3):  # their claims are over before they could be renewed
            claim = await claimed(store, job, f"w{n}", redelivered=True, crashes=3, lease=0)
            if claim.suspect:
                await store.begin(job, fence=claim.fence, worker=f"w{n}")

        assert isinstance(await claimed(store, job, "w3", redelivered=True, crashes=3), Busy)
        assert await decided(store, job, OUTPUT, claim, "w2") == "recorded"


async def test_a_suspect_that_is_handed_back_is_one_still_and_its_start_does_not_count(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        for n in (1, 2):
            await claimed(store, job, f"w{n}", redelivered=True)

        for begins in (False, True, False):
            claim = await claimed(store, job, "w3", redelivered=True)
            assert (claim.starts, claim.suspect) == (2, True)
            if begins:
                assert await store.begin(job, fence=claim.fence, worker="w3") == 3
            await store.release(job, fence=claim.fence, worker="w3")


async def test_a_worker_that_asks_twice_gets_the_same_answer(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        for _ in range(2):
            assert isinstance(await claimed(store, job, "w1", redelivered=True), Granted)
        first = await claimed(store, job, "w2", redelivered=True, lock="L")
        suspect = await claimed(store, job, "w3", redelivered=True, lock="L")

        assert (first.suspect, suspect.suspect) == (False, True)
        assert await claimed(store, job, "w3", lock="L") == suspect
        again = await claimed(store, job, "w3", redelivered=True, lock="L")
        assert (again.starts, again.suspect) == (2, True)
        assert await decided(store, job, OUTPUT, again, "w3") == "recorded"


# Locks


async def test_a_lock_has_one_holder_and_its_fence_grows(store_url: str) -> None:
    async with a_store(store_url) as store:
        one, other = await opened(store, "r1"), await opened(store, "r2")
        first = await claimed(store, one, lock="L")
        assert first.lock_fence > 0

        refused = await claimed(store, other, lock="L")
        assert (refused.holder, refused.seconds) == ("r1", 0.0)
        assert isinstance(await claimed(store, await opened(store, "r3"), lock="M"), Granted)

        await decided(store, one, OUTPUT, first)
        second = await claimed(store, other, lock="L")
        assert second.lock_fence > first.lock_fence
        assert await kinds(store, "r2") == ["accepted", "waiting", "started"]


@pytest.mark.parametrize("end", ["retry", "dead", "released", "cancelled"])
async def test_whatever_ends_an_attempt_frees_its_lock(store_url: str, end: str) -> None:
    async with a_store(store_url) as store:
        one, other = await opened(store, "r1"), await opened(store, "r2")
        claim = await claimed(store, one, lock="L")

        if end == "cancelled":
            await store.cancel("r1")
        if end in ("cancelled", "released"):
            await store.release(one, fence=claim.fence, worker="w1")
        else:
            await decided(store, one, DEAD if end == "dead" else RetryLater(9.0, BROKEN), claim)

        assert isinstance(await claimed(store, other, lock="L"), Granted)


async def test_a_lock_is_renewed_with_its_job_and_ends_with_its_lease(store_url: str) -> None:
    async with a_store(store_url) as store:
        one, other = await opened(store, "r1"), await opened(store, "r2")
        claim = await claimed(store, one, lock="L", lease=0.0)
        assert await store.renew(one, fence=claim.fence, lease=60.0)
        assert isinstance(await claimed(store, other, lock="L"), Locked)

        assert await store.renew(one, fence=claim.fence, lease=0.0)
        taken = await claimed(store, other, "w2", lock="L")

        assert taken.lock_fence > claim.lock_fence
        assert await decided(store, one, OUTPUT, claim) == "unlocked"
        # Asked again, because the first answer was lost: nothing is on record still.
        assert await decided(store, one, OUTPUT, claim) == "unlocked"
        assert await decided(store, other, OUTPUT, taken, "w2") == "recorded"
        again = await claimed(store, one, lock="L")
        assert again.lock_fence > taken.lock_fence
        assert await decided(store, one, OUTPUT, again) == "recorded"


async def test_fences_of_a_lock_grow_within_a_millisecond_and_beyond_what_is_remembered(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        one, other = await opened(store, "r1"), await opened(store, "r2")

        # Calls sent at the same time are executed together, at one time of the store's clock.
        first, _, second = await asyncio.gather(
            claimed(store, one, lock="L"),
            store.decide(one, OUTPUT, fence=1, worker="w1", last=True),
            claimed(store, other, lock="L"),
        )
        await decided(store, other, OUTPUT, second)
        forget(store_url, "mousetrap:lock:L")
        await passed(store, second.lock_fence)  # which is a millisecond ahead of the clock
        third = await claimed(store, await opened(store, "r3"), lock="L")

        assert first.lock_fence < second.lock_fence < third.lock_fence


async def with_lock_lost(store: RunStore) -> tuple[Job, Granted]:
    """A job with a valid claim, whose lock was passed to the run "new", whose claim is over too."""
    one, new = await opened(store, "r1"), await opened(store, "new")
    claim: Granted = await claimed(store, one, lock="L", lease=0.0)
    assert isinstance(await claimed(store, new, "w2", lock="L", lease=0.0), Granted)
    return one, claim


async def test_a_worker_that_lost_a_lock_does_not_renew_it_for_the_next(store_url: str) -> None:
    async with a_store(store_url) as store:
        one, claim = await with_lock_lost(store)

        assert await store.renew(one, fence=claim.fence, lease=60.0)

        assert isinstance(await claimed(store, await opened(store, "r3"), "w3", lock="L"), Granted)


async def test_a_worker_that_lost_a_lock_does_not_free_it_when_its_run_is_cancelled(store_url: str) -> None:
    async with a_store(store_url) as store:
        one, claim = await with_lock_lost(store)
        assert isinstance(await claimed(store, await opened(store, "r3"), "w3", lock="L"), Granted)

        await store.cancel("r1")

        assert await decided(store, one, OUTPUT, claim) == "over"
        assert isinstance(await claimed(store, await opened(store, "r4"), "w4", lock="L"), Locked)


async def test_a_worker_that_lost_a_lock_decides_nothing_once_its_job_waits_for_that_lock_again(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        one, claim = await with_lock_lost(store)
        assert isinstance(await claimed(store, await opened(store, "r3"), "w3", lock="L"), Granted)

        assert isinstance(await claimed(store, one, "w4", lock="L", redelivered=True), Locked)

        assert await decided(store, one, OUTPUT, claim) == "stale"


async def test_a_job_that_is_taken_over_keeps_its_lock_and_its_late_holder_does_not_free_it(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        one, other = await opened(store, "r1"), await opened(store, "r2")
        late = await claimed(store, one, "w1", lock="L")

        claim = await claimed(store, one, "w2", lock="L", redelivered=True)

        assert claim.lock_fence > late.lock_fence
        assert await decided(store, one, OUTPUT, late) == "stale"
        assert isinstance(await claimed(store, other, lock="L"), Locked)
        assert await decided(store, one, OUTPUT, claim, "w2") == "recorded"


async def test_a_job_that_need_not_wait_learns_who_holds_its_lock(store_url: str) -> None:
    async with a_store(store_url) as store:
        one, other = await opened(store, "r1"), await opened(store, "r2")
        await claimed(store, one, lock="L")

        claim = await claimed(store, other, lock="L", waits=False)

        assert (claim.locked_by, claim.lock_fence) == ("r1", 0)
        assert await decided(store, other, DEAD, claim) == "recorded"
        assert isinstance(await claimed(store, await opened(store, "r3"), lock="L"), Locked)


# Redriven


async def test_a_dead_job_goes_round_again_and_its_run_with_it(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        await decided(store, job, DEAD, await claimed(store, job))

        again = await redriven(store, job)

        assert (again.id, again.generation, again.attempt) == (job.id, 1, 1)
        run = await store.get("r1")
        assert run is not None
        assert (run.state, run.failure, run.finished_ms) == (RunState.QUEUED, None, None)
        assert await claimed(store, job, redelivered=True) == Over()
        claim = await claimed(store, again)
        assert (claim.starts, claim.suspect) == (1, False)
        assert await decided(store, again, OUTPUT, claim) == "recorded"
        assert await state(store) == RunState.COMPLETED


async def test_a_run_has_failed_until_its_dead_job_is_with_its_queue_again(store_url: str) -> None:
    async with a_store(store_url) as store:
        """The redrive may die before it publishes the job; then the dead letter is the only copy."""
        job = await opened(store)
        await decided(store, job, DEAD, await claimed(store, job))

        again = await store.redrive(job)

        assert await state(store) == RunState.FAILED
        assert isinstance(again, Job)
        for _ in range(2):
            await store.mark_redriven(again)
            assert await state(store) == RunState.QUEUED
        assert (await kinds(store)).count("redriven") == 1


@pytest.mark.parametrize("outcome", [None, OUTPUT, RetryLater(9.0, BROKEN), DEAD])
async def test_a_worker_that_meets_a_redriven_job_first_reopens_its_run_and_no_other_does_so_after_it(
    store_url: str, outcome: Any
) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        await decided(store, job, DEAD, await claimed(store, job))
        again = await store.redrive(job)
        assert isinstance(again, Job)

        claim = await claimed(store, again)
        assert await state(store) == RunState.RUNNING
        if outcome is not None:
            await decided(store, again, outcome, claim)
        before = await store.get("r1")
        await store.mark_redriven(again)

        assert await store.get("r1") == before
        assert (await kinds(store))[4:6] == ["redriven", "started"]


async def test_a_letter_is_sent_round_once_however_often_that_is_tried(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        await decided(store, job, DEAD, await claimed(store, job))

        again = await store.redrive(job)
        assert await redriven(store, job) == again  # the first redrive may have died before it published
        assert await store.redrive(job) == again
        assert isinstance(again, Job)
        claim = await claimed(store, again)
        assert await store.redrive(job) == "stale"
        await decided(store, again, DEAD, claim)
        assert await store.redrive(job) == "stale"  # a second copy of the first letter
        assert (await redriven(store, again)).generation == 2


async def test_a_job_of_a_later_round_than_is_on_record_begins_that_round(store_url: str) -> None:
    async with a_store(store_url) as store:
        """The store lost everything between the redrive and the claim."""
        job = await opened(store)
        again = job.redriven(job.accepted_ms)
        claim = await claimed(store, again, "w1")

        assert await claimed(store, job, "w2", redelivered=True) == Over()
        assert await decided(store, again, OUTPUT, claim) == "recorded"


async def test_a_letter_of_a_run_that_is_forgotten_opens_it_again(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = first_job(run_id="old", pipeline="sums", stage="add", payload=b"1", accepted_ms=5)

        again = await redriven(store, job)

        assert await kinds(store, "old") == ["accepted", "redriven"]
        assert isinstance(await claimed(store, again), Granted)


async def test_a_job_sent_round_is_begun_by_a_store_that_has_forgotten_it(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        await decided(store, job, DEAD, await claimed(store, job))

        again = job.redriven(job.accepted_ms)  # as `redrive` gave it, before the store lost its last second
        claim = await claimed(store, again)

        assert await decided(store, again, OUTPUT, claim) == "recorded"
        assert await kinds(store) == [
            *("accepted", "started", "gave_up", "failed"),
            *("redriven", "started", "finished", "completed"),
        ]


async def test_a_letter_that_the_broker_put_aside_goes_round_unless_someone_has_its_job(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        late = await claimed(store, job, lease=60)
        assert await store.redrive(job) == "busy"
        await store.renew(job, fence=late.fence, lease=0)

        again = await redriven(store, job)

        assert await decided(store, job, OUTPUT, late) == "stale"
        assert await decided(store, again, OUTPUT, await claimed(store, again)) == "recorded"


async def test_a_letter_of_a_run_that_was_cancelled_is_stale(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        await store.cancel("r1")

        assert await store.redrive(job) == "stale"


async def test_a_letter_of_a_job_that_is_done_is_stale(store_url: str) -> None:
    async with a_store(store_url) as store:
        """The broker put one copy of its message aside, another one was done."""
        job = await opened(store)
        await decided(store, job, OUTPUT, await claimed(store, job))

        assert await store.redrive(job) == "stale"
        assert await state(store) == RunState.COMPLETED


async def test_a_run_that_comes_back_expires_no_more(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store, expires_in=60.0)
        await decided(store, job, DEAD, await claimed(store, job))

        again = await redriven(store, job)

        run = await store.get("r1")
        assert run is not None
        assert (again.expires_ms, run.expires_ms) == (None, None)


async def test_a_watcher_of_a_run_that_was_repaired_sees_it_through(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        await decided(store, job, DEAD, await claimed(store, job))
        again = await redriven(store, job)
        await decided(store, again, OUTPUT, await claimed(store, again))

        seen = [event.kind async for event in store.watch("r1") if not hasattr(event, "done")]

        assert seen[-5:] == ["failed", "redriven", "started", "finished", "completed"]


# Recorded and not published


async def test_a_submission_that_failed_late_does_not_reject_what_its_repeat_was_accepted_for(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        for run_id in ("kept", "off"):
            await opened(store, run_id)
            await opened(store, run_id)  # its caller repeats it, before the first one has an answer

        await store.reject_run("kept", BROKEN)
        assert await state(store, "kept") == RunState.QUEUED

        await store.reject_run("off", BROKEN)
        await store.reject_run("off", BROKEN)
        assert await state(store, "off") == RunState.REJECTED


async def test_a_run_between_two_stages_is_not_rejected(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        claim = await claimed(store, job)
        await store.decide(job, OUTPUT, fence=claim.fence, worker="w1", last=False)

        await store.reject_run("r1", BROKEN)

        assert await state(store) == RunState.QUEUED


async def test_runs_whose_submitter_died_are_found_until_they_are_published_or_met_by_a_worker(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        jobs = {name: await opened(store, name) for name in ("lost", "published", "met", "rejected", "off")}
        store.mark_published("published")
        await claimed(store, jobs["met"])
        await store.reject_run("rejected", BROKEN)
        await store.cancel("off")
        await passed(store, jobs["off"].accepted_ms + 1)

        assert (await store.unpublished(age=0)).run_ids == ["lost"]
        assert (await store.unpublished(age=60)).run_ids == []


@pytest.mark.parametrize("leaves", [False, True])
async def test_that_a_run_is_published_is_noted_though_its_submitter_asks_nothing_more(
    store_url: str, leaves: bool
) -> None:
    async with a_store(store_url) as other, open_store(store_url, retention=3600) as submitter:
        accepted = await submitter.open_run("r1", "sums", "add", b"1")
        await passed(other, accepted.accepted_ms + 1)
        assert (await other.unpublished(age=0)).run_ids == ["r1"]

        submitter.mark_published("r1")
        if leaves:
            await submitter.close()
            assert (await other.unpublished(age=0)).run_ids == []

        async def unpublished() -> Sequence[str]:
            return (await other.unpublished(age=0)).run_ids

        await eventually(unpublished, [])


# What is kept for re-runs


@pytest.mark.parametrize(("keep", "kept"), [(65_536, True), (4, False)])
async def test_what_was_handed_on_is_kept_unless_it_is_large(
    store_url: str, keep: int, kept: bool, both_families: int
) -> None:
    async with a_store(store_url, keep) as store:
        job = await opened(store)
        claim = await claimed(store, job)
        await store.decide(job, OUTPUT, fence=claim.fence, worker="w1", last=False)
        assert await store.output(job) == OUTPUT

        await claimed(store, job.following("double", b'{"sum":3}', fence=claim.fence))

        assert await store.output(job) == (OUTPUT if kept else None)
        again = await claimed(store, job, redelivered=True)
        if (
            both_families == 5 and kept
        ):  # a plain claim does not note at the parent that its output has arrived
            assert isinstance(again, Decided)
        else:
            assert again == Over()


async def test_a_held_job_stays_its_holder_s_whatever_else_it_waits_for(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        await claimed(store, job, lock="L")

        assert isinstance(await claimed(store, job, "w2", lock="L"), Busy)
