"""Wraps queue and store, and reports each point to a trap."""

import asyncio
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import UnsetType

from chaos.calls import Calls
from chaos.claims import Asked
from chaos.ledger import Ledger
from chaos.points import FanPoint, Point, Trap
from chaos.workload import CHILDREN_QUEUES, JOIN_QUEUES, REPEATED
from mousetrap.jobs import (
    Backlog,
    Browsed,
    Delivery,
    Done,
    Job,
    Message,
    MousetrapError,
    Queue,
    Reference,
    Settled,
    Subscription,
    decode,
)
from mousetrap.payloads import Data, Payloads
from mousetrap.run_store import (
    Claim,
    ClaimRequest,
    Decision,
    DecisionRequest,
    Exchanged,
    Fired,
    Granted,
    RunStore,
)
from mousetrap.run_store.records import is_packed

#: The points of a publish to the queues of children and of joins.
_PUBLISHING: dict[str, tuple[str, str]] = {
    **dict.fromkeys(CHILDREN_QUEUES, (FanPoint.CHILD_SENT, FanPoint.CHILD_PUBLISHED)),
    **dict.fromkeys(JOIN_QUEUES, (FanPoint.JOIN_SENT, FanPoint.JOIN_PUBLISHED)),
}


class PointedQueue:
    """As in the protocol Queue."""

    def __init__(self, inner: Queue, trap: Trap) -> None:
        self._inner = inner
        self._trap = trap
        self._posting: set[asyncio.Task[None]] = set()

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
                sent, published = _PUBLISHING.get(queue, (Point.PUBLISH_SENT, Point.PUBLISHED))
                await self._trap.passing_soon(sent)
                await sending
                self._trap.passing(published)
        finally:
            sending.cancel()

    def post(self, queue: str, message: Message, settled: Settled) -> None:
        confirmed: asyncio.Future[MousetrapError | None] = asyncio.get_running_loop().create_future()
        if queue in CHILDREN_QUEUES and decode(message.body).fans[-1].index % REPEATED == 0:
            for _ in range(2):
                self._inner.post(queue, message, lambda error: None)
        self._inner.post(queue, message, confirmed.set_result)
        sent, published = _PUBLISHING.get(queue, (Point.PUBLISH_SENT, Point.PUBLISHED))
        passing = asyncio.ensure_future(self._passed(confirmed, settled, sent, published))
        self._posting.add(passing)
        passing.add_done_callback(self._posting.discard)

    async def _passed(
        self,
        confirmed: "asyncio.Future[MousetrapError | None]",
        settled: Settled,
        sent: str,
        published: str,
    ) -> None:
        await self._trap.passing_soon(sent)
        error = await confirmed
        if error is None:
            self._trap.passing(published)
        settled(error)

    async def consume(self, queue: str, prefetch: int, receive: Callable[[Delivery], None]) -> Subscription:
        def received(delivery: Delivery) -> None:
            self._trap.passing(Point.RECEIVED)
            receive(PointedDelivery(delivery, self._trap))

        return await self._inner.consume(queue, prefetch, received)

    async def count_ready(self, queue: str) -> int:
        return await self._inner.count_ready(queue)

    async def backlog(self, queue: str) -> Backlog:
        return await self._inner.backlog(queue)

    async def backlogs(self, queues: Iterable[str]) -> Mapping[str, Backlog]:
        return await self._inner.backlogs(queues)

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

    @property
    def since_ms(self) -> int:
        return self._inner.since_ms

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


