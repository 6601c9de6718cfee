"""Tests that a packed run's timeline only grows, whatever happens between reads."""

from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from mousetrap.jobs import Done, Failure, GiveUp, Job, RetryLater, first_job
from mousetrap.run_store import ClaimRequest, DecisionRequest, Granted, RunStore
from mousetrap.run_store.packed.timeline import order
from mousetrap.shapes import Event
from mousetrap.testing.simulation.clock import EPOCH_MS, SimulatedLoop
from mousetrap.testing.simulation.process import EventLog, Process
from mousetrap.testing.simulation.store_client import Store, StoreClient
from mousetrap.testing.simulation.store_server import StoreServer

NEXT = {"add": "double", "double": "halve", "halve": None}
BROKEN = Failure(kind="ValueError", text="no")
#: What may happen to a run, the usual more often.
ACTIONS = (
    *("have",) * 6,
    *("done",) * 6,
    *("read",) * 4,
    *("retry", "away", "die", "redrive", "renew", "yield", "release", "lock", "take over"),
    *("repeat the decision", "claim the first job again", "claim a large output", "cancel"),
)
steps = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.sampled_from(("w1", "w2")), st.sampled_from((0, 0, 1, 3, 9))),
    min_size=5,
    max_size=40,
)


@pytest.fixture(autouse=True)
def new_runs_are_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", 5)


