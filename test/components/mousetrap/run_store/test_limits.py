"""Tests limits in a real store."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from msgspec import structs

from mousetrap.jobs import Done, Failure, Job, RetryLater, StoreFull, signed_message
from mousetrap.pipeline import LimitAt
from mousetrap.run_store import (
    ClaimRequest,
    Decided,
    DecisionRequest,
    Granted,
    Limited,
    Locked,
    Over,
    RunStore,
    Terms,
    open_store,
)
from mousetrap.run_store.limits import Taken
from mousetrap.signing import Keyring
from mousetrap.store_client import ReplyError
from support.packed import packed_first
from support.valkey import console, names

PLACE = "sums.add"
KEYRING = Keyring({"k1": b"k" * 32})
OUTPUT = Done(msgspec.Raw(b"3"))
LEASE_S = 60.0
#: A lease that is over by the next call.
NONE_S = 0.0
CANCELLED = Failure(kind="E", text="no")


@pytest.fixture
def store_url(single_url: str) -> str:
    """One server: a cluster keeps no limits."""
    return single_url


def at_most(most: int, of: str = "", line: str = "-") -> LimitAt:
    return LimitAt(
        f"{PLACE}:n" + (f":{of}" if of else ""), most, 0.0, most, line, f"customer={of}" if of else ""
    )


def rate(interval_ms: float, at_once: int = 1) -> LimitAt:
    return LimitAt(f"{PLACE}:r", 1, interval_ms, at_once, "-", "")


async def new_job(store: RunStore, run_id: str) -> Job:
    accepted = await store.open_run(run_id, "sums", "add", b"1")
    return packed_first(run_id, accepted_ms=accepted.accepted_ms, expires_ms=accepted.expires_ms)


async def new_jobs(store: RunStore, count: int, start: int = 1) -> list[Job]:
    return [await new_job(store, f"r{number}") for number in range(start, start + count)]


async def claimed(
    store: RunStore,
    *jobs: Job,
    limits: Sequence[LimitAt],
    worker: str = "w1",
    lease: float = LEASE_S,
    **more: Any,
) -> list[Any]:
    """The claims of one call."""
    requests = [
        ClaimRequest(job, more.get("redelivered", False), lease, limits=limits, lock=more.get("lock", ""))
        for job in jobs
    ]
    return list((await store.exchange((), requests, worker=worker)).claims)


async def waiting(store: RunStore, *jobs: Job, limits: Sequence[LimitAt]) -> None:
    """They are over the limit, and in its line."""
    for job, claim in zip(jobs, await claimed(store, *jobs, limits=limits), strict=True):
        assert isinstance(claim, Limited), claim
        await store.keep_place(job, PLACE, signed_message(job, KEYRING))


async def decided(
    store: RunStore, job: Job, claim: Granted, outcome: Any = OUTPUT, worker: str = "w1"
) -> Any:
    request = DecisionRequest(job, outcome, claim, last=True)
    return (await store.exchange([request], (), worker=worker)).decisions[0]


async def taken(store: RunStore, most: int = 100, lease: float = LEASE_S) -> Taken:
    return await store.take(PLACE, most, lease)


def ids(them: Taken) -> list[str]:
    return [each.id for each in them.messages]


def kinds(claims: Sequence[Any]) -> list[type]:
    return [type(claim) for claim in claims]


async def test_a_claim_that_is_granted_again_keeps_its_place_or_waits_for_the_one_who_has_it(
    store_url: str,
) -> None:
    async with open_store(store_url, retention=3600) as store:
        one, two = await new_jobs(store, 2)
        limit = [at_most(1)]
        (first,) = await claimed(store, one, limits=limit, lease=NONE_S)

        (again,) = await claimed(store, one, limits=limit)
        assert (again.fence, again.starts) == (first.fence, 1)
        await waiting(store, two, limits=limit)

        await claimed(store, one, limits=limit, lease=NONE_S)
        assert ids(await taken(store)) == [two.id]
        assert kinds(await claimed(store, two, limits=limit, worker="w2")) == [Granted]
        assert kinds(await claimed(store, one, limits=limit)) == [Limited]
        assert await decided(store, one, again) == "stale"


async def test_of_one_call_as_many_begin_as_there_is_room_and_the_rest_waits_in_order(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        jobs = await new_jobs(store, 5)
        limit = [at_most(2)]

        claims = await claimed(store, *jobs, limits=limit)
        for job in jobs[2:]:
            await store.keep_place(job, PLACE, signed_message(job, KEYRING))

        assert kinds(claims) == [Granted, Granted, Limited, Limited, Limited]
        assert ids(await taken(store)) == []
        assert await decided(store, jobs[1], claims[1]) == "recorded"
        assert ids(await taken(store)) == [jobs[2].id]
        assert ids(await taken(store)) == []
        assert kinds(await claimed(store, jobs[2], limits=limit)) == [Granted]


async def test_each_key_has_room_of_its_own(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        one, other, third = await new_jobs(store, 3)

        assert kinds(await claimed(store, one, limits=[at_most(1, "a")])) == [Granted]
        assert kinds(await claimed(store, other, limits=[at_most(1, "b")])) == [Granted]
        assert kinds(await claimed(store, third, limits=[at_most(1, "a")])) == [Limited]


async def test_a_job_that_comes_while_others_wait_waits_behind_them(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        one, two, three = await new_jobs(store, 3)
        (claim,) = await claimed(store, one, limits=[at_most(1)])
        await waiting(store, two, limits=[at_most(1)])
        await decided(store, one, claim)

        await waiting(store, three, limits=[at_most(1)])

        assert ids(await taken(store)) == [two.id]


async def test_its_message_that_comes_again_changes_neither_its_place_nor_its_attempt(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        one, two, three = await new_jobs(store, 3)
        (claim,) = await claimed(store, one, limits=[at_most(1)])
        await waiting(store, two, three, limits=[at_most(1)])
        await waiting(store, two, limits=[at_most(1)])
        await decided(store, one, claim)

        assert ids(await taken(store)) == [two.id]
        (granted,) = await claimed(store, two, limits=[at_most(1)])
        assert (granted.starts, granted.lined) == (1, True)
        run = await store.get("r2")
        assert run is not None and [event.kind for event in run.timeline].count("waiting") == 1


async def test_who_has_no_message_in_the_line_yet_is_passed_over_and_keeps_its_place(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        one, two, three = await new_jobs(store, 3)
        (claim,) = await claimed(store, one, limits=[at_most(1)])
        await claimed(store, two, limits=[at_most(1)])
        await waiting(store, three, limits=[at_most(1)])
        await decided(store, one, claim)

        assert ids(await taken(store)) == [three.id]
        await store.keep_place(two, PLACE, signed_message(two, KEYRING))
        (claim,) = await claimed(store, three, limits=[at_most(1)])
        await decided(store, three, claim)
        assert ids(await taken(store)) == [two.id]


async def test_a_holder_that_dies_gives_its_place_back_with_its_lease(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        one, two = await new_jobs(store, 2)
        before = time.monotonic()
        await claimed(store, one, limits=[at_most(1)], lease=0.5)
        await waiting(store, two, limits=[at_most(1)])

        first = await taken(store)
        found, is_over = ids(first), time.monotonic() - before >= 0.5  # as it may be on a busy machine
        assert is_over or (found == [] and first.next_s is not None)
        async with asyncio.timeout(60):
            while not found:
                await asyncio.sleep(0.01)
                found = ids(await taken(store))
        assert found == [two.id]


async def test_a_renewed_claim_keeps_its_place(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        one, two = await new_jobs(store, 2)
        (claim,) = await claimed(store, one, limits=[at_most(1)], lease=NONE_S)
        assert await store.renew(one, fence=claim.fence, lease=LEASE_S)

        await waiting(store, two, limits=[at_most(1)])

        assert ids(await taken(store)) == []


async def test_what_was_taken_and_not_claimed_goes_back_to_its_place(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        one, two, three = await new_jobs(store, 3)
        (claim,) = await claimed(store, one, limits=[at_most(1)])
        await waiting(store, two, three, limits=[at_most(1)])
        await decided(store, one, claim)

        assert ids(await taken(store, 1, lease=NONE_S)) == [two.id]
        assert ids(await taken(store)) == [two.id]
        await store.return_to_line(two, PLACE)
        assert ids(await taken(store)) == [two.id]


async def test_what_was_taken_and_whose_worker_died_is_taken_again_also_once_it_is_decided(
    store_url: str,
) -> None:
    async with open_store(store_url, retention=3600) as store:
        one, two = await new_jobs(store, 2)
        (claim,) = await claimed(store, one, limits=[at_most(1)])
        await waiting(store, two, limits=[at_most(1)])
        await decided(store, one, claim)
        assert ids(await taken(store)) == [two.id]
        await claimed(store, two, limits=[at_most(1)], lease=NONE_S)

        assert ids(await taken(store)) == [two.id]
        (claim,) = await claimed(store, two, limits=[at_most(1)], lease=NONE_S, worker="w2")
        assert (claim.fence, claim.starts) == (3, 2)
        again = RetryLater(60.0, Failure(kind="E", text="no"))
        assert await decided(store, two, claim, again, "w2") == "recorded"
        assert ids(await taken(store)) == [two.id]
        assert kinds(await claimed(store, two, limits=[at_most(1)])) == [Decided]

        await store.leave_line(two, PLACE)
        assert ids(await taken(store)) == [] and not names(store_url, "mousetrap:limits:*:jobs")


async def test_a_claim_that_is_handed_back_goes_to_its_place(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        one, two, three = await new_jobs(store, 3)
        (claim,) = await claimed(store, one, limits=[at_most(1)])
        await waiting(store, two, three, limits=[at_most(1)])
        await decided(store, one, claim)
        await taken(store)
        (claim,) = await claimed(store, two, limits=[at_most(1)])

        await store.release(two, fence=claim.fence, worker="w1")

        assert ids(await taken(store)) == [two.id]


async def test_a_job_that_is_taken_over_while_its_lease_lasts_takes_no_second_place(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        one, two = await new_jobs(store, 2)
        limits = [at_most(2), rate(3_600_000.0, 2)]
        await claimed(store, one, limits=limits)

        over = await claimed(store, one, limits=limits, worker="w2", redelivered=True)

        assert kinds(over) == [Granted] and over[0].starts == 2
        assert kinds(await claimed(store, two, limits=limits)) == [Granted]


async def test_of_a_run_that_was_cancelled_nothing_is_taken(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        one, two, three = await new_jobs(store, 3)
        (claim,) = await claimed(store, one, limits=[at_most(1)])
        await waiting(store, two, three, limits=[at_most(1)])
        await store.cancel("r2", Failure(kind="E", text="no"))
        await decided(store, one, claim)

        assert ids(await taken(store)) == [three.id]
        assert kinds(await claimed(store, two, limits=[at_most(1)])) == [Over]


async def test_a_run_that_is_cancelled_while_its_job_runs_frees_the_place(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        one, two = await new_jobs(store, 2)
        (claim,) = await claimed(store, one, limits=[at_most(1)])
        await waiting(store, two, limits=[at_most(1)])
        await store.cancel("r1", Failure(kind="E", text="no"))
        await store.release(one, fence=claim.fence, worker="w1")

        assert ids(await taken(store)) == [two.id]


async def test_a_job_that_meets_its_lock_holds_no_place_meanwhile(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        one, two, three = await new_jobs(store, 3)
        await claimed(store, one, limits=[at_most(2)], lock="L")

        assert kinds(await claimed(store, two, limits=[at_most(2)], lock="L")) == [Locked]
        assert kinds(await claimed(store, three, limits=[at_most(2)], lock="M")) == [Granted]


async def test_lines_of_one_limit_are_served_in_turn(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        jobs = await new_jobs(store, 7)
        (claim,) = await claimed(store, jobs[0], limits=[at_most(1)])
        await waiting(store, *jobs[1:5], limits=[at_most(1, line="large")])
        await waiting(store, *jobs[5:7], limits=[at_most(1, line="small")])

        order, last = [], jobs[0]
        for _ in range(6):
            await decided(store, last, claim)
            (found,) = ids(await taken(store))
            last = next(job for job in jobs if job.id == found)
            order.append(last.run_id)
            (claim,) = await claimed(store, last, limits=[at_most(1)])
            await store.leave_line(last, PLACE)

        assert order == ["r2", "r6", "r3", "r7", "r4", "r5"]


async def test_a_rate_lets_as_many_begin_as_have_their_time(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        jobs = await new_jobs(store, 4)
        limits = [rate(3_600_000.0, 2)]

        claims = await claimed(store, *jobs, limits=limits)
        for job in jobs[2:]:
            await store.keep_place(job, PLACE, signed_message(job, KEYRING))

        assert kinds(claims) == [Granted, Granted, Limited, Limited]
        await decided(store, jobs[0], claims[0])
        found = await taken(store)
        assert found.messages == [] and found.next_s is not None and 3500 < found.next_s <= 3600


async def test_a_rate_that_has_room_again_gives_it_to_who_waits_in_order(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        jobs = await new_jobs(store, 3)
        # In one call, which has one time: on a busy machine the next call may come later than the next room.
        assert kinds(await claimed(store, *jobs, limits=[rate(100.0)])) == [Granted, Limited, Limited]
        for job in jobs[1:]:
            await store.keep_place(job, PLACE, signed_message(job, KEYRING))

        order: list[str] = []
        async with asyncio.timeout(60):
            while len(order) < 2:
                found = await taken(store)
                order += ids(found)
                await asyncio.sleep(min(0.05, found.next_s or 0.0))
        assert order == [job.id for job in jobs[1:]]
        assert kinds(await claimed(store, *jobs[1:], limits=[rate(100.0)])) == [Granted, Granted]


async def test_who_has_room_by_one_limit_and_none_by_the_other_waits_for_that(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        one, two, three = await new_jobs(store, 3)
        limits = [rate(3_600_000.0, 2), at_most(1)]
        (claim,) = await claimed(store, one, limits=limits)
        await waiting(store, two, three, limits=limits)
        await decided(store, one, claim)

        # Two begins with the last of the rate; three goes to the rate's line once there is a place.
        assert ids(await taken(store)) == [two.id]
        (claim,) = await claimed(store, two, limits=limits)
        await decided(store, two, claim)
        await store.leave_line(two, PLACE)
        found = await taken(store)
        assert found.messages == [] and found.next_s is not None and found.next_s > 3500


async def test_a_job_that_could_not_begin_by_its_second_limit_spends_nothing_of_the_first(
    store_url: str,
) -> None:
    async with open_store(store_url, retention=3600) as store:
        one, two = await new_jobs(store, 2)
        await claimed(store, one, limits=[at_most(1)])
        assert kinds(await claimed(store, two, limits=[rate(3_600_000.0), at_most(1)])) == [Limited]

        assert kinds(await claimed(store, two, limits=[rate(3_600_000.0)])) == [Granted]


async def test_each_key_of_a_limit_has_an_end(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        jobs = await new_jobs(store, 3)
        limits = [at_most(1, "a"), rate(1.0)]
        await claimed(store, jobs[0], limits=limits)
        await waiting(store, *jobs[1:], limits=limits)
        await taken(store)

    with console(store_url) as client:
        found = names(store_url, "mousetrap:limit*")
        assert found and all(0 < client.pttl(key) <= 2 * 3_660_000 for key in found)


async def test_places_of_runs_that_ended_before_their_message_was_there_hold_no_one_up(
    store_url: str,
) -> None:
    async with open_store(store_url, retention=3600) as store:
        jobs = await new_jobs(store, 19)
        (claim,) = await claimed(store, jobs[0], limits=[at_most(1)])
        await claimed(store, *jobs[1:18], limits=[at_most(1)])
        await waiting(store, jobs[18], limits=[at_most(1)])
        for number in range(2, 19):
            await store.cancel(f"r{number}", CANCELLED)
        await decided(store, jobs[0], claim)

        first = await taken(store)
        assert (first.messages, first.next_s) == ([], 0.0)
        assert ids(await taken(store)) == [jobs[18].id]


async def test_lines_of_runs_that_ended_so_hold_up_no_other_line(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        jobs = await new_jobs(store, 34)
        (claim,) = await claimed(store, jobs[0], limits=[at_most(1)])
        for number, job in enumerate(jobs[1:33], 2):
            await claimed(store, job, limits=[at_most(1, line=f"l{number}")])
            await store.cancel(f"r{number}", CANCELLED)
        await waiting(store, jobs[33], limits=[at_most(1, line="the last")])
        await decided(store, jobs[0], claim)

        assert ids(await taken(store)) == []
        assert ids(await taken(store)) == [jobs[33].id]


async def test_a_place_whose_worker_died_before_its_message_was_there_is_forgotten_after_a_lease(
    store_url: str,
) -> None:
    async with open_store(store_url, retention=3600) as store:
        one, two = await new_jobs(store, 2)
        (claim,) = await claimed(store, one, limits=[at_most(1)])
        await claimed(store, two, limits=[at_most(1)])
        await decided(store, one, claim)

        assert await store.waiting_for_limits([PLACE]) == {PLACE: 1}
        await taken(store, lease=NONE_S)
        assert await store.waiting_for_limits([PLACE]) == {PLACE: 0}
        assert kinds(await claimed(store, two, limits=[at_most(1)])) == [Granted]


async def test_an_obsolete_message_gives_up_its_place_and_what_was_reserved(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        one, two, three, four = await new_jobs(store, 4)
        (claim,) = await claimed(store, one, limits=[at_most(1)])
        await waiting(store, two, three, four, limits=[at_most(1)])
        await decided(store, one, claim)
        assert ids(await taken(store)) == [two.id]
        await store.cancel("r2", CANCELLED)
        assert kinds(await claimed(store, two, limits=[at_most(1)], redelivered=True)) == [Over]

        assert ids(await taken(store)) == [three.id]
        await store.cancel("r3", CANCELLED)
        await store.leave_line(three, PLACE)
        assert ids(await taken(store)) == [four.id]


async def test_a_job_whose_limit_is_another_one_now_keeps_its_message(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        one, two, three, four = await new_jobs(store, 4)
        old, new = [at_most(1)], [at_most(1, "acme")]
        (claim,) = await claimed(store, one, limits=old)
        await waiting(store, two, limits=old)
        (holds,) = await claimed(store, three, limits=new)
        await decided(store, one, claim)
        assert ids(await taken(store)) == [two.id]

        assert kinds(await claimed(store, two, limits=new)) == [Limited]
        assert kinds(await claimed(store, four, limits=old)) == [Granted]
        await decided(store, three, holds)
        assert ids(await taken(store)) == [two.id]
        assert kinds(await claimed(store, two, limits=new)) == [Granted]


async def test_a_message_that_cannot_be_read_keeps_no_other_in_line(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        one, two, three = await new_jobs(store, 3)
        (claim,) = await claimed(store, one, limits=[at_most(1)])
        await waiting(store, two, three, limits=[at_most(1)])
        member = f"{two.id} r2"
        with console(store_url) as client:
            client.hset(f"mousetrap:limits:{PLACE}:bodies", member, "damaged")
            client.hset(f"mousetrap:limits:{PLACE}:jobs", "no entry", "\xc1")
        await decided(store, one, claim)

        found = await taken(store)
        assert (found.messages, found.damaged) == ([], [member])
        await store.forget_message(PLACE, member)
        assert ids(await taken(store)) == [three.id]
        await waiting(store, two, limits=[at_most(1)])
        (claim,) = await claimed(store, three, limits=[at_most(1)])
        await decided(store, three, claim)
        assert ids(await taken(store)) == [two.id]


async def test_a_call_that_fails_by_itself_is_no_store_that_is_away(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        with console(store_url) as client:
            client.set(f"mousetrap:limits:{PLACE}:due", "no set")

        with pytest.raises(ReplyError, match="WRONGTYPE"):
            await taken(store)


async def test_a_full_store_is_one_that_is_away(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        one, two = await new_jobs(store, 2)
        (claim,) = await claimed(store, one, limits=[at_most(1)])
        await waiting(store, two, limits=[at_most(1)])
        await decided(store, one, claim)
        with console(store_url) as client:
            client.config_set("maxmemory", 1)
            try:
                with pytest.raises(StoreFull):
                    await taken(store)
            finally:
                client.config_set("maxmemory", 0)

        assert ids(await taken(store)) == [two.id]


async def test_keys_that_no_one_holds_are_kept_by_no_stage(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        jobs = await new_jobs(store, 3)
        for number, job in enumerate(jobs):
            await claimed(store, job, limits=[at_most(1, f"k{number}")], lease=NONE_S)

        assert await store.limit_keys(PLACE, "n") == ([], 0)
        await taken(store)
        assert not names(store_url, "mousetrap:limits:*:busy")


async def test_a_job_that_meets_its_lock_goes_back_to_its_place_for_a_while(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        one, two, three, other = await new_jobs(store, 4)
        await claimed(store, other, limits=[at_most(1, "other")], lock="L")
        (claim,) = await claimed(store, one, limits=[at_most(1)])
        await waiting(store, two, three, limits=[at_most(1)])
        await decided(store, one, claim)
        assert ids(await taken(store)) == [two.id]
        assert kinds(await claimed(store, two, limits=[at_most(1)], lock="L")) == [Locked]
        longer_aside(store_url, two, 3_600)  # the 0.2 s may be over on a busy machine

        assert ids(await taken(store)) == [three.id]
        (claim,) = await claimed(store, three, limits=[at_most(1)])
        await decided(store, three, claim)
        longer_aside(store_url, two, -3_600)
        async with asyncio.timeout(60):
            while not (found := ids(await taken(store))):  # noqa: ASYNC110  a pause ends by time alone
                await asyncio.sleep(0.05)
        assert found == [two.id]


def longer_aside(url: str, job: Job, seconds: float) -> None:
    """Lets a job that stepped aside wait so much longer."""
    key, member = f"mousetrap:limits:{PLACE}:taken", f"{job.id} {job.run_id}"
    with console(url) as client:
        assert client.zscore(key, member)
        client.zincrby(key, seconds * 1000, member)


async def test_who_was_taken_and_does_not_begin_gives_back_the_time_of_its_rate(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        one, two = await new_jobs(store, 2)
        limits = [at_most(1), rate(3_600_000.0, 2)]
        (claim,) = await claimed(store, one, limits=limits)
        await waiting(store, two, limits=limits)
        await decided(store, one, claim)

        assert ids(await taken(store)) == [two.id]
        await store.return_to_line(two, PLACE)
        assert ids(await taken(store)) == [two.id]


async def test_jobs_of_a_high_priority_stand_before_the_others_of_their_line(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        one, usual = await new_jobs(store, 2)
        high = []
        for run_id in ("h1", "h2"):
            opened = await store.open_run(run_id, "sums", "add", b"1", terms=Terms(priority=9))
            high.append(packed_first(run_id, accepted_ms=opened.accepted_ms, priority=9))
        (claim,) = await claimed(store, one, limits=[at_most(1)])
        await waiting(store, usual, *high, limits=[at_most(1)])

        order, last = [], one
        for _ in range(3):
            await decided(store, last, claim)
            ((found, priority),) = [(it.id, it.priority) for it in (await taken(store)).messages]
            last = next(job for job in (usual, *high) if job.id == found)
            order.append((last.run_id, priority))
            (claim,) = await claimed(store, last, limits=[at_most(1)])
            await store.leave_line(last, PLACE)
        assert order == [("h1", 9), ("h2", 9), ("r2", 4)]


async def test_a_place_takes_the_message_of_its_own_attempt_alone(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        one, two = await new_jobs(store, 2)
        await claimed(store, one, limits=[at_most(1)])
        await claimed(store, two, limits=[at_most(1)])

        for other in (structs.replace(two, attempt=2), structs.replace(two, generation=1)):
            await store.keep_place(other, PLACE, signed_message(other, KEYRING))

        assert not names(store_url, "mousetrap:limits:*:bodies")