class PointedPayloads(Payloads):
    """The payloads that it is given, in all but the points."""

    def __init__(self, inner: Payloads, trap: Trap, *, put: str, got: str = "") -> None:
        self.__dict__.update(inner.__dict__)
        self._trap = trap
        self._put, self._got = put, got

    async def put(self, run_id: str, data: Data) -> Reference:
        reference = await super().put(run_id, data)
        self._trap.passing(self._put)
        return reference

    async def get(self, reference: Reference) -> bytes:
        data = await super().get(reference)
        self._trap.passing(self._got)
        return data


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
        self.payloads = PointedPayloads(inner.payloads, trap, put=Point.PAYLOAD_PUT, got=Point.PAYLOAD_READ)
        self._trap = trap
        self._ledger = ledger
        self._calls = calls
        #: When this process asked for the claim on a job, by job and fence.
        self._asked = asked

    async def exchange(
        self, decisions: Sequence[DecisionRequest], claims: Sequence[ClaimRequest], *, worker: str
    ) -> Exchanged:
        for _ in claims:
            self._trap.passing(Point.VERIFIED)
        begun = time.monotonic()
        asked = [
            *(_to_decide(each, worker) for each in decisions),
            *(_to_claim(each, worker) for each in claims),
        ]
        jobs = [each.job for each in decisions] + [each.job for each in claims]
        about = [(job.id, job.run_id) for job in jobs]
        calling = asyncio.ensure_future(
            self._calls.made_together(
                list(zip(asked, about, strict=True)),
                super().exchange(decisions, claims, worker=worker),
                lambda made: _answers(asked, made),
            )
        )
        if claims:
            await self._trap.passing_soon(Point.CLAIM_SENT)
        for each in decisions:
            await self._trap.passing_soon(FanPoint.CLOSE_SENT if _closes(each) else Point.DECIDE_SENT)
        exchanged = await calling
        for decided, decision in zip(decisions, exchanged.decisions, strict=True):
            self._decided(decided, decision, worker)
        for claimed, claim in zip(claims, exchanged.claims, strict=True):
            self._claimed(claimed, claim, begun)
        return exchanged

    def _decided(self, request: DecisionRequest, decision: Decision | MousetrapError, worker: str) -> None:
        if isinstance(decision, MousetrapError):
            return
        job = request.job
        if isinstance(decision, Fired):
            self._trap.passing(FanPoint.FIRED)
        if decision == "recorded" and job.pipeline == "locked":
            self._ledger.note(
                "recorded",
                run=job.run_id,
                kind="locked",
                stage=job.stage,
                job=job.id,
                attempt=job.attempt,
                fence=request.claim.fence,
                worker=worker,
            )
        self._trap.passing(FanPoint.CLOSED if _closes(request) else Point.DECIDED)

    def _claimed(self, request: ClaimRequest, claim: Claim | MousetrapError, asked_at: float) -> None:
        if isinstance(claim, MousetrapError):
            return
        if isinstance(claim, Granted):
            self._asked[request.job.id, claim.fence] = asked_at
        self._trap.passing(Point.CLAIMED)

    async def open_children(self, *about: Any, **how: Any) -> Any:
        opening = asyncio.ensure_future(super().open_children(*about, **how))
        await self._trap.passing_soon(FanPoint.WINDOW_SENT)
        opened = await opening
        self._trap.passing(FanPoint.WINDOW_OPENED)
        return opened

    async def children(self, *about: Any, **how: Any) -> Any:
        page = await super().children(*about, **how)
        self._trap.passing(FanPoint.PAGE_READ)
        return page

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

    async def release(self, job: Job, *, fence: int, worker: str) -> None:
        asked_for = Asked("release", worker, job.attempt, fence=fence)
        await self._calls.made(
            asked_for,
            (job.id, job.run_id),
            super().release(job, fence=fence, worker=worker),
            lambda _: asked_for._replace(answer="released"),
        )


def _closes(request: DecisionRequest) -> bool:
    """Whether it is the outcome of a job with children."""
    outcome = request.outcome
    return isinstance(outcome, Done) and not isinstance(outcome.children, UnsetType)


def _to_decide(request: DecisionRequest, worker: str) -> Asked:
    job, outcome = request.job, type(request.outcome).__name__
    return Asked("decide", worker, job.attempt, fence=request.claim.fence, outcome=outcome)


def _to_claim(request: ClaimRequest, worker: str) -> Asked:
    job = request.job
    asked = Asked("claim", worker, job.attempt, redelivered=request.redelivered, lease=request.lease)
    if not is_packed(job):
        return asked
    if job.fans and job.parent == job.fans[-1].job:
        return asked._replace(
            is_packed=True
        )  # a child begins once it is opened, and on no outcome of its parent
    fence = 0 if isinstance(job.parent_fence, UnsetType) else job.parent_fence
    return asked._replace(is_packed=True, parent=job.parent or "", parent_fence=fence)


def _answers(asked: Sequence[Asked], made: Exchanged) -> Iterator[Asked | None]:
    """What each was answered; None where that is not known."""
    for each, answer in zip(asked, (*made.decisions, *made.claims), strict=True):
        if isinstance(answer, MousetrapError):
            yield None
        elif isinstance(answer, str):
            yield each._replace(answer=answer)
        elif isinstance(answer, Fired):
            yield each._replace(answer="recorded")
        else:
            fence = answer.fence if isinstance(answer, Granted) else 0
            yield each._replace(answer=type(answer).__name__, granted=fence)
