"""Tests the renewal of claims."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from mousetrap.jobs import Delivery, Done, Job, StoreUnreachable
from mousetrap.run_store import Busy, Exchanged, Granted, RunStore
from mousetrap.telemetry import Observer
from mousetrap.worker import WorkerOptions
from mousetrap.worker.attempts import Attempt, Attempts
from mousetrap.worker.claims import Claims
from mousetrap.worker.large_payloads import LargePayloads
from mousetrap.worker.outages import Outages
from support.packed import packed_first
from support.workbench import TIMEOUT_S

LEASE_S = 0.03


class LosingStore:
    """Replies to each renewal, once it may, that another worker has the job."""

    def __init__(self) -> None:
        self.asked, self.replies = asyncio.Event(), asyncio.Event()

    async def renew(self, job: Job, *, fence: int, lease: float) -> bool:
        self.asked.set()
        await self.replies.wait()
        return False


class Lost(Observer):
    """Notes which jobs were lost."""

    def __init__(self) -> None:
        self.run_ids: list[str] = []
        self.some = asyncio.Event()

    def lease_lost(self, job: Job) -> None:
        self.run_ids.append(job.run_id)
        self.some.set()


@pytest.mark.parametrize("refused", [False, True])
async def test_an_attempt_whose_outcome_the_store_refused_is_not_stopped_as_well(refused: bool) -> None:
    store, lost = LosingStore(), Lost()
    attempts = Attempts(cast(RunStore, store), [], LEASE_S, lost)
    first, second = claimed(attempts, "r1"), claimed(attempts, "r2")
    renewing = asyncio.create_task(attempts.renew_leases())
    await asyncio.wait_for(store.asked.wait(), TIMEOUT_S)

    if refused:
        claims_of(store).recorded(first, Done(msgspec.Raw(b"1")), "stale")
    store.replies.set()
    await asyncio.wait_for(lost.some.wait(), TIMEOUT_S)

    renewing.cancel()
    assert (first.lost, second.lost) == (not refused, True)
    assert lost.run_ids == (["r2"] if refused else ["r1", "r2"])


class BusyStore:
    """Loses so many replies, and then has the job with another worker."""

    def __init__(self, lost: int) -> None:
        self.lost, self.survived = lost, list[str]()

    async def exchange(self, decisions: Any, claims: Any, *, worker: str) -> Exchanged:
        if self.lost:
            self.lost -= 1
            raise StoreUnreachable("no reply")
        return Exchanged([], [Busy(1.0)])

    async def mark_survived(self, job: Job, *, worker: str) -> None:
        self.survived.append(worker)


@pytest.mark.parametrize("lost", [0, 1])
async def test_a_worker_lets_the_store_know_that_it_lives_where_it_may_have_had_the_job_that_another_one_has(
    lost: int,
) -> None:
    """A call for each child that is early is a call too many."""
    store = BusyStore(lost)
    attempt = Attempts(cast(RunStore, store), [], LEASE_S, Observer()).begin(
        packed_first("r1"), cast(Delivery, SimpleNamespace(queue="q", redelivered=True))
    )
    assert attempt is not None

    assert isinstance(await claims_of(store).claim(attempt), Busy)

    assert store.survived == lost * ["w"]


def claimed(attempts: Attempts, run_id: str) -> Attempt:
    delivery = cast(Delivery, SimpleNamespace(queue="q"))
    attempt = attempts.begin(packed_first(run_id), delivery)
    assert attempt is not None
    attempt.claim, attempt.fence, attempt.began = Granted(1, 1), 1, 0.0
    return attempt


def claims_of(store: LosingStore | BusyStore) -> Claims:
    options, nothing = WorkerOptions(name="w"), cast(LargePayloads, None)
    return Claims(cast(RunStore, store), options, Outages(), Observer(), nothing)
