"""Tests children of jobs and their joins in a real store."""

import random
import re
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from mousetrap.jobs import Done, Failure, GiveUp, Job, Outcome, RecordDamaged, RetryLater
from mousetrap.run_store import (
    Busy,
    ChildOutput,
    ClaimRequest,
    Decided,
    DecisionRequest,
    Fired,
    Granted,
    KeyTwice,
    OpenedFan,
    Over,
    RunFilter,
    RunStore,
    Terms,
    Window,
    open_store,
)
from mousetrap.run_store.keys import fan_key, fan_out_key, packed_job_key, packed_run_key
from mousetrap.shapes import RunState
from mousetrap.signing import Keyring, SignatureRefused
from mousetrap.store_client import Command
from support.packed import events, job_record, packed_first, run_record, untimed
from support.valkey import console

BROKEN = Failure(kind="ValueError", text="no")
DEAD = GiveUp("max-retries", BROKEN)
NULL = msgspec.Raw(b"null")
KEYRING = Keyring({"k1": b"k" * 32})
JOIN = '{"stage":"sum"}'


@pytest.fixture
def store_url(either_url: str) -> str:
    """The address of either kind of store in turn, with nothing in it."""
    return either_url


def a_store(url: str) -> AbstractAsyncContextManager[RunStore]:
    return open_store(url, retention=3600, keyring=KEYRING)


async def opened_run(store: RunStore, run_id: str = "r1", **terms: Any) -> Job:
    """A run that was accepted, by its first job."""
    accepted = await store.open_run(run_id, "sums", "add", b"[1,2]", terms=Terms(**terms))
    return packed_first(run_id, accepted_ms=accepted.accepted_ms, expires_ms=accepted.expires_ms)


async def claimed(store: RunStore, job: Job, worker: str = "w1", **more: Any) -> Any:
    return await store.claim(job, worker=worker, **{"redelivered": False, "lease": 60.0, **more})


async def decided(store: RunStore, job: Job, claim: Granted, outcome: Outcome, **more: Any) -> Any:
    """The reply to the outcome of an attempt."""
    request = DecisionRequest(job, outcome, claim, **{"last": False, **more})
    (reply,) = (await store.exchange([request], (), worker="w1")).decisions
    if isinstance(reply, Exception):
        raise reply
    return reply


async def fanned(
    store: RunStore, parent: Job, count: int, need: float = 1.0, join: str = JOIN
) -> tuple[Granted, list[Job]]:
    """The claim of a parent that has opened so many children, and these."""
    claim = await claimed(store, parent)
    window = Window(opened=count, need=need, join=join)
    assert await store.open_children(parent, claim.fence, window, worker="w1") == OpenedFan(count, 0)
    return claim, [child_of(parent, index, claim.fence) for index in range(count)]


def child_of(parent: Job, index: int, fence: int, stage: str = "square", key: str | None = None) -> Job:
    return parent.child(stage, b"%d" % (index + 1), index=index, key=key, fence=fence)


async def closed(
    store: RunStore, parent: Job, claim: Granted, count: int, need: float = 1.0, join: str = JOIN
) -> Any:
    """The reply to the parent's own outcome."""
    next_stage = "sum" if join else None
    outcome = Done(NULL, children=count)
    return await decided(store, parent, claim, outcome, next_stage=next_stage, need=need, join=join)


async def ended(store: RunStore, child: Job, outcome: Outcome | None = None) -> Any:
    """The reply to the outcome of a child, which its way ends with."""
    claim = await claimed(store, child)
    assert isinstance(claim, Granted), claim
    return await ended_as(store, child, claim, outcome)


async def ended_as(store: RunStore, child: Job, claim: Granted, outcome: Outcome | None = None) -> Any:
    (reply,) = await ended_together(store, [(child, claim, outcome)])
    if isinstance(reply, Exception):
        raise reply
    return reply


async def ended_together(
    store: RunStore, ends: Sequence[tuple[Job, Granted, Outcome | None]]
) -> Sequence[Any]:
    """The replies to outcomes of children that are recorded in one call."""
    requests = [
        DecisionRequest(
            child,
            outcome or Done(msgspec.Raw(bytes(child.payload) * 2)),
            claim,
            last=False,
            next_stage="sum",
            joins=True,
        )
        for child, claim, outcome in ends
    ]
    return (await store.exchange(requests, (), worker="w1")).decisions


async def redriven(store: RunStore, job: Job) -> Job:
    """The job once its dead letter is in its queue again."""
    again = await store.redrive(job)
    assert isinstance(again, Job), again
    await store.mark_redriven(again)
    return again


async def state_of(store: RunStore, run_id: str = "r1") -> RunState:
    run = await store.get(run_id)
    assert run is not None
    assert not run.unreadable
    return run.state


async def join_completes(store: RunStore, made_by: Job, fired: Fired) -> None:
    """The join begins on what was fired, and ends its run."""
    joined = made_by.joined("sum", b"{}", fan=fired.fan_job, fence=fired.fence)
    claim = await claimed(store, joined)
    assert isinstance(claim, Granted), claim
    assert await decided(store, joined, claim, Done(msgspec.Raw(b"6")), last=True) == "recorded"
    assert await state_of(store, made_by.run_id) is RunState.COMPLETED


def fan_of(url: str, job: Job) -> dict[str, Any]:
    """What the store has of a job's children."""
    with console(url) as client:
        held: Any = client.hgetall(fan_key(job.run_id, job.id))
    found = {name.decode(): value.decode() for name, value in held.items()}
    return {**found, **{name: int(found[name]) for name in ("opened", "total", "done", "lost")}}


def counts(url: str, job: Job) -> tuple[int, int, int, str]:
    fan = fan_of(url, job)
    return fan["total"], fan["done"], fan["lost"], fan["state"]


# Opening


