"""Wraps queue and store, and reports each point to a trap."""

import asyncio
import time
from collections.abc import Callable, Hashable
from typing import Any

from chaos.calls import Calls
from chaos.claims import Asked
from chaos.ledger import Ledger
from chaos.points import Point, Trap
from mousetrap.jobs import Backlog, Browsed, Delivery, Job, Message, Outcome, Queue, Subscription
from mousetrap.run_store import Claim, Decision, Granted, RunStore


class PointedQueue:
    """As in the protocol Queue."""

    def __init__(self, inner: Queue, trap: Trap) -> None:
        self._inner = inner
        self._trap = trap

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        sending = asyncio.ensure_future(self._inner.publish(queue, message, after=after))
        try:
            if queue.endswith(".dead"):
                await sending
                self._trap.passing(Point.DEAD_LETTER_PUBLISHED)
            elif after > 0:
                await sending
                self._trap.passing(Point.RETRY_PUBLISHED)
            else:
                await self._trap.passing_soon(Point.PUBLISH_SENT)
                await sending
                self._trap.passing(Point.PUBLISHED)
        finally:
            sending.cancel()

    async def consume(self, queue: str, prefetch: int, receive: Callable[[Delivery], None]) -> Subscription:
        def received(delivery: Delivery) -> None:
            self._trap.passing(Point.RECEIVED)
            receive(PointedDelivery(delivery, self._trap))

        return await self._inner.consume(queue, prefetch, received)

    async def count_ready(self, queue: str) -> int:
        return await self._inner.count_ready(queue)

    async def backlog(self, queue: str) -> Backlog:
        return await self._inner.backlog(queue)

    async def browse(self, queue: str, most: int, most_bytes: int) -> Browsed | None:
        return await self._inner.browse(queue, most, most_bytes)

    async def mark(self, queue: str) -> Hashable:
        return await self._inner.mark(queue)

    async def check(self) -> None:
        await self._inner.check()

    async def close(self) -> None:
        await self._inner.close()


class PointedDelivery:
    """As in the protocol Delivery."""

    def __init__(self, inner: Delivery, trap: Trap) -> None:
        self._inner = inner
        self._trap = trap

    @property
    def queue(self) -> str:
        return self._inner.queue

    @property
    def message(self) -> Message:
        return self._inner.message

    @property
    def redelivered(self) -> bool:
        return self._inner.redelivered

    def acknowledge(self) -> bool:
        done = self._inner.acknowledge()
        self._trap.passing(Point.ACKNOWLEDGED)
        # Acknowledgements leave when the loop comes round.
        asyncio.get_running_loop().call_later(0.05, self._trap.passing, Point.ACKNOWLEDGE_FLUSHED)
        return done

    def hand_back(self) -> bool:
        done = self._inner.hand_back()
        self._trap.passing(Point.HANDED_BACK)
        return done


class PointedStore(RunStore):
    """The store that it is given, in all but the points."""

    def __init__(
        self,
        inner: RunStore,
        trap: Trap,
        ledger: Ledger,
        calls: Calls,
        asked: dict[tuple[str, int], float],
    ) -> None:
        self.__dict__.update(inner.__dict__)
        self._trap = trap
        self._ledger = ledger
        self._calls = calls
        #: When this process asked for the claim on a job, by job and fence.
        self._asked = asked

    async def claim(self, job: Job, **how: Any) -> Claim:
        self._trap.passing(Point.VERIFIED)
        asked = time.monotonic()
        claiming = asyncio.ensure_future(self._claim(job, **how))
        await self._trap.passing_soon(Point.CLAIM_SENT)
        claim = await claiming
        if isinstance(claim, Granted):
            self._asked[job.id, claim.fence] = asked
        self._trap.passing(Point.CLAIMED)
        return claim

    async def renew(self, job: Job, *, fence: int, lease: float) -> bool:
        asked_for = Asked("renew", "", job.attempt, fence=fence, lease=lease)
        kept = await self._calls.made(
            asked_for,
            (job.id, job.run_id),
            super().renew(job, fence=fence, lease=lease),
            lambda kept: asked_for._replace(answer="kept" if kept else "lost"),
        )
        self._trap.passing(Point.LEASE_RENEWED)
        return kept

    async def decide(self, job: Job, outcome: Outcome, *, fence: int, worker: str, last: bool) -> Decision:
        asked_for = Asked("decide", worker, job.attempt, fence=fence, outcome=type(outcome).__name__)
        recording = self._calls.made(
            asked_for,
            (job.id, job.run_id),
            super().decide(job, outcome, fence=fence, worker=worker, last=last),
            lambda decision: asked_for._replace(answer=decision),
        )
        deciding = asyncio.ensure_future(recording)
        await self._trap.passing_soon(Point.DECIDE_SENT)
        decided = await deciding
        if decided == "recorded" and job.pipeline == "locked":
            self._ledger.note(
                "recorded",
                run=job.run_id,
                kind="locked",
                stage=job.stage,
                job=job.id,
                attempt=job.attempt,
                fence=fence,
                worker=worker,
            )
        self._trap.passing(Point.DECIDED)
        return decided

    async def release(self, job: Job, *, fence: int, worker: str) -> None:
        asked_for = Asked("release", worker, job.attempt, fence=fence)
        await self._calls.made(
            asked_for,
            (job.id, job.run_id),
            super().release(job, fence=fence, worker=worker),
            lambda _: asked_for._replace(answer="released"),
        )

    async def _claim(self, job: Job, **how: Any) -> Claim:
        asked_for = Asked(
            "claim", how["worker"], job.attempt, redelivered=how["redelivered"], lease=how["lease"]
        )

        def answered(claim: Claim) -> Asked:
            fence = claim.fence if isinstance(claim, Granted) else 0
            return asked_for._replace(answer=type(claim).__name__, granted=fence)

        return await self._calls.made(asked_for, (job.id, job.run_id), super().claim(job, **how), answered)
