"""Tests the time of children in a real store."""

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import pytest

from mousetrap.jobs import Done, Failure, GiveUp, Job, Outcome
from mousetrap.run_store import (
    Busy,
    ClaimRequest,
    Decided,
    DecisionRequest,
    FanLate,
    Fired,
    Granted,
    Over,
    RunStore,
    Window,
    open_store,
)
from mousetrap.shapes import RunState
from mousetrap.signing import Keyring
from support.packed import packed_first

BROKEN = Failure(kind="ValueError", text="no")
DEAD = GiveUp("max-retries", BROKEN)
LATE = GiveUp("fan-late", BROKEN)
NULL = msgspec.Raw(b"null")
KEYRING = Keyring({"k1": b"k" * 32})
JOIN = '{"stage":"sum"}'
#: Seconds: over at once, and never in a test.
BRIEF, LONG = 0.001, 3600.0


@pytest.fixture
def store_url(either_url: str) -> str:
    """The address of either kind of store in turn, with nothing in it."""
    return either_url


def a_store(url: str) -> AbstractAsyncContextManager[RunStore]:
    return open_store(url, retention=3600, keyring=KEYRING)


async def claimed(store: RunStore, job: Job, **more: Any) -> Any:
    request = ClaimRequest(job, redelivered=False, lease=60.0, **more)
    (reply,) = (await store.exchange((), [request], worker="w1")).claims
    if isinstance(reply, Exception):
        raise reply
    return reply


async def decided(store: RunStore, job: Job, claim: Granted, outcome: Outcome, **more: Any) -> Any:
    request = DecisionRequest(job, outcome, claim, **{"last": False, **more})
    (reply,) = (await store.exchange([request], (), worker="w1")).decisions
    if isinstance(reply, Exception):
        raise reply
    return reply


async def a_fan(
    store: RunStore, count: int, *, need: float = 0.5, within: float = BRIEF, parent: Job | None = None
) -> tuple[Job, list[Job]]:
    """A parent that has opened so many children and is decided, and these, of which none is claimed."""
    if parent is None:
        accepted = await store.open_run("r1", "sums", "add", b"[1,2]")
        parent = packed_first("r1", accepted_ms=accepted.accepted_ms, expires_ms=accepted.expires_ms)
    claim = await claimed(store, parent)
    assert isinstance(claim, Granted), claim
    opened = await store.open_children(
        parent, claim.fence, Window(opened=count, need=need, join=JOIN), worker="w1"
    )
    assert not isinstance(opened, str)
    closing: dict[str, Any] = {"next_stage": "sum", "need": need, "join": JOIN, "within": within}
    assert await decided(store, parent, claim, Done(NULL, children=count), **closing) == "recorded"
    children = [parent.child("square", b"1", index=index, fence=claim.fence) for index in range(count)]
    return parent, children


async def done(store: RunStore, child: Job, outcome: Outcome | None = None) -> Any:
    claim = await claimed(store, child, bounded=True)
    assert isinstance(claim, Granted), claim
    return await decided(store, child, claim, outcome or Done(NULL), next_stage="sum", joins=True)


async def when_over(store: RunStore, parent: Job) -> Decided:
    """The reply to the parent's message once the time is over."""
    async with asyncio.timeout(60):
        while True:
            reply = await claimed(store, parent)
            assert isinstance(reply, Decided), reply
            if reply.waits_s is None:
                return reply


async def run_state(store: RunStore) -> RunState:
    run = await store.get("r1")
    assert run is not None
    assert not run.unreadable
    return run.state


