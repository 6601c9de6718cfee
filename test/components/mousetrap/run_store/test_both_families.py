"""Plays stories in both families of records, and compares what is read."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from redis import Redis

from mousetrap.jobs import Done, Failure, GiveUp, Job, RetryLater, first_job
from mousetrap.run_store import (
    ClaimRequest,
    DecisionRequest,
    Granted,
    Locked,
    RunStore,
    StoredRun,
    Terms,
    open_store,
)
from mousetrap.run_store.keys import packed_run_key, run_key
from mousetrap.shapes import Event, Progress
from support.packed import passed
from support.valkey import administrator

BROKEN = Failure(kind="ValueError", text="no", traceback="a long story")
OUTPUT = Done(msgspec.Raw(b'{"sum":3}'))
RESULT = Done(msgspec.Raw(b"6"))
RETRY = RetryLater(0.0, BROKEN)
DEAD = GiveUp("max-retries", BROKEN)


class Teller:
    """Does what submitters and workers do."""

    def __init__(self, store: RunStore) -> None:
        self.store = store

    async def open(self, run_id: str = "r1", body: bytes = b"[1,2]", **terms: Any) -> Job:
        """A run that was accepted, by its first job."""
        opened = await self.store.open_run(run_id, "sums", "add", body, terms=Terms(**terms))
        return first_job(
            run_id=run_id,
            pipeline="sums",
            stage="add",
            payload=body,
            accepted_ms=opened.accepted_ms,
            expires_ms=opened.expires_ms,
        )

    def child(self, job: Job, fence: int, stage: str = "double", payload: bytes = b'{"sum":3}') -> Job:
        """The job that follows."""
        return job.following(stage, payload, fence=fence)

    async def claim(self, job: Job, worker: str = "w1", **more: Any) -> Any:
        return await self.store.claim(job, worker=worker, **{"redelivered": False, "lease": 60.0, **more})

    async def decide(
        self, job: Job, outcome: Any, claim: Granted, worker: str = "w1", *, following: str | None = "double"
    ) -> Any:
        request = DecisionRequest(job, outcome, claim, following is None, following)
        (decision,) = (await self.store.exchange([request], (), worker=worker)).decisions
        return decision

    async def do(
        self, job: Job, outcome: Any, worker: str = "w1", *, following: str | None = "double"
    ) -> int:
        """Claims a job and records its outcome; gives the fence."""
        claim = await self.claim(job, worker)
        assert await self.decide(job, outcome, claim, worker, following=following) == "recorded"
        return int(claim.fence)


Story = Callable[[Teller], AsyncIterator[object]]


async def done(teller: Teller) -> AsyncIterator[object]:
    job = await teller.open(tags=("nightly",), rerun_of="r0")
    yield "opened"
    claim = await teller.claim(job)
    yield "claimed"
    await teller.decide(job, OUTPUT, claim)
    yield "decided"
    child = teller.child(job, claim.fence)
    second = await teller.claim(child, "w2")
    yield "claimed again"
    await teller.decide(child, RESULT, second, "w2", following=None)
    yield "completed"


async def three_stages(teller: Teller) -> AsyncIterator[object]:
    job = await teller.open()
    child = teller.child(job, await teller.do(job, OUTPUT))
    third = teller.child(child, await teller.do(child, OUTPUT, following="halve"), "halve")
    yield "two done"
    await teller.do(third, RESULT, following=None)
    yield "completed"


async def renewed(teller: Teller) -> AsyncIterator[object]:
    job = await teller.open()
    child = teller.child(job, await teller.do(job, OUTPUT))
    claim = await teller.claim(child)
    assert await teller.store.renew(child, fence=claim.fence, lease=60.0)
    yield "renewed"
    await teller.decide(child, RESULT, claim, following=None)
    yield "completed"


async def retried(teller: Teller) -> AsyncIterator[object]:
    job = await teller.open()
    await teller.do(job, RETRY)
    yield "retrying"
    again = job.again()
    claim = await teller.claim(again)
    yield "second attempt"
    await teller.decide(again, RESULT, claim, following=None)
    yield "completed"


async def in_an_outage(teller: Teller) -> AsyncIterator[object]:
    job = await teller.open()
    for _ in range(3):
        await teller.do(job, RetryLater(0.0, BROKEN, counted=False))
        yield "away"
    claim = await teller.claim(job)
    yield "back"
    await teller.decide(job, RESULT, claim, following=None)
    yield "completed"


async def dead_and_redriven(teller: Teller) -> AsyncIterator[object]:
    first = await teller.open()
    job = teller.child(first, await teller.do(first, OUTPUT))
    await teller.do(job, DEAD)
    yield "dead"
    again = await teller.store.redrive(job)
    assert isinstance(again, Job)
    yield "to be redriven"
    await teller.store.mark_redriven(again)
    yield "redriven"
    await teller.do(again, RESULT, following=None)
    yield "completed"


async def cancelled_while_queued(teller: Teller) -> AsyncIterator[object]:
    job = await teller.open()
    await teller.store.cancel("r1", Failure(kind="Cancelled", text="by ada"))
    yield "cancelled"
    await teller.claim(job)
    yield "claimed in vain"


async def cancelled_while_running(teller: Teller) -> AsyncIterator[object]:
    first = await teller.open()
    job = teller.child(first, await teller.do(first, OUTPUT))
    claim = await teller.claim(job)
    await teller.store.cancel("r1")
    yield "cancelled"
    assert await teller.decide(job, OUTPUT, claim) == "over"
    yield "decided in vain"


async def expired(teller: Teller) -> AsyncIterator[object]:
    accepted = await teller.open(expires_in=0.001)
    assert accepted.expires_ms is not None
    first = msgspec.structs.replace(accepted, expires_ms=None)  # a message that names no end is never late
    child = teller.child(first, await teller.do(first, OUTPUT))
    await passed(teller.store, accepted.expires_ms)
    await teller.claim(msgspec.structs.replace(child, expires_ms=accepted.expires_ms))
    yield "expired"


async def delayed(teller: Teller) -> AsyncIterator[object]:
    job = await teller.open(delay_s=60.0)
    yield "opened"
    await teller.do(job, RESULT, following=None)
    yield "completed"


async def rejected(teller: Teller) -> AsyncIterator[object]:
    await teller.open()
    await teller.store.reject_run("r1", BROKEN)
    yield "rejected"
    job = await teller.open()
    yield "accepted after all"
    await teller.claim(job)
    yield "claimed"


async def submitted_twice(teller: Teller) -> AsyncIterator[object]:
    await teller.open()
    job = await teller.open()
    yield "opened twice"
    await teller.do(job, RESULT, following=None)
    await teller.open()
    yield "and once more"


async def handed_back(teller: Teller) -> AsyncIterator[object]:
    job = await teller.open()
    claim = await teller.claim(job)
    await teller.store.release(job, fence=claim.fence, worker="w1")
    yield "handed back"
    await teller.do(job, RESULT, "w2", following=None)
    yield "completed"


async def with_values_and_progress(teller: Teller) -> AsyncIterator[object]:
    job = await teller.open()
    claim = await teller.claim(job)
    await teller.store.report("r1", Progress(stage="add", done=0.5, note="half"))
    yield "half"
    for number in (1, 2):
        value = b'{"number":%d}' % number
        assert await teller.store.keep_value(job.id, "r1", "add", 1, claim.fence, "w1", number, value)
        yield "a value"
    await teller.decide(job, RESULT, claim, following=None)
    yield "completed"


async def taken_over_until_it_is_a_suspect(teller: Teller) -> AsyncIterator[object]:
    first = await teller.open()
    job = teller.child(first, await teller.do(first, OUTPUT))
    for worker in ("w1", "w2", "w3"):
        claim = await teller.claim(job, worker, redelivered=True)
        yield worker
    assert claim.suspect
    await teller.store.begin(job, fence=claim.fence, worker="w3")
    yield "begun"
    await teller.store.mark_survived(job, worker="w2")
    await teller.decide(job, DEAD, claim, "w3")
    yield "dead"


async def with_references(teller: Teller) -> AsyncIterator[object]:
    at = await teller.store.payloads.put("r1", b"[1, 2]")
    opened = await teller.store.open_run("r1", "sums", "add", b"null", reference=at)
    job = first_job(
        run_id="r1",
        pipeline="sums",
        stage="add",
        payload=b"null",
        accepted_ms=opened.accepted_ms,
        reference=at,
    )
    yield "opened"
    await teller.do(job, Done(msgspec.Raw(b"null"), reference=at), following=None)
    yield "completed"


async def waiting_for_a_lock(teller: Teller) -> AsyncIterator[object]:
    holder = await teller.open("r2")
    held = await teller.claim(holder, "w2", lock="one")
    await passed(teller.store, holder.accepted_ms)  # of two runs of one moment either is the newest
    first = await teller.open()
    job = teller.child(first, await teller.do(first, OUTPUT))
    for _ in range(2):
        await teller.claim(job, lock="one")
        yield "waits"
    await teller.decide(holder, RESULT, held, "w2", following=None)
    claim = await teller.claim(job, lock="one")
    yield "has it"
    await teller.decide(job, RESULT, claim, following=None)
    yield "completed"


async def claimed_again_with_a_lock(teller: Teller) -> AsyncIterator[object]:
    """As after a reply that was lost: the lock stays as long as the claim, and is asked for where another has it by now."""
    other = await teller.open("r2")
    await passed(teller.store, other.accepted_ms)
    job = await teller.open()
    first = await teller.claim(job, lease=0.0, lock="one")
    again = await teller.claim(job, lock="one")
    assert (again.fence, again.starts) == (first.fence, 1)
    assert isinstance(await teller.claim(other, "w2", lock="one"), Locked)
    yield "has it"
    await teller.claim(job, lease=0.0, lock="one")
    held = await teller.claim(other, "w2", lock="one")
    assert isinstance(held, Granted)
    assert isinstance(await teller.claim(job, lock="one"), Locked)
    assert await teller.decide(job, OUTPUT, again) in ("stale", "unlocked")
    yield "waits"
    await teller.decide(other, RESULT, held, "w2", following=None)
    await teller.decide(job, RESULT, await teller.claim(job, lock="one"), following=None)
    yield "completed"


async def a_chain_in_place(teller: Teller) -> AsyncIterator[object]:
    job = await teller.open()
    claim = await teller.claim(job)
    child = teller.child(job, claim.fence)
    decision = DecisionRequest(job, OUTPUT, claim, last=False, next_stage="double")
    wanted = ClaimRequest(child, redelivered=False, lease=60.0, in_place=True)
    assert (await teller.store.exchange([decision], [], worker="w1")).decisions == ["recorded"]
    (second,) = (await teller.store.exchange([], [wanted], worker="w1")).claims
    assert isinstance(second, Granted)
    yield "goes on in place"
    await teller.decide(child, RESULT, second, following=None)
    yield "completed"


async def restored_from_a_later_job(teller: Teller) -> AsyncIterator[object]:
    job = await teller.open("r2")
    lost = first_job(run_id="r1", pipeline="sums", stage="add", payload=b"1", accepted_ms=job.accepted_ms)
    child = teller.child(lost, 1)
    claim = await teller.claim(child)
    yield "claimed"
    await teller.decide(child, OUTPUT, claim, following="halve")
    third = teller.child(child, claim.fence, "halve")
    last = await teller.claim(third)
    yield "claimed again"
    await teller.decide(third, RESULT, last, following=None)
    yield "completed"


STORIES: list[Story] = [
    done,
    three_stages,
    renewed,
    retried,
    in_an_outage,
    dead_and_redriven,
    cancelled_while_queued,
    cancelled_while_running,
    expired,
    delayed,
    rejected,
    submitted_twice,
    handed_back,
    with_values_and_progress,
    taken_over_until_it_is_a_suspect,
    with_references,
    waiting_for_a_lock,
    claimed_again_with_a_lock,
    a_chain_in_place,
    restored_from_a_later_job,
]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_a_story_reads_the_same_in_both_families(
    store_url: str, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = {}
    for new_runs in (2, 5):
        monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", new_runs)
        async with open_store(store_url, retention=3600) as store:
            read[new_runs] = [await seen(store, step) async for step in story(Teller(store))]
        with Redis.from_url(administrator(store_url)) as client:
            kept = [client.exists(key("r1")) for key in (run_key, packed_run_key)]
            client.flushdb()
        assert kept == [new_runs == 2, new_runs == 5]

    assert read[5] == read[2]


async def seen(store: RunStore, step: object) -> tuple[object, ...]:
    """All that the reader shows of the run after a step of its story, without times."""
    run = await store.get("r1")
    assert run is not None
    line = next(each for each in (await store.page()).runs if each.id == "r1")
    latest = await store.latest("sums")
    assert [event.id for event in run.timeline] == sorted(
        (event.id for event in run.timeline), key=lambda place: [*map(int, place.split("-"))]
    )
    assert line.updated_ms == run.updated_ms
    assert line.finished_ms == run.finished_ms
    assert run.accepted_ms <= run.updated_ms
    return step, timeless(run), timeless_line(line), latest and timeless(latest)


def timeless(run: StoredRun) -> Any:
    return replace(timeless_line(run), timeline=tuple(map(timeless_event, run.timeline)))


def timeless_line(run: Any) -> Any:
    """The run with times as whether there are any."""
    names = ("accepted_ms", "updated_ms", "finished_ms", "due_ms", "expires_ms")
    return replace(run, **{name: int(bool(getattr(run, name))) for name in names if hasattr(run, name)})


def timeless_event(event: Event) -> Event:
    return replace(event, id="", at_ms=0)
