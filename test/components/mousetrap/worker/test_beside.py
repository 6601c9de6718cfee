"""Tests an outcome that is recorded beside the publish of what follows."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from mousetrap.handlers import Context
from mousetrap.jobs import (
    Delivery,
    Done,
    Job,
    Message,
    PublishUnconfirmed,
    Queue,
    QueueUnreachable,
    Reference,
    Settled,
    StoreUnreachable,
    Subscription,
    decode,
)
from mousetrap.pipeline import Stage
from mousetrap.run_store import ClaimRequest, DecisionRequest, Exchanged, Granted, RunStore
from mousetrap.shapes import RunState
from mousetrap.telemetry import Observer
from mousetrap.worker import WorkerOptions, WorkerStats
from mousetrap.worker.attempts import Attempt, Attempts
from mousetrap.worker.beside import Beside
from mousetrap.worker.claims import Claims
from mousetrap.worker.endings import Publish
from mousetrap.worker.large_payloads import LargePayloads
from mousetrap.worker.outages import Outages
from support.packed import job_record, packed_child, packed_first
from support.workbench import TIMEOUT_S, Workbench

pytestmark = pytest.mark.own_queues

#: How long an unfinished job stays with a worker that lost it.
LEASE_S = 0.5


class Gate:
    """Holds what passes it until it is opened, and notes that something came."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def passed(self) -> None:
        """Returns once the gate is open."""
        self.reached.set()
        await asyncio.wait_for(self.opened.wait(), TIMEOUT_S)


class LateStore(RunStore):
    """A real store, where the first outcome that is to be recorded waits at a gate."""

    def __init__(self, inner: RunStore) -> None:
        self.__dict__.update(inner.__dict__)
        self.gate = Gate()
        #: What becomes of that call: nothing, or its request or its reply is lost.
        self.loses = ""
        #: The jobs that were asked for, by stage, and the stages whose outcomes came to be recorded.
        self.asked: dict[str, Job] = {}
        self.outcomes: list[str] = []

    async def exchange(
        self, decisions: Sequence[DecisionRequest], claims: Sequence[ClaimRequest], *, worker: str
    ) -> Exchanged:
        self.asked.update({each.job.stage: each.job for each in claims})
        self.outcomes += [each.job.stage for each in decisions]
        is_first = bool(decisions) and not self.gate.reached.is_set()
        if is_first:
            await self.gate.passed()
        if is_first and self.loses == "request":
            raise StoreUnreachable("no answer")
        exchanged = await super().exchange(decisions, claims, worker=worker)
        if is_first and self.loses == "reply":
            raise StoreUnreachable("no answer")
        return exchanged


class LateQueue:
    """A real queue, where the reply to the first post waits at a gate."""

    def __init__(self, inner: Queue) -> None:
        self._inner = inner
        self._passing: set[asyncio.Task[None]] = set()
        self.gate = Gate()
        #: Holds messages that are to come later; it is open.
        self.parking = Gate()
        self.parking.opened.set()
        #: What becomes of that post: nothing, or its request or its reply is lost.
        self.loses = ""
        #: The stages of the jobs that were published, and of the messages that were acknowledged.
        self.published: list[str] = []
        self.acknowledged: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        self.published.append(decode(message.body).stage)
        if after:
            await self.parking.passed()
        await self._inner.publish(queue, message, after=after)

    def post(self, queue: str, message: Message, settled: Settled) -> None:
        self.published.append(decode(message.body).stage)
        if self.gate.reached.is_set():
            self._inner.post(queue, message, settled)
            return
        passing = asyncio.ensure_future(self._passed(queue, message, settled))
        self._passing.add(passing)
        passing.add_done_callback(self._passing.discard)

    async def _passed(self, queue: str, message: Message, settled: Settled) -> None:
        if self.loses != "request":
            await self._inner.publish(queue, message)
        await self.gate.passed()
        settled(PublishUnconfirmed("no confirm") if self.loses else None)

    async def consume(self, queue: str, prefetch: int, receive: Callable[[Delivery], None]) -> Subscription:
        return await self._inner.consume(
            queue, prefetch, lambda delivery: receive(cast(Delivery, NotedDelivery(delivery, self)))
        )