async def test_the_message_of_the_opener_waits_for_what_is_left_of_the_time(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent, _ = await a_fan(store, 4, within=LONG)
        waiting = await claimed(store, parent)

        assert 0 < waiting.left_s <= LONG
        assert (waiting.fired, waiting.late) == (None, None)


async def test_what_is_not_decided_then_counts_as_lost(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent, children = await a_fan(store, 4)
        await done(store, children[1])
        await done(store, children[2], DEAD)
        await done(store, children[3])
        reply = await when_over(store, parent)

        assert reply.fired is not None
        assert (reply.fired.total, reply.fired.done, reply.fired.lost, reply.fired.join) == (4, 2, 2, JOIN)
        assert (await when_over(store, parent)).fired == reply.fired  # its message may come again
        found = await store.children("r1", parent.id, 0, 10)
        assert [it.state for it in found] == ["lost", "done", "lost", "done"]
        run = await store.get("r1")
        assert run is not None
        assert [(fan.state, fan.done, fan.lost, fan.late) for fan in run.fans] == [("fired", 2, 2, 1)]
        assert [event.value for event in run.timeline if event.kind == "fired"] == [
            {"total": 4, "done": 2, "lost": 2, "late": 1}
        ]


async def test_no_child_begins_any_more(store_url: str) -> None:
    """Neither by a plain claim nor by one that the functions judge; nor what follows one, nor one that another has begun."""
    async with a_store(store_url) as store:
        parent, children = await a_fan(store, 4)
        await done(store, children[0])
        await done(store, children[1])
        assert isinstance(await claimed(store, children[2], bounded=True), Granted)
        assert (await when_over(store, parent)).fired is not None

        assert isinstance(await claimed(store, children[3], bounded=True), Over)
        again = msgspec.structs.replace(children[3], attempt=2)
        assert isinstance(await claimed(store, again, bounded=True), Over)
        assert isinstance(
            await claimed(store, children[2].following("more", b"1", fence=1), bounded=True), Over
        )
        assert isinstance(await claimed(store, children[2], bounded=True), Over)
        assert isinstance(await claimed(store, children[0], bounded=True), Decided)


async def test_the_outcome_of_one_that_runs_counts_nothing_and_is_noted(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent, children = await a_fan(store, 3)
        await done(store, children[0])
        await done(store, children[1])
        running = await claimed(store, children[2], bounded=True)
        fired = (await when_over(store, parent)).fired
        for _ in range(2):
            reply = await decided(store, children[2], running, Done(NULL), next_stage="sum", joins=True)
            assert reply == "recorded"

        run = await store.get("r1")
        assert run is not None
        assert [(fan.done, fan.lost) for fan in run.fans] == [(2, 1)]
        late = [event for event in run.timeline if event.kind == "late"]
        assert [(event.stage, event.job) for event in late] == [("square", children[2].id)]
        assert [it.state for it in await store.children("r1", parent.id, 0, 10)] == ["done", "done", "lost"]
        assert (await when_over(store, parent)).fired == fired


async def test_the_first_late_ones_are_noted_beside_a_hundred_that_were_given_up(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent, children = await a_fan(store, 103, need=0.01)
        for child in children[:100]:
            await done(store, child, DEAD)
        await done(store, children[100])
        await done(store, children[101])
        running = await claimed(store, children[102], bounded=True)
        assert (await when_over(store, parent)).fired is not None
        await decided(store, children[102], running, Done(NULL), next_stage="sum", joins=True)

        run = await store.get("r1")
        assert run is not None
        kinds = [event.kind for event in run.timeline]
        assert (kinds.count("gave_up"), kinds.count("late")) == (100, 1)


async def test_what_runs_inside_a_child_that_is_late_is_noted_and_its_join_does_not_begin(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        parent, (child, other) = await a_fan(store, 2)
        _, leaves = await a_fan(store, 3, need=1.0, within=0.0, parent=child)
        running = [await claimed(store, leaf, bounded=True) for leaf in leaves]
        await done(store, other)
        assert (await when_over(store, parent)).fired is not None
        replies = [
            await decided(store, leaf, claim, Done(NULL), next_stage="sum", joins=True)
            for leaf, claim in zip(leaves, running, strict=True)
        ]

        assert replies[:2] == ["recorded"] * 2
        assert isinstance(replies[2], Fired)
        join = leaves[2].joined("sum", b"null", fan=child.id, fence=replies[2].fence)
        assert isinstance(await claimed(store, join, gathers=True, bounded=True), Over)
        run = await store.get("r1")
        assert run is not None
        assert [event.job for event in run.timeline if event.kind == "late"] == [leaf.id for leaf in leaves]
        assert [(fan.done, fan.lost, fan.late) for fan in run.fans] == [(1, 1, 1)]


async def test_too_few_give_the_opener_up_and_its_redrive_gives_the_time_again(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent, children = await a_fan(store, 4)
        await done(store, children[0])
        reply = await when_over(store, parent)

        assert (reply.fired, reply.late) == (None, FanLate(total=4, done=1, lost=0))
        for _ in range(2):
            assert await store.give_up_fan(parent, LATE, worker="w1") == "recorded"
        assert await run_state(store) is RunState.FAILED
        await done(store, children[1])  # those that are left go on, as in any run that has failed
        again = await store.redrive(parent)
        assert isinstance(again, Job), again
        await store.mark_redriven(again)
        assert await run_state(store) is RunState.QUEUED
        await a_fan(store, 4, within=LONG, parent=again)
        waiting = await claimed(store, again)
        assert 0 < waiting.left_s <= LONG
        await done(store, children[2])
        assert isinstance(await done(store, children[3]), Fired)


async def test_a_child_that_is_redriven_gives_the_time_again(store_url: str) -> None:
    async with a_store(store_url) as store:
        parent, children = await a_fan(store, 2, need=1.0, within=LONG)
        await done(store, children[0], DEAD)
        assert await run_state(store) is RunState.FAILED
        before = (await claimed(store, parent)).left_s
        assert before is None  # while the run has failed, no time counts
        again = await store.redrive(children[0])
        assert isinstance(again, Job), again
        await store.mark_redriven(again)

        assert (await claimed(store, parent)).left_s > LONG - 60


async def test_a_fire_that_the_store_has_forgotten_is_seen_by_its_join(store_url: str) -> None:
    """Its message is there, and the opener's is not: the time is over all the same."""
    async with a_store(store_url) as store:
        parent, children = await a_fan(store, 2)
        over_at = time.time() + 2 * BRIEF
        await done(store, children[0])
        while time.time() < over_at:  # a join that came before would have its opener run again
            await run_state(store)
        join = parent.joined("sum", b"null", fan=parent.id, fence=1)
        async with asyncio.timeout(60):
            while isinstance(reply := await claimed(store, join, gathers=True), Busy):
                pass

        assert isinstance(reply, Granted), reply
        assert (await when_over(store, parent)).late is None


async def test_while_the_run_has_failed_no_opener_is_given_up_and_its_message_stays(
    store_url: str,
) -> None:
    """A job beside it is given up between its claim and the call: the run may be repaired, and then its time is given again."""
    async with a_store(store_url) as store:
        _, (inner, other) = await a_fan(store, 2, need=1.0, within=0.0)
        await a_fan(store, 2, need=1.0, parent=inner)
        assert (await when_over(store, inner)).late is not None
        await done(store, other, DEAD)
        assert await run_state(store) is RunState.FAILED

        assert await store.give_up_fan(inner, LATE, worker="w1") == "stale"
        assert (await claimed(store, inner)).waits_s is not None


async def test_an_opener_is_not_given_up_where_enough_is_done_between_its_claim_and_that(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        parent, children = await a_fan(store, 2, need=0.5)
        assert (await when_over(store, parent)).late is not None
        assert await done(store, children[0]) == "recorded"

        assert await store.give_up_fan(parent, LATE, worker="w1") == "stale"
        fired = (await when_over(store, parent)).fired
        assert fired is not None
        assert (fired.total, fired.done, fired.lost) == (2, 1, 1)
        assert await run_state(store) is RunState.RUNNING


async def test_an_opener_is_not_given_up_by_a_call_that_comes_after_its_redrive(store_url: str) -> None:
    """Its worker tries for as long as the store is away; another one has met the message and given the job up."""
    async with a_store(store_url) as store:
        parent, _ = await a_fan(store, 2)
        assert (await when_over(store, parent)).late is not None
        assert await store.give_up_fan(parent, LATE, worker="w1") == "recorded"
        again = await store.redrive(parent)
        assert isinstance(again, Job), again
        await store.mark_redriven(again)
        await a_fan(store, 2, within=LONG, parent=again)

        assert await store.give_up_fan(parent, LATE, worker="w2") == "stale"
        assert await run_state(store) is RunState.RUNNING