async def test_only_the_newest_claim_opens_children_and_the_same_window_may_be_opened_again(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, _ = await fanned(store, parent, 500)

        again = await store.open_children(parent, claim.fence, Window(opened=500, join=JOIN), worker="w1")
        more = await store.open_children(parent, claim.fence, Window(1000, 500, join=JOIN), worker="w1")
        late = await store.open_children(parent, claim.fence + 1, Window(1500), worker="w2")

        assert (again, more, late) == (OpenedFan(500, 0), OpenedFan(1000, 500), "stale")
        assert fan_of(store_url, parent)["opened"] == 1000
        assert events(store_url, "r1") == ["started", "opened"]
        assert untimed(store_url) == []


async def test_the_next_attempt_finds_what_was_opened_and_confirmed(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        await fanned(store, parent, 500)
        claim = await claimed(store, parent, worker="w2", redelivered=True)

        assert await store.open_children(parent, claim.fence, Window(500, 0), worker="w2") == OpenedFan(
            500, 0
        )
        assert await store.open_children(parent, claim.fence, Window(600, 500), worker="w2") == OpenedFan(
            600, 500
        )
        once_more = await claimed(store, parent, worker="w3", redelivered=True)
        found = await store.open_children(parent, once_more.fence, Window(300), worker="w3")
        assert found == OpenedFan(600, 500)


async def test_a_run_has_no_more_children_than_it_may_and_none_of_those_is_open(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim = await claimed(store, parent)

        async def open_to(opened: int) -> Any:
            return await store.open_children(parent, claim.fence, Window(opened, most=100), worker="w1")

        assert await open_to(100) == OpenedFan(100, 0)
        assert await open_to(100) == OpenedFan(100, 0)
        assert await open_to(101) == "too-wide"
        assert fan_of(store_url, parent)["opened"] == 100
        child = child_of(parent, 0, claim.fence)
        inner = await claimed(store, child)
        assert await store.open_children(child, inner.fence, Window(1, most=100), worker="w1") == "too-wide"


async def test_a_cancelled_run_opens_nothing(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim = await claimed(store, parent)
        await store.cancel("r1")

        assert await store.open_children(parent, claim.fence, Window(10), worker="w1") == "over"


async def test_children_with_keys_keep_their_indexes_in_whatever_order_the_next_attempt_has_them(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim = await claimed(store, parent)

        async def opened(keys: Sequence[str], number: int, fence: int) -> Any:
            window = Window(keys=keys, number=number, join=JOIN)
            return await store.open_children(parent, fence, window, worker="w1")

        assert await opened(["a", "b"], 1, claim.fence) == OpenedFan(2, 0, (0, 1))
        assert await opened(["a", "b"], 1, claim.fence) == OpenedFan(2, 0, (0, 1))
        assert await opened(["c", "a"], 2, claim.fence) == KeyTwice("a")
        assert await opened(["c", "c"], 2, claim.fence) == KeyTwice("c")
        claim = await claimed(store, parent, redelivered=True, worker="w2")
        assert await opened(["d", "b"], 1, claim.fence) == OpenedFan(3, 0, (2, 1))
        assert await opened(["c", "a"], 2, claim.fence) == OpenedFan(4, 0, (3, 0))


@pytest.mark.parametrize("keys", [None, ["a", "b", "c", "d"]])
async def test_the_next_attempt_finds_which_children_were_given_up(
    store_url: str, keys: list[str] | None
) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim = await claimed(store, parent)

        async def opened(first: int, end: int) -> Any:
            some = keys[first:end] if keys else None
            window = Window(0 if keys else end, first, keys=some, number=1 + first, need=0.5, join=JOIN)
            return await store.open_children(parent, claim.fence, window, worker="w1")

        assert (await opened(0, 2)).lost == (await opened(2, 3)).lost == ()
        for index, outcome in enumerate((DEAD, None, DEAD)):
            key = keys[index] if keys else None
            await ended(store, child_of(parent, index, claim.fence, key=key), outcome)
        await decided(store, parent, claim, DEAD)
        claim = await claimed(store, await redriven(store, parent))

        found = [await opened(0, 2), await opened(2, 4)]

        assert [each.lost for each in found] == [(0,), (2,)]


@pytest.mark.parametrize("first", [["a"], None])
async def test_all_attempts_give_keys_or_none_does(store_url: str, first: list[str] | None) -> None:
    """An item with a key and without it are two jobs."""
    async with a_store(store_url) as store:
        parent = await opened_run(store)

        async def opened(keys: list[str] | None, number: int = 1) -> Any:
            window = Window(opened=0 if keys else 1, keys=keys, number=number, join=JOIN)
            return await store.open_children(parent, claim.fence, window, worker="w1")

        claim = await claimed(store, parent)
        assert isinstance(await opened(first), OpenedFan)
        claim = await claimed(store, parent, worker="w2", redelivered=True)
        none_yet = await store.open_children(parent, claim.fence, Window(join=JOIN), worker="w2")

        assert none_yet == OpenedFan(1, 0)
        assert await opened(["b"] if first is None else None) == "changed"
        assert isinstance(await opened(first), OpenedFan)


async def test_the_outage_of_a_parent_that_gets_on_begins_once_more(store_url: str) -> None:
    """Its pauses grow with the outage: those of one that finds room now and then must not."""
    full = RetryLater(1.0, BROKEN, counted=False)
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, _ = await fanned(store, parent, 500)
        await decided(store, parent, claim, full)
        with console(store_url) as client:
            key = packed_job_key("r1", parent.id)
            record: Any = client.get(key)
            since = re.search(rb'"outage_ms":(\d+)', record)
            assert since is not None
            earlier = b'"outage_ms":%d' % (int(since[1]) - 3_600_000)
            client.set(key, record.replace(since[0], earlier), keepttl=True)
        claim = await claimed(store, parent)
        assert claim.away_ms >= 3_600_000
        await store.open_children(parent, claim.fence, Window(0, 0, join=JOIN), worker="w1")
        await decided(store, parent, claim, full)
        claim = await claimed(store, parent)
        assert claim.away_ms >= 3_600_000

        await store.open_children(parent, claim.fence, Window(0, 100, join=JOIN), worker="w1")
        await decided(store, parent, claim, full)

        claim = await claimed(store, parent)
        assert claim.away_ms < 3_600_000
        assert events(store_url, "r1").count("retrying") == 1


# Claims


async def test_a_child_is_granted_by_plain_commands_once_it_is_opened(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, children = await fanned(store, parent, 2)

        granted = await claimed(store, children[1])
        early = await claimed(store, child_of(parent, 2, claim.fence))

        assert isinstance(granted, Granted)
        assert granted.record
        assert isinstance(early, Busy)
        await store.open_children(parent, claim.fence, Window(3), worker="w1")
        assert isinstance(await claimed(store, child_of(parent, 2, claim.fence)), Granted)


async def test_what_follows_a_child_is_granted_on_the_outcome_that_it_carries(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, children = await fanned(store, parent, 1)
        held = await claimed(store, children[0])
        following = children[0].following("halve", b"1", fence=held.fence)
        stale = children[0].following("round", b"1", fence=held.fence + 1)
        assert await decided(store, children[0], held, Done(NULL), next_stage="halve") == "recorded"

        granted = await claimed(store, following)

        assert isinstance(granted, Granted)
        assert stale.fans == following.fans == children[0].fans
        await closed(store, parent, claim, 1)
        fired = await ended_as(store, following, granted)
        assert isinstance(fired, Fired)
        await join_completes(store, following, fired)


# Deciding


@pytest.mark.usefixtures("compares")
async def test_the_last_child_fires_the_join_once_whatever_comes_twice(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, children = await fanned(store, parent, 3)
        held = [await claimed(store, child) for child in children]
        replies = [
            await ended_as(store, children[0], held[0]),
            await ended_as(store, children[0], held[0]),
            await closed(store, parent, claim, 3),
            await ended_as(store, children[1], held[1]),
            await closed(store, parent, claim, 3),
        ]

        fired = await ended_as(store, children[2], held[2])

        assert replies == ["recorded"] * 5
        assert fired == Fired(parent.id, claim.fence, total=3, done=3, lost=0, join=JOIN)
        assert await ended_as(store, children[2], held[2]) == fired  # its reply was lost
        assert await ended_as(store, children[1], held[1]) == "recorded"
        assert counts(store_url, parent) == (3, 3, 0, "fired")
        await join_completes(store, children[2], fired)
        assert counts(store_url, parent) == (3, 3, 0, "fired")


async def test_a_worker_that_died_before_it_published_the_join_leaves_that_to_the_next(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, children = await fanned(store, parent, 2)
        await closed(store, parent, claim, 2)
        await ended(store, children[0])
        fired = await ended(store, children[1])

        again = await claimed(store, children[1], worker="w2", redelivered=True)
        other = await claimed(store, children[0], worker="w2", redelivered=True)

        assert isinstance(again, Decided)
        assert again.fired == fired
        assert isinstance(other, Decided)
        assert other.fired is None
        await join_completes(store, children[1], fired)
        over = await claimed(store, children[1], worker="w3", redelivered=True)
        assert isinstance(over, Decided)
        assert over.fired is None


async def test_a_parent_that_closes_after_its_children_fires_the_join_itself(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, children = await fanned(store, parent, 2)
        assert [await ended(store, child) for child in children] == ["recorded", "recorded"]

        fired = await closed(store, parent, claim, 2)

        assert fired == Fired(parent.id, claim.fence, 2, 2, 0, JOIN)
        again = await claimed(store, parent, worker="w2", redelivered=True)
        assert isinstance(again, Decided)
        assert (again.fired, again.waits_s) == (fired, None)
        await join_completes(store, parent, fired)


async def test_no_children_at_all_fire_the_join_at_once(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim = await claimed(store, parent)

        fired = await closed(store, parent, claim, 0)

        assert fired == Fired(parent.id, claim.fence, 0, 0, 0, JOIN)
        assert untimed(store_url) == []
        await join_completes(store, parent, fired)


async def test_the_claim_of_a_parent_whose_children_are_under_way_shows_for_how_long_none_was_decided(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, children = await fanned(store, parent, 2)
        await closed(store, parent, claim, 2)

        waits = await claimed(store, parent, redelivered=True)

        assert isinstance(waits, Decided)
        assert waits.fired is None
        assert waits.waits_s is not None
        assert 0 <= waits.waits_s < 60
        lost = await ended(store, children[0], DEAD)
        failed = await claimed(store, parent, redelivered=True)
        assert lost == "failed"
        assert isinstance(failed, Decided)
        assert failed.waits_s is not None
        assert await store.give_up_fan(parent, DEAD, worker="w1") == "stale"  # it may be repaired
        assert await store.cancel("r1", BROKEN) == "cancelled"
        assert await store.give_up_fan(parent, DEAD, worker="w1") == "over"


async def test_a_child_counts_once_though_it_was_tried_often(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, (child,) = await fanned(store, parent, 1)
        await closed(store, parent, claim, 1)
        held = await claimed(store, child)
        assert await ended_as(store, child, held, RetryLater(0.0, BROKEN)) == "recorded"
        child = child.again()
        first = await claimed(store, child)
        taken_over = await claimed(store, child, worker="w2", redelivered=True)

        assert await ended_as(store, child, first) == "stale"
        fired = await ended_as(store, child, taken_over)

        assert isinstance(fired, Fired)
        assert counts(store_url, parent) == (1, 1, 0, "fired")
        assert await ended_as(store, child, taken_over) == fired


async def test_a_child_that_was_renewed_or_handed_back_counts_as_any(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, (child,) = await fanned(store, parent, 1)
        await closed(store, parent, claim, 1)
        held = await claimed(store, child)
        await store.release(child, fence=held.fence, worker="w1")
        held = await claimed(store, child, worker="w2")
        assert await store.renew(child, fence=held.fence, lease=60.0)

        assert isinstance(await ended_as(store, child, held), Fired)


async def test_any_order_with_any_repeats_fires_once(store_url: str) -> None:
    async with a_store(store_url) as store:
        chance = random.Random(16)
        for number in range(8):
            parent = await opened_run(store, f"r{number}")
            claim, children = await fanned(store, parent, 40, need=0.5)
            held = {child.id: await claimed(store, child) for child in children}
            lost = set(chance.sample(range(40), 12))
            steps = [*children, *chance.choices(children, k=20), parent]
            chance.shuffle(steps)
            replies = [
                await closed(store, parent, claim, 40, need=0.5)
                if step is parent
                else await ended_as(store, step, held[step.id], DEAD if step.fans[-1].index in lost else None)
                for step in steps
            ]

            assert len({reply for reply in replies if isinstance(reply, Fired)}) == 1
            assert {reply for reply in replies if not isinstance(reply, Fired)} == {"recorded"}
            assert counts(store_url, parent) == (40, 28, 12, "fired")


async def test_children_that_end_together_count_once_each_whatever_comes_twice(store_url: str) -> None:
    async with a_store(store_url) as store:
        chance = random.Random(17)
        for number in range(4):
            parent = await opened_run(store, f"r{number}")
            claim, children = await fanned(store, parent, 200, need=0.5)
            held: Any = await store.exchange(
                (), [ClaimRequest(it, False, 60.0) for it in children], worker="w1"
            )
            lost = set(chance.sample(range(200), chance.choice([0, 60])))
            ends = [
                (child, granted, DEAD if child.fans[-1].index in lost else None)
                for child, granted in zip(children, held.claims, strict=True)
            ]
            ends += chance.choices(ends, k=60)
            if number:
                chance.shuffle(ends)
            if number < 3:
                await closed(store, parent, claim, 200, need=0.5)
            replies: list[Any] = []
            while ends:
                some = chance.randrange(1, 150)
                replies += await ended_together(store, ends[:some])
                ends = ends[some:]
            if number == 3:
                replies.append(await closed(store, parent, claim, 200, need=0.5))

            fired = {reply for reply in replies if isinstance(reply, Fired)}
            assert fired == {Fired(parent.id, claim.fence, 200, 200 - len(lost), len(lost), JOIN)}
            assert {reply for reply in replies if not isinstance(reply, Fired)} == {"recorded"}
            assert counts(store_url, parent) == (200, 200 - len(lost), len(lost), "fired")
            found = await store.children(parent.run_id, parent.id, 0, 200)
            assert [it.index for it in found if it.state == "done"] == sorted({*range(200)} - lost)


async def test_of_children_that_end_together_each_is_judged_by_itself(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent, outer, inner = await nested(store)
        another = await opened_run(store, "r2")
        _, children = await fanned(store, another, 5)
        ends = [(child, await claimed(store, child), None) for child in (*children, *inner, outer[1])]
        taken_over = await claimed(store, children[1], worker="w2", redelivered=True)
        with console(store_url) as client:
            key = packed_job_key("r2", children[3].id)
            client.delete(key)
            client.rpush(key, "x")

        replies = await ended_together(store, ends)

        assert [*replies[:3], replies[4], replies[5], replies[7]] == ["recorded", "stale", *["recorded"] * 4]
        assert isinstance(replies[3], RecordDamaged)
        assert isinstance(replies[6], Fired)
        assert [fan_of(store_url, it)["done"] for it in (parent, outer[0])] == [1, 2]
        assert fan_of(store_url, another)["done"] == 3
        assert await ended_as(store, children[1], taken_over) == "recorded"
        assert fan_of(store_url, another)["done"] == 4


async def test_children_that_end_together_are_counted_in_a_fan_whose_opening_is_forgotten(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        _, children = await fanned(store, parent, 5)
        ends = [(child, await claimed(store, child), None) for child in children]
        with console(store_url) as client:
            client.hset(fan_key("r1", parent.id), "opened", 2)

        replies = await ended_together(store, [ends[3], ends[0], ends[1]])

        assert replies == ["recorded"] * 3
        assert [fan_of(store_url, parent)[name] for name in ("opened", "done")] == [4, 3]


async def test_jobs_on_one_way_that_end_together_count_once(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, children = await fanned(store, parent, 3)
        jobs = [child_of(parent, 0, claim.fence, stage="halve"), *children]

        replies = await ended_together(store, [(job, await claimed(store, job), None) for job in jobs])

        assert replies == ["recorded"] * 4
        assert fan_of(store_url, parent)["done"] == 3


async def test_children_that_end_together_keep_their_fan(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        _, children = await fanned(store, parent, 3)
        ends = [(child, await claimed(store, child), None) for child in children]
        keys = fan_key("r1", parent.id), fan_out_key("r1", parent.id)
        with console(store_url) as client:
            client.hset(keys[0], "kept", 1)
            for key in keys:
                client.pexpire(key, 60_000)

            await ended_together(store, ends[:2])

            left: Any = [client.pttl(key) for key in keys]
        assert min(left) > 3_000_000
        assert fan_of(store_url, parent)["done"] == 2


# What is given up


async def test_a_child_that_cannot_be_missed_fails_the_run_and_the_others_go_on_until_it_is_redriven(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, children = await fanned(store, parent, 3)
        began = await claimed(store, children[1])
        assert await ended(store, children[0], DEAD) == "failed"
        assert await state_of(store) is RunState.FAILED
        failed = await store.get("r1")
        assert failed is not None
        assert failed.failure == BROKEN

        assert await ended_as(store, children[1], began) == "recorded"
        assert await closed(store, parent, claim, 3) == "recorded"
        assert await ended(store, children[2]) == "recorded"  # claimed while the run has failed
        assert counts(store_url, parent) == (3, 2, 1, "closed")
        again = await redriven(store, children[0])
        assert counts(store_url, parent) == (3, 2, 0, "closed")
        assert await state_of(store) is RunState.RUNNING
        fired = await ended(store, again)

        assert fired == Fired(parent.id, claim.fence, 3, 3, 0, JOIN)
        await join_completes(store, again, fired)


async def test_children_that_can_be_missed_are_counted_and_the_last_fires_though_it_is_given_up(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, children = await fanned(store, parent, 4, need=0.5)
        await closed(store, parent, claim, 4, need=0.5)
        replies = [
            await ended(store, child, DEAD if child is children[0] else None) for child in children[:3]
        ]
        assert replies == ["recorded"] * 3
        assert await state_of(store) is RunState.RUNNING

        fired = await ended(store, children[3], DEAD)

        assert fired == Fired(parent.id, claim.fence, 4, 2, 2, JOIN)
        again = await claimed(store, children[3], worker="w2", redelivered=True)
        assert again == Decided(DEAD, 1, fired)  # its dead letter and the join follow once more
        await join_completes(store, children[3], fired)


@pytest.mark.parametrize(
    ("need", "lost", "fails"),
    [
        (0.95, 1, False),
        (0.95, 2, True),
        (19, 1, False),
        (19, 2, True),
        (0.0, 20, False),
        (0, 20, False),
        (99, 1, True),
    ],
)
async def test_a_join_needs_a_share_or_a_number(store_url: str, need: float, lost: int, fails: bool) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, children = await fanned(store, parent, 20, need=need)
        await closed(store, parent, claim, 20, need=need)

        replies = [
            await ended(store, child, DEAD if at < lost else None) for at, child in enumerate(children)
        ]

        assert isinstance(replies[-1], Fired) == (not fails)
        assert (await state_of(store) is RunState.FAILED) == fails


async def test_a_run_that_has_failed_is_cancelled_while_children_of_it_go_on(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, children = await fanned(store, parent, 4)
        held = await claimed(store, children[1])
        await ended(store, children[0], DEAD)
        assert await state_of(store) is RunState.FAILED
        await closed(store, parent, claim, 4)

        assert [await store.cancel("r1") for _ in range(2)] == [RunState.CANCELLED] * 2

        assert await ended_as(store, children[1], held) == "over"
        assert isinstance(await claimed(store, children[2]), Over)
        assert isinstance(await claimed(store, parent, worker="w2", redelivered=True), Over)
        assert await store.redrive(children[0]) == "stale"
        assert await state_of(store) is RunState.CANCELLED
        assert events(store_url, "r1")[-3:] == ["finished", "closed", "cancelled"]


@pytest.mark.parametrize("opener_dies", [False, True])
async def test_a_run_that_has_failed_is_not_cancelled_once_none_of_its_children_goes_on(
    store_url: str, opener_dies: bool
) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, children = await fanned(store, parent, 2)
        await ended(store, children[0], DEAD)
        await ended(store, children[1])
        await (decided(store, parent, claim, DEAD) if opener_dies else closed(store, parent, claim, 2))

        assert await store.cancel("r1") is RunState.FAILED

        again = await redriven(store, children[0])
        assert (await ended(store, again) == "recorded") is opener_dies


async def test_children_of_a_lost_child_that_go_on_are_reason_enough_to_cancel(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, (child,) = await fanned(store, parent, 1)
        await closed(store, parent, claim, 1)
        inner = await claimed(store, child)
        await store.open_children(child, inner.fence, Window(2, join=JOIN), worker="w1")
        leaves = [child_of(child, index, inner.fence, "leaf") for index in range(2)]
        await closed(store, child, inner, 2)
        await ended(store, leaves[0], DEAD)
        assert counts(store_url, parent) == (1, 0, 1, "closed")

        assert await store.cancel("r1") is RunState.CANCELLED

        assert isinstance(await claimed(store, leaves[1]), Over)


async def test_a_share_is_judged_once_the_number_is_known(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, children = await fanned(store, parent, 2, need=0.9)
        assert await ended(store, children[0], DEAD) == "recorded"
        assert await state_of(store) is not RunState.FAILED

        assert await closed(store, parent, claim, 2, need=0.9) == "failed"

        assert await state_of(store) is RunState.FAILED
        again = await redriven(store, children[0])
        assert await ended(store, again) == "recorded"
        assert isinstance(await ended(store, children[1]), Fired)


async def test_a_child_that_is_redriven_after_the_join_began_runs_and_counts_nothing(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, children = await fanned(store, parent, 2, need=0.5)
        await closed(store, parent, claim, 2, need=0.5)
        await ended(store, children[0], DEAD)
        fired = await ended(store, children[1])

        again = await redriven(store, children[0])
        assert await state_of(store) is RunState.RUNNING
        assert await ended(store, again) == "recorded"

        assert counts(store_url, parent) == (2, 1, 1, "fired")
        assert events(store_url, "r1").count("late") == 1
        await join_completes(store, children[1], fired)


async def test_a_child_that_is_redriven_after_its_run_has_completed_runs_and_reopens_nothing(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, children = await fanned(store, parent, 2, need=1)
        await closed(store, parent, claim, 2, need=1)
        await ended(store, children[0], DEAD)
        fired = await ended(store, children[1])
        await join_completes(store, children[1], fired)

        again = await redriven(store, children[0])

        assert await ended(store, again) == "recorded"
        assert await state_of(store) is RunState.COMPLETED


async def test_a_parent_that_is_given_up_fails_the_run_and_is_closed_once_it_is_redriven(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, children = await fanned(store, parent, 2)
        assert await decided(store, parent, claim, DEAD) == "recorded"
        assert await state_of(store) is RunState.FAILED
        assert await ended(store, children[0], DEAD) == "recorded"
        lost = await redriven(store, children[0])
        assert await state_of(store) is RunState.FAILED  # its parent is still given up

        again = await redriven(store, parent)
        assert await state_of(store) is not RunState.FAILED
        claim = await claimed(store, again)
        assert await store.open_children(again, claim.fence, Window(2), worker="w1") == OpenedFan(2, 0)
        assert [await ended(store, lost), await ended(store, children[1])] == ["recorded", "recorded"]
        assert isinstance(await closed(store, again, claim, 2), Fired)


async def test_a_parent_goes_on_opening_though_the_run_has_failed_for_lack_of_a_child(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, children = await fanned(store, parent, 2)
        assert await ended(store, children[0], DEAD) == "failed"
        assert await state_of(store) is RunState.FAILED
        assert await decided(store, parent, claim, RetryLater(0.0, BROKEN)) == "recorded"

        claim = await claimed(store, parent.again())

        assert isinstance(claim, Granted)
        assert await closed(store, parent.again(), claim, 2) == "recorded"
        assert await ended(store, children[1]) == "recorded"
        again = await redriven(store, children[0])
        fired = await ended(store, again)
        assert isinstance(fired, Fired)
        await join_completes(store, again, fired)


# Ends from outside


async def test_nothing_follows_from_children_of_a_cancelled_run(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, children = await fanned(store, parent, 3)
        held = await claimed(store, children[0])
        await store.cancel("r1")

        assert await ended_as(store, children[0], held) == "over"
        assert await ended_as(store, children[0], held, DEAD) == "over"
        assert isinstance(await claimed(store, children[1]), Over)
        assert isinstance(await claimed(store, child_of(parent, 9, claim.fence)), Over)
        assert await closed(store, parent, claim, 3) == "over"
        assert await state_of(store) is RunState.CANCELLED
        assert counts(store_url, parent) == (-1, 0, 0, "open")


async def test_a_run_expires_when_a_child_is_late(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store, expires_in=3600.0)
        await fanned(store, parent, 1)
        late = msgspec.structs.replace(child_of(parent, 0, 1), expires_ms=parent.accepted_ms)
        with console(store_url) as client:  # as if that long ago
            record: Any = client.get(packed_run_key("r1"))
            given = b'"expires_ms":%d' % (parent.expires_ms or 0)
            assert given in record
            client.set(packed_run_key("r1"), record.replace(given, b'"expires_ms":1'), keepttl=True)

        assert isinstance(await claimed(store, late), Over)

        assert await state_of(store) is RunState.EXPIRED


# Fans in fans


async def nested(store: RunStore, need: float = 1.0) -> tuple[Job, list[Job], list[Job]]:
    """A run whose parent has two children, of which the first has two of its own; all are opened and closed."""
    parent = await opened_run(store)
    claim, outer = await fanned(store, parent, 2, need=need)
    assert await closed(store, parent, claim, 2, need=need) == "recorded"
    held, inner = await fanned(store, outer[0], 2, join="inner")
    assert await closed(store, outer[0], held, 2, join="inner") == "recorded"
    return parent, outer, inner


async def test_an_inner_join_goes_on_in_the_outer_fan(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent, outer, inner = await nested(store)
        assert await ended(store, inner[0]) == "recorded"
        fired = await ended(store, inner[1])
        assert isinstance(fired, Fired)
        assert (fired.fan_job, fired.join) == (outer[0].id, "inner")
        joined = inner[1].joined("sum_inner", b"{}", fence=fired.fence)
        assert await ended(store, joined) == "recorded"
        assert counts(store_url, parent) == (2, 1, 0, "closed")

        fired = await ended(store, outer[1])

        assert isinstance(fired, Fired)
        await join_completes(store, outer[1], fired)


async def test_an_inner_fan_that_breaks_is_a_lost_child_of_the_outer_one_until_it_is_redriven(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        parent, outer, inner = await nested(store)
        assert await ended(store, outer[1]) == "recorded"
        assert await ended(store, inner[0], DEAD) == "failed"
        assert await state_of(store) is RunState.FAILED
        assert counts(store_url, parent) == (2, 1, 1, "closed")
        assert await ended(store, inner[1]) == "recorded"

        again = await redriven(store, inner[0])

        assert counts(store_url, parent) == (2, 1, 0, "closed")
        assert await state_of(store) is RunState.RUNNING
        fired = await ended(store, again)
        assert isinstance(fired, Fired)
        fired = await ended(store, again.joined("sum_inner", b"{}", fence=fired.fence))
        assert isinstance(fired, Fired)
        assert fired.fan_job == parent.id


async def test_an_inner_fan_that_breaks_last_fires_the_outer_join_where_that_can_miss_it(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        parent, outer, inner = await nested(store, need=0.5)
        assert await ended(store, outer[1]) == "recorded"

        fired = await ended(store, inner[0], DEAD)

        assert isinstance(fired, Fired)
        assert (fired.fan_job, fired.done, fired.lost) == (parent.id, 1, 1)
        again = await claimed(store, inner[0], worker="w2", redelivered=True)
        assert isinstance(again, Decided)
        assert again.fired == fired
        redone = await redriven(store, inner[0])
        assert await ended(store, redone) == "recorded"
        assert counts(store_url, parent) == (2, 1, 1, "fired")
        await join_completes(store, inner[0], fired)


async def test_two_inner_fans_that_break_are_both_to_be_redriven(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, outer = await fanned(store, parent, 2)
        await closed(store, parent, claim, 2)
        lost = []
        for child in outer:
            held, (only,) = await fanned(store, child, 1, join="inner")
            await closed(store, child, held, 1, join="inner")
            await ended(store, only, DEAD)
            lost.append(only)

        first = await redriven(store, lost[0])
        assert await state_of(store) is RunState.FAILED
        second = await redriven(store, lost[1])

        assert await state_of(store) is RunState.RUNNING
        for again in (first, second):
            fired = await ended(store, again)
            assert isinstance(fired, Fired)
            fired = await ended(store, again.joined("sum_inner", b"{}", fence=fired.fence))
        assert isinstance(fired, Fired)


# What a fan has gone on without


async def left_behind(store: RunStore, *, leaves: int = 4) -> tuple[Job, list[Job], Job, Granted]:
    """A run whose join has begun without an inner fan: the inner parent; its children, of which the first is lost; and the join.

    The claim is that of the second of these children, which runs.
    """
    parent = await opened_run(store)
    claim, (child, other) = await fanned(store, parent, 2, need=1)
    await closed(store, parent, claim, 2, need=1)
    inner = await claimed(store, child)
    await store.open_children(child, inner.fence, Window(leaves, join=JOIN), worker="w1")
    children = [child_of(child, index, inner.fence, "leaf") for index in range(leaves)]
    await closed(store, child, inner, leaves)
    running = await claimed(store, children[1])
    assert isinstance(running, Granted)
    await ended(store, children[0], DEAD)
    assert isinstance(await claimed(store, child), Decided)  # it may be repaired until the join
    fired = await ended(store, other)
    assert isinstance(fired, Fired)
    join = other.joined("sum", b"{}", fan=fired.fan_job, fence=fired.fence)
    joining = await claimed(store, join)
    assert isinstance(joining, Granted)
    return child, children, join, running


@pytest.mark.parametrize("completed", [False, True])
async def test_no_child_of_a_lost_child_begins_once_the_join_goes_on_without_it(
    store_url: str, completed: bool
) -> None:
    async with a_store(store_url) as store:
        child, children, join, _ = await left_behind(store)
        if completed:
            joining = await claimed(store, join)
            assert await decided(store, join, joining, Done(NULL), last=True) == "recorded"

        assert isinstance(await claimed(store, children[2]), Over)
        assert isinstance(await claimed(store, children[3].again()), Over)
        assert isinstance(await claimed(store, children[1], worker="w2", redelivered=True), Over)
        letter = await claimed(store, children[0], worker="w2", redelivered=True)
        assert (letter.outcome, letter.fired) == (DEAD, None)
        opener = await claimed(store, child, worker="w2", redelivered=True)
        assert (opener.waits_s, opener.late) == (None, None)


@pytest.mark.parametrize("ends", [Done(NULL), RetryLater(0.0, BROKEN), DEAD])
async def test_one_that_runs_then_counts_nothing_and_what_is_done_is_noted(
    store_url: str, ends: Outcome
) -> None:
    async with a_store(store_url) as store:
        _, children, _, running = await left_behind(store)

        assert await ended_as(store, children[1], running, ends) == "recorded"

        assert events(store_url, "r1").count("late") == isinstance(ends, Done)
        assert isinstance(await claimed(store, children[1].again()), Over | Decided)
        run = await store.get("r1")
        assert run is not None
        assert [(fan.state, fan.done, fan.lost) for fan in run.fans] == [("fired", 1, 1)]


async def test_what_a_lost_child_had_is_redriven_with_all_that_follows_and_changes_nothing(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        child, children, join, _ = await left_behind(store, leaves=2)
        again = await redriven(store, children[0])
        claim = await claimed(store, again)
        assert isinstance(claim, Granted)
        follows = again.following("more", b"1", fence=claim.fence)
        assert await decided(store, again, claim, Done(NULL), next_stage="more") == "recorded"
        assert await ended(store, follows) == "recorded"
        fired = await ended(store, children[1])
        assert isinstance(fired, Fired)
        inner = await claimed(store, children[1].joined("sum", b"{}", fan=child.id, fence=fired.fence))
        assert isinstance(inner, Granted)

        joining = await claimed(store, join)
        assert await decided(store, join, joining, Done(NULL), last=True) == "recorded"
        assert events(store_url, "r1").count("late") == 1
        assert await state_of(store) is RunState.COMPLETED


@pytest.mark.parametrize("others", ["lost", "open"])
async def test_one_of_several_that_a_lost_child_has_lost_runs_when_it_is_redriven(
    store_url: str, others: str
) -> None:
    """Its own fan is broken all the same, and the one around that has fired."""
    async with a_store(store_url) as store:
        _, children, _, running = await left_behind(store)
        if others == "lost":
            await ended_as(store, children[1], running, DEAD)

        again = await redriven(store, children[0])

        assert await ended(store, again) == "recorded"
        assert events(store_url, "r1").count("late") == 1


async def test_a_run_that_fails_after_its_join_is_not_cancelled_for_what_that_went_on_without(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        _, children, join, _ = await left_behind(store)
        joining = await claimed(store, join)
        assert await decided(store, join, joining, DEAD) == "recorded"

        assert isinstance(await claimed(store, children[2]), Over)
        assert await store.cancel("r1") is RunState.FAILED


async def test_a_branch_of_a_fork_that_is_lost_ends_the_other_one_with_it(store_url: str) -> None:
    """The other branches of a fork in a fan are of no use once one is lost, and the fan goes on without it."""
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, (child, other) = await fanned(store, parent, 2, need=1)
        await closed(store, parent, claim, 2, need=1)
        forking = await claimed(store, child)
        fork = Done(NULL, forks=("price", "stock"))
        assert await decided(store, child, forking, fork, next_stage="sum", join=JOIN) == "recorded"
        branches = [
            child_of(child, index, forking.fence, name) for index, name in enumerate(fork.forks or ())
        ]
        await ended(store, branches[0], DEAD)
        assert isinstance(await claimed(store, branches[1]), Granted)
        assert isinstance(await ended(store, other), Fired)

        assert isinstance(await claimed(store, branches[1]), Over)


# Without a join, and forks


async def test_children_that_nothing_joins_end_the_run_with_their_counts(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, children = await fanned(store, parent, 3, need=0.5, join="")
        await closed(store, parent, claim, 3, need=0.5, join="")
        replies = []
        for child, outcome in zip(children, (None, DEAD, None), strict=True):
            held = await claimed(store, child)
            replies.append(await decided(store, child, held, outcome or Done(NULL), joins=True))
        assert replies == ["recorded", "recorded", "completed"]

        run = await store.get("r1")

        assert run is not None
        assert (run.state, run.result) == (RunState.COMPLETED, {"total": 3, "done": 2, "lost": 1})
        assert run.timeline[-1].kind == "completed"
        assert run.finished_ms is not None
        newest = await store.latest("sums")
        assert newest is not None
        assert newest.id == "r1"
        again = await claimed(store, children[2], redelivered=True)
        assert isinstance(again, Decided)
        assert again.fired is None


async def test_no_children_that_nothing_joins_complete_the_run_at_once(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim = await claimed(store, parent)

        assert await closed(store, parent, claim, 0, join="") == "completed"

        run = await store.get("r1")
        assert run is not None
        assert (run.state, run.result) == (RunState.COMPLETED, {"total": 0, "done": 0, "lost": 0})


async def test_a_job_that_forks_has_a_child_in_each_stage_from_its_decision_on(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim = await claimed(store, parent)
        forks = [
            child_of(parent, index, claim.fence, stage) for index, stage in enumerate(("square", "cube"))
        ]
        assert isinstance(await claimed(store, forks[0]), Busy)
        outcome = Done(msgspec.Raw(b"3"), forks=("square", "cube"))

        recorded = await decided(store, parent, claim, outcome, next_stage="sum", join=JOIN)

        assert recorded == "recorded"
        again = await claimed(store, parent, worker="w2", redelivered=True)
        assert isinstance(again, Decided)
        assert again.outcome == outcome
        assert await ended(store, forks[1]) == "recorded"
        fired = await ended(store, forks[0])
        assert fired == Fired(parent.id, claim.fence, 2, 2, 0, JOIN)
        found = await store.children("r1", parent.id, 0, 2)
        assert [bytes(it.outcome.output) for it in found if isinstance(it.outcome, Done)] == [b"11", b"22"]
        await join_completes(store, forks[0], fired)


# Reading


async def test_outputs_are_read_by_page_in_order_of_index(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, children = await fanned(store, parent, 7, need=0.5)
        for index in (5, 0, 3):
            await ended(store, children[index])
        await ended(store, children[4], DEAD)

        page = await store.children("r1", parent.id, 2, 4)

        assert [(it.index, it.state) for it in page] == [(2, "open"), (3, "done"), (4, "lost"), (5, "done")]
        assert page[0] == ChildOutput(2, "open", None)
        assert page[2].outcome == DEAD
        assert [bytes(it.outcome.output) for it in page if isinstance(it.outcome, Done)] == [b"44", b"66"]
        assert len(await store.children("r1", parent.id, 6, 256)) == 1
        assert await store.children("r1", parent.id, 7, 256) == []
        assert await store.children("r2", parent.id, 0, 256) == []
        await closed(store, parent, claim, 7, need=0.5)


async def test_the_output_of_another_child_is_refused(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        _, children = await fanned(store, parent, 2)
        for child in children:
            await ended(store, child)
        with console(store_url) as client:
            key = fan_out_key("r1", parent.id)
            client.setrange(key, 0, client.getrange(key, 17, 33))

        with pytest.raises(SignatureRefused):
            await store.children("r1", parent.id, 0, 2)


async def test_an_output_whose_record_is_gone_is_shown_as_none(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        _, children = await fanned(store, parent, 2)
        for child in children:
            await ended(store, child)
        with console(store_url) as client:
            client.delete(packed_job_key("r1", children[0].id))

        gone, there = await store.children("r1", parent.id, 0, 2)

        assert gone == ChildOutput(0, "done", None)
        assert there.outcome is not None


async def test_a_run_shows_how_far_its_children_are_and_its_timeline_what_is_unusual(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, children = await fanned(store, parent, 3, need=0.3)
        run = await store.get("r1")
        assert run is not None
        assert run.progress is not None
        assert (run.state, run.progress.done, run.progress.total) == (RunState.RUNNING, 0, None)
        await closed(store, parent, claim, 3, need=0.3)
        held = await claimed(store, children[0])
        await ended_as(store, children[0], held, RetryLater(0.0, BROKEN))
        await ended(store, children[1])
        await ended(store, children[2], DEAD)

        run = await store.get("r1")
        listed = (await store.page()).runs[0]

        assert run is not None
        assert run.progress is not None
        assert (run.state, listed.state) == (RunState.RUNNING, RunState.RUNNING)
        (fan,) = run.fans
        assert (run.progress.done, run.progress.total, run.progress.lost) == (1, 3, 1)
        assert (fan.done, fan.total, fan.lost) == (1, 3, 1)
        assert msgspec.json.encode(run.progress).startswith(b'{"stage":"add","done":1,"total":3,')
        assert [event.kind for event in run.timeline] == [
            "accepted", "started", "opened", "finished", "closed", "gave_up",
        ]  # fmt: skip
        assert run.timeline[-1].job == children[2].id
        assert run.timeline[-1].failure == BROKEN
        assert run.timeline[-2].value == {"total": 3}
        fired = await ended(store, children[0].again())
        await join_completes(store, children[0], fired)
        run = await store.get("r1")
        assert run is not None
        assert [(event.kind, event.value) for event in run.timeline[6:]] == [
            ("fired", {"total": 3, "done": 2, "lost": 1}),
            ("started", None),
            ("finished", None),
            ("completed", None),
        ]
        assert run.result == 6


async def test_of_children_that_are_given_up_the_first_hundred_are_in_the_timeline(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        await fanned(store, parent, 120, need=0.0)
        for index in range(120):
            await ended(store, child_of(parent, index, 1), DEAD)

        run = await store.get("r1")

        assert run is not None
        assert sum(event.kind == "gave_up" for event in run.timeline) == 100


async def test_every_key_of_a_fan_has_an_end_and_lives_as_long_as_its_run(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as store:
        parent = await opened_run(store)
        claim = await claimed(store, parent)
        window = Window(keys=["a", "b"], join=JOIN)
        await store.open_children(parent, claim.fence, window, worker="w1")
        assert untimed(store_url) == []
        fan = fan_key("r1", parent.id)
        keys = [fan, fan_out_key("r1", parent.id), f"{fan}:keys", packed_job_key("r1", parent.id)]
        with console(store_url) as client:
            for key in keys:
                client.pexpire(key, 1_000_000)
        held = await claimed(store, child_of(parent, 0, claim.fence, key="a"))
        await store.renew(child_of(parent, 0, claim.fence, key="a"), fence=held.fence, lease=60.0)

        with console(store_url) as client:
            lives: list[Any] = [client.pttl(key) for key in keys]
        assert min(lives) > 3_500_000
        await ended_as(store, child_of(parent, 0, claim.fence, key="a"), held)
        assert untimed(store_url) == []


async def test_a_fan_that_is_waited_for_lives_on_with_its_run_and_the_job_that_opened_it(
    store_url: str,
) -> None:
    """Without the record of that job its message would run it once more, after the retention."""
    async with open_store(store_url, retention=3600) as store:
        parent = await opened_run(store)
        granted, _ = await fanned(store, parent, 2)
        await closed(store, parent, granted, 2)
        fan = fan_key("r1", parent.id)
        keys = [fan, packed_run_key("r1"), packed_job_key("r1", parent.id)]
        with console(store_url) as client:
            client.hset(fan, "kept", 0)
            for key in keys:
                client.pexpire(key, 1_000_000)

        claim = await claimed(store, parent, worker="w2")

        assert isinstance(claim, Decided)
        assert claim.waits_s is not None
        with console(store_url) as client:
            lives: list[Any] = [client.pttl(key) for key in keys]
        assert min(lives) > 3_500_000


async def test_the_records_of_children_live_as_long_as_their_fan_and_are_kept_by_pages(
    store_url: str,
) -> None:
    """Those of a young fan are left alone: each costs a command."""
    count, a_while_ms = 2_100, 1_000_000
    ids = [uuid4().hex for _ in range(count)]
    keys = [packed_job_key("r1", each) for each in ids]
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, _ = await fanned(store, parent, count + 1)
        await closed(store, parent, claim, count + 1)

        async def waited() -> Any:
            visit = await claimed(store, parent, worker="w2")
            assert isinstance(visit, Decided)
            return visit.waits_s

        def briefest() -> tuple[int, int]:
            with console(store_url) as client:
                lives: list[Any] = [client.pttl(key) for key in keys]
            return sum(life <= a_while_ms for life in lives), max(lives)

        with console(store_url) as client:
            fan, out = fan_key("r1", parent.id), fan_out_key("r1", parent.id)
            client.set(out, b"".join(b"D" + bytes.fromhex(each) for each in ids), keepttl=True)
            for key in keys:
                client.set(key, "x", px=a_while_ms)
            client.hset(fan, "at", int(client.hget(fan, "at") or 0) - 40_000)
            born: Any = client.hget(fan, "renewed")
        assert await waited() >= 40
        assert briefest()[0] == count

        with console(store_url) as client:
            client.hset(fan, "renewed", int(born) - 1_000_000)
        waits = [await waited() for _ in range(3)]

        left, longest = briefest()
        assert (left, waits[:2]) == (0, [0, 0])
        assert waits[2] >= 40
        with console(store_url) as client:
            life: Any = client.pttl(fan)
        assert longest <= life + 60_000


# A store that forgets


async def test_a_child_waits_until_its_parent_has_opened_it_again(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, children = await fanned(store, parent, 2)
        with console(store_url) as client:
            client.delete(fan_key("r1", parent.id), fan_out_key("r1", parent.id))
        assert isinstance(await claimed(store, children[0]), Busy)

        claim = await claimed(store, parent, worker="w2", redelivered=True)
        await store.open_children(parent, claim.fence, Window(2, join=JOIN), worker="w2")

        assert await ended(store, children[0]) == "recorded"
        assert await ended(store, children[1]) == "recorded"
        assert isinstance(await closed(store, parent, claim, 2), Fired)


async def test_a_decision_that_the_fan_has_forgotten_counts_when_its_job_is_claimed_again(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, children = await fanned(store, parent, 2)
        held = await claimed(store, children[0])
        with console(store_url) as client:
            client.delete(fan_key("r1", parent.id), fan_out_key("r1", parent.id))
        assert await ended_as(store, children[0], held) == "recorded"
        claim = await claimed(store, parent, worker="w2", redelivered=True)
        await store.open_children(parent, claim.fence, Window(2, join=JOIN), worker="w2")
        assert await ended(store, children[1]) == "recorded"
        assert await closed(store, parent, claim, 2) == "recorded"

        again = await claimed(store, children[0], worker="w2")

        assert isinstance(again, Decided)
        assert isinstance(again.fired, Fired)
        await join_completes(store, children[0], again.fired)


async def test_a_child_whose_decision_was_forgotten_fires_when_it_is_done_once_more(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, children = await fanned(store, parent, 2)
        await closed(store, parent, claim, 2)
        await ended(store, children[0])
        with console(store_url) as client:  # as a replica has it that had not received the last decision
            before = [client.dump(key) for key in (fan_key("r1", parent.id), fan_out_key("r1", parent.id))]
            fired = await ended(store, children[1])
            client.delete(packed_job_key("r1", children[1].id))
            for key, held in zip(
                (fan_key("r1", parent.id), fan_out_key("r1", parent.id)), before, strict=True
            ):
                client.restore(key, 3_600_000, held, replace=True)
        joined = children[1].joined("sum", b"{}", fan=parent.id, fence=fired.fence)
        assert isinstance(await claimed(store, joined), Granted)  # its message was there already
        assert [it.state for it in await store.children("r1", parent.id, 0, 2)] == ["done", "open"]

        assert await ended(store, children[1], None) == fired

        assert [it.state for it in await store.children("r1", parent.id, 0, 2)] == ["done", "done"]


async def test_a_join_whose_fire_was_forgotten_waits_while_its_parent_sends_again(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, children = await fanned(store, parent, 2)
        await closed(store, parent, claim, 2)
        await ended(store, children[0])
        joined = children[1].joined("sum", b"{}", fence=claim.fence)

        async def gathered(joined: Job) -> Any:
            request = ClaimRequest(joined, False, 60.0, gathers=True)
            (reply,) = (await store.exchange((), [request], worker="w1")).claims
            return reply

        assert isinstance(await gathered(joined), Busy)
        assert isinstance(await gathered(joined), Busy)
        claim = await claimed(store, parent, worker="w2", redelivered=True)
        assert isinstance(claim, Granted)
        found = await store.open_children(parent, claim.fence, Window(2, join=JOIN), worker="w2")
        assert found == OpenedFan(2, 0)
        assert await closed(store, parent, claim, 2) == "recorded"
        assert isinstance(await gathered(joined), Over)  # what follows from the earlier decision
        fired = await ended(store, children[1])
        assert isinstance(await gathered(children[1].joined("sum", b"{}", fence=fired.fence)), Granted)


async def test_a_join_that_begins_a_run_waits_for_nothing(store_url: str) -> None:
    async with a_store(store_url) as store:
        first = await opened_run(store)
        request = ClaimRequest(first, False, 60.0, gathers=True)

        (claim,) = (await store.exchange((), [request], worker="w1")).claims

        assert isinstance(claim, Granted)


async def test_a_parent_keeps_its_message_until_the_join_has_begun(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, (child,) = await fanned(store, parent, 1)
        await closed(store, parent, claim, 1)
        fired = await ended(store, child)
        waits = await claimed(store, parent, worker="w2", redelivered=True)
        assert isinstance(waits, Decided)
        assert waits.waits_s is not None
        assert isinstance(await claimed(store, child.joined("sum", b"{}", fence=fired.fence)), Granted)

        begun = await claimed(store, parent, worker="w2", redelivered=True)

        assert isinstance(begun, Decided)
        assert (begun.fired, begun.waits_s) == (None, None)


async def test_a_parent_whose_children_no_message_has_is_given_up_and_redriven_sends_them_again(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, children = await fanned(store, parent, 2)
        await closed(store, parent, claim, 2)
        assert await ended(store, children[0]) == "recorded"
        stalled = GiveUp("fan-stalled", BROKEN)

        assert await store.give_up_fan(parent, stalled, worker="w1") == "recorded"
        assert await store.give_up_fan(parent, stalled, worker="w1") == "recorded"

        assert await state_of(store) is RunState.FAILED
        again = await claimed(store, parent, worker="w2", redelivered=True)
        assert isinstance(again, Decided)
        assert again.outcome == stalled
        parent = await redriven(store, parent)
        claim = await claimed(store, parent)
        found = await store.open_children(parent, claim.fence, Window(2, join=JOIN), worker="w1")
        assert found == OpenedFan(2, 0)
        assert isinstance(await claimed(store, children[0], redelivered=True), Decided)
        assert await ended(store, children[1]) == "recorded"
        fired = await closed(store, parent, claim, 2)
        assert fired == Fired(parent.id, claim.fence, 2, 2, 0, JOIN)
        assert await store.give_up_fan(parent, stalled, worker="w1") == "stale"
        await join_completes(store, parent, fired)


async def test_a_fan_of_another_type_is_damage_of_the_job_that_meets_it(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        _, children = await fanned(store, parent, 1)
        held = await claimed(store, children[0])
        with console(store_url) as client:
            client.set(fan_key("r1", parent.id), "x", px=1_000_000)

        with pytest.raises(RecordDamaged):
            await ended_as(store, children[0], held)


# What costs nothing


async def test_a_chain_sends_what_it_sent_before_there_were_fans(store_url: str) -> None:
    async with a_store(store_url) as store:
        sent: list[Command] = []
        send = store._client.pipeline

        async def pipeline(commands: Sequence[Command]) -> list[Any]:
            sent.extend(commands)
            return await send(commands)

        store._client.pipeline = pipeline  # type: ignore[method-assign]
        job = await opened_run(store)
        claim = await claimed(store, job)
        await decided(store, job, claim, Done(NULL), next_stage="double")
        following = job.following("double", b"1", fence=claim.fence)
        claim = await claimed(store, following)
        await decided(store, following, claim, RetryLater(0.0, BROKEN))
        claim = await claimed(store, following.again())
        await decided(store, following.again(), claim, Done(msgspec.Raw(b"6")), last=True)
        assert (await store.get("r1")) is not None

        words = " ".join(str(word) for command in sent for word in command)

        assert "fan" not in words
        assert "joins" not in words


async def test_records_of_children_are_as_those_of_a_chain_but_for_their_place(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        _, (child,) = await fanned(store, parent, 1)
        await ended(store, child)

        record = job_record(store_url, child)

        assert record is not None
        assert (record.state, record.fence, record.facts.fan, record.facts.joins) == (
            "done",
            1,
            parent.id,
            True,
        )
        run = run_record(store_url, "r1")
        assert run is not None
        assert run.state == "queued"


async def test_the_opener_fires_again_what_a_child_fired_that_was_redriven_before_its_join_was_sent(
    store_url: str,
) -> None:
    """Its worker died between the dead letter and the join; its message of before the redrive is dropped when it comes again."""
    async with a_store(store_url) as store:
        accepted = await store.open_run("r1", "sums", "add", b"[1,2]")
        parent = packed_first("r1", accepted_ms=accepted.accepted_ms)
        claim, children = await fanned(store, parent, 2, need=0.5)
        assert await closed(store, parent, claim, 2, need=0.5) == "recorded"
        assert await ended(store, children[0]) == "recorded"
        fired = await ended(store, children[1], DEAD)
        assert isinstance(fired, Fired)

        again = await redriven(store, children[1])
        assert isinstance(await claimed(store, children[1]), Over)
        waiting = await claimed(store, parent)

        assert isinstance(waiting, Decided)
        assert waiting.fired == fired
        assert await ended(store, again) == "recorded"


async def test_a_run_that_its_join_opens_again_is_found_though_lua_judges_its_claim(store_url: str) -> None:
    """The store has forgotten that the run was repaired before its join was fired."""
    async with a_store(store_url) as store:
        parent = await opened_run(store)
        claim, children = await fanned(store, parent, 2)
        assert await closed(store, parent, claim, 2) == "recorded"
        assert await ended(store, children[0]) == "recorded"
        assert await ended(store, children[1], DEAD) == "failed"
        failed = await store._client.call("GET", packed_run_key("r1"))
        fired = await ended(store, await redriven(store, children[1]))
        assert isinstance(fired, Fired)
        await store._client.call("SET", packed_run_key("r1"), failed)
        assert (await store.page(RunFilter(state=RunState.QUEUED))).runs == ()

        joined = parent.joined("sum", b"{}", fan=fired.fan_job, fence=fired.fence)
        request = ClaimRequest(joined.again(), redelivered=False, lease=60.0, gathers=True)
        (granted,) = (await store.exchange((), [request], worker="w1")).claims

        assert isinstance(granted, Granted)
        found = (await store.page(RunFilter(state=await state_of(store)))).runs
        assert [run.id for run in found] == ["r1"]