class Played:
    """One run, the workers that have its jobs, and one that follows it."""

    def __init__(self, loop: SimulatedLoop, skews: tuple[int, int]) -> None:
        self.now_ms = EPOCH_MS
        server = StoreServer(lambda: self.now_ms)
        process = Process("test", loop, EventLog(loop), 0.001)
        client: Any = StoreClient(Store(server, {}, lambda *_: None), process)
        self._stores = {name: RunStore(client, name, 3_600.0, 20) for name in ("w1", "w2", "reader")}
        for name, skew in zip(("w1", "w2"), skews, strict=True):
            self._stores[name]._sender.now_ms = partial(self._behind, skew)  # type: ignore[method-assign]
        self._reader = self._stores["reader"]
        self._claim: tuple[str, Granted] | None = None
        self._decided: tuple[str, DecisionRequest] | None = None
        self._values = 0
        self._seen: tuple[Event, ...] = ()
        self._followed: list[Event] = []

    def _behind(self, skew: int) -> int:
        return self.now_ms - skew

    async def open(self) -> None:
        await self._stores["w1"].open_run("r1", "sums", "add", b"1")
        self._first = first_job(
            run_id="r1", pipeline="sums", stage="add", payload=b"1", accepted_ms=self.now_ms
        )
        self.job = self._first

    async def do(self, action: str, worker: str) -> None:
        """The action, where it can be done now; then the timeline has what it had, perhaps with more after it."""
        await getattr(self, f"_{action.replace(' ', '_')}")(self._stores[worker], worker)
        run = await self._reader.get("r1")
        assert run is not None
        assert run.timeline[: len(self._seen)] == self._seen
        assert not run.unreadable
        self._seen = run.timeline

    async def _read(self, *given: object) -> None:
        """What a watcher does that has been away."""
        after = self._followed[-1].id if self._followed else "0"
        news = await self._reader._read_after("r1", after, None)
        self._followed.extend(news.events)

    async def ended(self) -> None:
        await self._read()
        ids = [order(event.id) for event in self._seen]
        assert ids == sorted(set(ids))
        assert self._followed == list(self._seen)

    async def _claim_it(self, store: RunStore, worker: str, job: Job, **more: Any) -> None:
        request = ClaimRequest(job, **{"redelivered": False, "lease": 30.0, **more})
        (claim,) = (await store.exchange((), [request], worker=worker)).claims
        if isinstance(claim, Granted):
            self._claim, self._values = (worker, claim), 0

    async def _decide_it(self, outcome: Any) -> str:
        if self._claim is None:
            return ""
        worker, claim = self._claim
        following = NEXT[self.job.stage]
        request = DecisionRequest(self.job, outcome, claim, following is None, following)
        self._claim, self._decided = None, (worker, request)
        (decision,) = (await self._stores[worker].exchange([request], (), worker=worker)).decisions
        return str(decision)

    async def _have(self, store: RunStore, worker: str) -> None:
        await self._claim_it(store, worker, self.job)

    async def _take_over(self, store: RunStore, worker: str) -> None:
        await self._claim_it(store, worker, self.job, redelivered=True)

    async def _lock(self, store: RunStore, worker: str) -> None:
        await self._claim_it(store, worker, self.job, lock="one")

    async def _done(self, *_: object) -> None:
        if self._claim is None:
            return
        fence, job = self._claim[1].fence, self.job
        decision = await self._decide_it(Done(msgspec.Raw(b"2")))
        if decision == "recorded" and (stage := NEXT[job.stage]):
            self.job = job.following(stage, b"2", fence=fence)

    async def _claim_a_large_output(self, store: RunStore, worker: str) -> None:
        if self._claim is None or (stage := NEXT[self.job.stage]) is None:
            return
        fence, job, large = self._claim[1].fence, self.job, b'"%b"' % (b"x" * 40)
        if await self._decide_it(Done(msgspec.Raw(large))) == "recorded":
            self.job = job.following(stage, large, fence=fence)
            await self._claim_it(store, worker, self.job)

    async def _repeat_the_decision(self, *_: object) -> None:
        if self._decided is not None:
            worker, request = self._decided
            await self._stores[worker].exchange([request], (), worker=worker)

    async def _claim_the_first_job_again(self, store: RunStore, worker: str) -> None:
        if self.job.id != self._first.id:
            await store.claim(self._first, worker=worker, redelivered=True, lease=30.0)

    async def _retry(self, *_: object) -> None:
        if await self._decide_it(RetryLater(0.0, BROKEN)) == "recorded":
            self.job = self.job.again()

    async def _away(self, *_: object) -> None:
        await self._decide_it(RetryLater(0.0, BROKEN, counted=False))

    async def _die(self, *_: object) -> None:
        await self._decide_it(GiveUp("max-retries", BROKEN))

    async def _redrive(self, store: RunStore, _: str) -> None:
        again = await store.redrive(self.job)
        if isinstance(again, Job):
            self.job, self._claim = again, None
            await store.mark_redriven(again)

    async def _renew(self, *_: object) -> None:
        if self._claim is not None:
            worker, claim = self._claim
            await self._stores[worker].renew(self.job, fence=claim.fence, lease=30.0)

    async def _yield(self, *_: object) -> None:
        if self._claim is not None:
            worker, claim = self._claim
            self._values += 1
            await self._stores[worker].keep_value(
                self.job.id, "r1", self.job.stage, self.job.attempt, claim.fence, worker, self._values, b"1"
            )

    async def _release(self, *_: object) -> None:
        if self._claim is not None:
            (worker, claim), self._claim = self._claim, None
            await self._stores[worker].release(self.job, fence=claim.fence, worker=worker)

    async def _cancel(self, store: RunStore, _: str) -> None:
        await store.cancel("r1")


def played(happened: list[tuple[str, str, int]], skews: tuple[int, int]) -> Played:
    loop = SimulatedLoop()

    async def play() -> Played:
        run = Played(loop, skews)
        await run.open()
        for action, worker, milliseconds in happened:
            run.now_ms += milliseconds
            await run.do(action, worker)
        await run.ended()
        return run

    try:
        return loop.run_until_complete(play())
    finally:
        loop.close()


# A list of actions is short enough to be read as it is.
@settings(max_examples=200, derandomize=True, database=None, phases=(Phase.generate,))
@given(happened=steps, skews=st.tuples(st.sampled_from((0, 2, 5)), st.sampled_from((0, 1))))
def test_each_event_is_read_once_and_keeps_its_id(
    happened: list[tuple[str, str, int]], skews: tuple[int, int]
) -> None:
    played(happened, skews)