class NotedDelivery:
    """A delivery whose acknowledgement is noted."""

    def __init__(self, inner: Delivery, queue: LateQueue) -> None:
        self._inner = inner
        self._queue = queue

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def acknowledge(self) -> bool:
        self._queue.acknowledged.append(decode(self._inner.message.body).stage)
        return self._inner.acknowledge()


class Counts(WorkerStats):
    """Counts events of the first stage, too."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []
        self._more = asyncio.Event()

    def recorded(self, job: Job, outcome: Any, decision: str) -> None:
        super().recorded(job, outcome, decision)
        if job.stage == "add":
            self._note(decision)

    def published(self, job: Job, queue: str) -> None:
        self._note("published")

    def parked(self, job: Job, queue: str, seconds: float) -> None:
        if job.stage == "add":
            self._note("parked")

    async def until(self, event: str) -> None:
        """Returns once the event has happened."""
        async with asyncio.timeout(TIMEOUT_S):
            while event not in self.events:
                self._more.clear()
                await self._more.wait()

    def _note(self, event: str) -> None:
        self.events.append(event)
        self._more.set()


class Late:
    """A bench whose servers reply late, for runs of wire format 5."""

    def __init__(self, bench: Workbench) -> None:
        self.store, self.queue = LateStore(bench.store), LateQueue(bench.queue)
        self.bench = replace(bench, store=self.store, queue=cast(Queue, self.queue))
        self.stats = Counts()
        #: The stages whose handlers were called, each with the fence that its outcome or its input is of.
        self.calls: list[tuple[str, int]] = []

    async def add(self, number: int, context: Context[None]) -> int:
        """The first stage's handler: what it returns names the fence that it was called under."""
        self.calls.append(("add", context.fence))
        return 100 * context.fence + number

    async def double(self, number: int) -> int:
        """The second stage's: the result names the fence that its input was decided under."""
        self.calls.append(("double", number // 100))
        return number

    @asynccontextmanager
    async def working(self, *stages: str, **options: Any) -> AsyncIterator[Any]:
        """A worker that serves these stages."""
        bound = [self.bench.bind(stage, getattr(self, stage)) for stage in stages]
        async with self.bench.working(*bound, stats=self.stats, lease=LEASE_S, **options) as worker:
            yield worker

    async def under_way(self) -> str:
        """The id of a run whose first outcome has left for both servers, and neither has replied."""
        run_id = await self.bench.submit(b"7")
        await asyncio.wait_for(self.store.gate.reached.wait(), TIMEOUT_S)
        await asyncio.wait_for(self.queue.gate.reached.wait(), TIMEOUT_S)
        assert self.queue.acknowledged == []
        return run_id

    def reply(self, *servers: str) -> None:
        """Has these servers reply."""
        for server in servers:
            (self.store if server == "store" else self.queue).gate.opened.set()

    @property
    def first_job(self) -> Job:
        """The first job that a worker asked for."""
        return self.store.asked["add"]


BOTH = pytest.mark.parametrize("order", [("store", "queue"), ("queue", "store")])
LOST = pytest.mark.parametrize("lost", ["request", "reply"])


@pytest.fixture(autouse=True)
def runs_of_format_5(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", 5)


@BOTH
async def test_a_delivery_is_acknowledged_once_both_servers_have_replied(
    bench: Workbench, order: tuple[str, str]
) -> None:
    late = Late(bench)
    async with late.working("add"):
        run_id = await late.under_way()
        late.reply(order[0])
        # Far more turns of the loop than a reply takes, and the store answers behind it.
        for _ in range(20):
            await late.store.ended([run_id])
        assert late.queue.acknowledged == []
        late.reply(order[1])
        async with late.working("double"):
            run = await bench.ended(run_id)

    assert (run.state, run.result) == (RunState.COMPLETED, 107)
    assert late.queue.acknowledged == ["add", "double"]
    assert late.queue.published == ["add", "double"]
    assert late.stats.events == ["recorded", "published"]
    assert late.stats.done == 2


@BOTH
@LOST
async def test_what_was_recorded_and_may_not_be_published_is_published_again(
    bench: Workbench, order: tuple[str, str], lost: str
) -> None:
    late = Late(bench)
    late.queue.loses = lost
    async with late.working("add", "double"):
        run_id = await late.under_way()
        late.reply(*order)
        run = await bench.ended(run_id)

    assert (run.result, late.calls.count(("add", 1))) == (107, 1)
    assert late.queue.published == ["add", "double", "double"]
    assert late.store.outcomes.count("add") == 1
    assert late.stats.events == ["recorded", "published"]


@BOTH
@LOST
async def test_what_was_published_and_may_not_be_recorded_is_recorded_again_and_not_published(
    bench: Workbench, order: tuple[str, str], lost: str
) -> None:
    late = Late(bench)
    late.store.loses = lost
    async with late.working("add", "double"):
        run_id = await late.under_way()
        late.reply(*order)
        run = await bench.ended(run_id)

    assert (run.result, late.calls.count(("add", 1))) == (107, 1)
    assert late.queue.published == ["add", "double"]
    assert late.store.outcomes.count("add") == 2
    assert late.stats.events == ["recorded", "published"]


@BOTH
async def test_an_outcome_that_neither_server_has_taken_is_recorded_and_then_published(
    bench: Workbench, order: tuple[str, str]
) -> None:
    late = Late(bench)
    late.store.loses = late.queue.loses = "request"
    async with late.working("add", "double"):
        run_id = await late.under_way()
        late.reply(*order)
        run = await bench.ended(run_id)

    assert (run.result, late.calls) == (107, [("add", 1), ("double", 1)])
    assert late.stats.events == ["recorded", "published"]


@BOTH
async def test_a_job_that_follows_from_the_outcome_of_a_worker_that_lost_its_claim_is_not_done(
    bench: Workbench, order: tuple[str, str]
) -> None:
    late = Late(bench)
    late.queue.parking.opened.clear()
    async with late.working("add"):
        run_id = await late.under_way()
        job = late.first_job
        taken = await bench.store.claim(job, worker="other", redelivered=True, lease=30.0)
        assert isinstance(taken, Granted)
        async with late.working("double"):
            late.reply(*order)
            await asyncio.wait_for(late.queue.parking.reached.wait(), TIMEOUT_S)
            recorded = await bench.store.decide(
                job,
                Done(msgspec.Raw(b"207")),
                fence=taken.fence,
                worker="other",
                last=False,
                next_stage="double",
            )
            late.queue.parking.opened.set()
            run = await bench.ended(run_id)

    assert (taken.fence, recorded) == (2, "recorded")
    # The message that was parked found the other worker's outcome.
    assert (run.result, late.calls) == (207, [("add", 1), ("double", 2)])
    assert late.stats.events == ["stale", "parked", "published"]


@BOTH
async def test_a_job_that_follows_in_a_run_cancelled_meanwhile_is_not_done(
    bench: Workbench, order: tuple[str, str]
) -> None:
    late = Late(bench)
    async with late.working("add"):
        run_id = await late.under_way()
        await bench.store.cancel(run_id)
        late.reply(*order)
        await late.stats.until("over")
    async with late.working("add", "double", burst=True) as worker:
        await asyncio.wait_for(worker.task, TIMEOUT_S)
    run = await bench.ended(run_id)

    assert (run.state, late.calls) == (RunState.CANCELLED, [("add", 1)])
    assert sorted(late.queue.acknowledged) == ["add", "double"]
    assert late.stats.events == ["over"]


@pytest.mark.parametrize("replied", [(), ("store",), ("queue",)])
async def test_a_worker_that_is_forced_to_stop_meanwhile_leaves_one_outcome(
    bench: Workbench, store_url: str, replied: tuple[str, ...]
) -> None:
    late = Late(bench)
    async with late.working("add") as worker:
        run_id = await late.under_way()
        late.reply(*replied)
        worker.stop.ask()
        worker.stop.ask()
        assert await asyncio.wait_for(worker.task, TIMEOUT_S) is False
    late.reply("store", "queue")
    async with late.working("add", "double"):
        run = await bench.ended(run_id)

    record = job_record(store_url, late.first_job)
    assert record is not None
    assert run.result == 100 * record.fence + 7
    assert [fence for stage, fence in late.calls if stage == "double"] == [record.fence]


async def test_a_stage_that_goes_on_in_place_is_recorded_first(bench: Workbench) -> None:
    late = Late(replace(bench, pipeline=replace(bench.pipeline, in_place=True)))
    async with late.working("add", "double"):
        run_id = await late.bench.submit(b"7")
        await asyncio.wait_for(late.store.gate.reached.wait(), TIMEOUT_S)
        assert not late.queue.gate.reached.is_set()
        late.reply("store")
        run = await bench.ended(run_id)

    assert run.result == 107
    assert late.queue.published == ["add"]


def test_a_message_of_another_outcome_of_the_parent_does_not_go_with_the_attempt() -> None:
    attempts = Attempts(cast(RunStore, None), [], 30.0, Observer())
    parent = packed_first("r1")
    lost, kept = packed_child(parent, fence=1), packed_child(parent, fence=2)

    assert attempts.begin(lost, delivered("q")) is not None
    assert attempts.begin(kept, delivered("q")) is not None
    assert attempts.begin(kept, delivered("q")) is None


def delivered(queue: str) -> Delivery:
    return cast(Delivery, SimpleNamespace(queue=queue))


NEXT = Stage(name="double", queue="doubles", input=int, output=int)
PLAIN = Granted(1, 1, record=b"R00000001{}")
SMALL = Done(msgspec.Raw(b"2"))


@pytest.mark.parametrize(
    ("claim", "outcome", "next_stage", "away", "beside"),
    [
        (PLAIN, SMALL, NEXT, False, True),
        (PLAIN, SMALL, None, False, False),
        (PLAIN, SMALL, NEXT, True, False),
        (Granted(1, 1), SMALL, NEXT, False, False),
        (PLAIN, Done(msgspec.Raw(b'"%b"' % (b"x" * 65_000))), NEXT, False, False),
        (
            PLAIN,
            Done(msgspec.Raw(b"null"), reference=Reference(key="r1/1", sha256="0" * 64, size=70_000)),
            NEXT,
            False,
            False,
        ),
    ],
    ids=["usual", "last stage", "outage", "no plain claim", "large", "put"],
)
async def test_a_record_is_first_where_anything_is_unusual(
    claim: Granted, outcome: Done, next_stage: Stage | None, away: bool, beside: bool
) -> None:
    outages, store = Outages(), cast(RunStore, SimpleNamespace(keep=65_536))
    claims = Claims(store, WorkerOptions(name="w"), outages, Observer(), cast(LargePayloads, None))
    job = packed_first("r1")
    attempt = Attempt(job, "adds", None, next_stage, [], claim=claim, fence=1)
    waiting = asyncio.ensure_future(
        outages.retry_until_up("publish", away_until_cancelled if away else there)
    )
    await asyncio.sleep(0)

    found = claims.beside(attempt, outcome)

    waiting.cancel()
    assert found == (Beside(Publish(packed_child(job, 1, b"2"), "doubles")) if beside else None)


async def there() -> None:
    """A call that goes well."""


async def away_until_cancelled() -> None:
    raise QueueUnreachable("away")
