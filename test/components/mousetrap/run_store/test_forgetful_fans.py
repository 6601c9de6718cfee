"""Runs fans against a simulated store that forgets, with workers that die."""

import copy
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import pytest

from mousetrap.jobs import Done, Failure, GiveUp, Job, Outcome, RetryLater, StoreUnreachable
from mousetrap.run_store import (
    Busy,
    ClaimRequest,
    Decided,
    DecisionRequest,
    Fired,
    Granted,
    OpenedFan,
    RunStore,
    Window,
)
from mousetrap.shapes import RunState
from mousetrap.signing import Keyring
from mousetrap.store_client import ReplyError
from mousetrap.testing.simulation.store_server import StoreServer
from support.packed import packed_first

NULL = msgspec.Raw(b"null")
FAILURE = Failure(kind="ValueError", text="no")
DAY_S = 86_400
#: Less than the default of seven days, so that what lives too short shows; more than a day, after which a fan that stands still is
#: given up, and the hours by which messages come late.
RETENTION_S = 3 * DAY_S
#: For each kind of graph the stage of the outer children, and what follows there; `split` opens children of its own.
WAYS = ("square", "halve", "split")
#: After so many fans that were given up for standing still, whose redrive did not help, an operator begins the run once more.
MOST_STALLS = 4
#: Steps of one story: far more than any needs.
MOST_STEPS = 3_000


@pytest.fixture(autouse=True)
def nothing_happens_by_the_clock_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mousetrap.run_store.packed.open_runs._DELAY_S", 1e6)


class Died(Exception):
    """The worker ends here; its message comes again."""


class Client:
    """A connection to the simulated server that loses some replies."""

    is_cluster = False

    def __init__(self, server: StoreServer, loses: Callable[[], bool]) -> None:
        self._server = server
        self._loses = loses

    async def pipeline(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        replies = self._server.replies(commands)
        if self._loses():
            raise ConnectionError("the reply is lost")
        return replies

    async def call(self, *command: Any) -> Any:
        (reply,) = await self.pipeline([command])
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    async def together(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        return await self.pipeline(commands)

    async def close(self) -> None:
        """Nothing is open."""


class Story:
    """One run, its messages, and a worker that takes them in any order."""

    def __init__(self, seed: int, *, dies: bool, forgets: bool = False) -> None:
        self.chance = random.Random(seed)
        self.dies, self.forgets = dies, forgets
        self.now_ms = 1_700_000_000_000
        self.server = StoreServer(lambda: self.now_ms)
        # Of its own, so that a call more or less makes no other story. In one of two hundred a redrive comes between a give-up that
        # fired a fan and the redelivery of its message, and nothing publishes the join any more: none of these.
        losses = random.Random(f"lost replies of {seed}")
        client: Any = Client(self.server, lambda: dies and losses.random() < 0.03)
        self.store = RunStore(client, "simulated", RETENTION_S, 65_536, Keyring({"k1": b"k" * 32}))
        self.way = self.chance.choice(WAYS)
        self.need = self.chance.choice((1.0, 0.5, 2))
        self.counts = {"add": self.chance.randrange(6), "split": self.chance.randrange(4)}
        #: Messages that are not acknowledged, each with whether it was delivered before.
        self.messages: list[tuple[Job, bool]] = []
        self.letters: dict[str, tuple[Job, str]] = {}
        #: Decisions that were taken, by job and generation, and joins that were fired, by fan.
        self.decided: Counter[tuple[str, int]] = Counter()
        self.fired: Counter[Fired] = Counter()
        self.doomed: dict[str, bool] = {}
        self.kept: Any = None
        self.has_completed = self.has_forgotten = False
        self.stalls = 0
        #: Steps since the last claim that was granted.
        self.idle = 0
        #: Whether it is a worker that acts, and no submitter or operator.
        self.works = False

    # The world

    def may_die(self) -> None:
        if self.dies and self.works and self.chance.random() < 0.06:
            raise Died

    def publish(self, job: Job) -> None:
        self.messages.append((job, False))
        if self.dies and self.chance.random() < 0.05:
            self.messages.append((job, False))

    def save(self) -> None:
        """What a replica has."""
        server = self.server
        self.kept = copy.deepcopy((server._keys, server._ends, server._last_entry))

    def forget(self) -> None:
        """The replica takes over."""
        server = self.server
        server._keys, server._ends, server._last_entry = copy.deepcopy(self.kept)

    async def asked(self, call: Callable[..., Awaitable[Any]], *args: Any, **more: Any) -> Any:
        """The reply, once one is not lost."""
        while True:
            try:
                return await call(*args, **more)
            except StoreUnreachable:
                self.may_die()

    # The worker

    async def run(self) -> None:
        opened = await self.asked(self.store.open_run, "r1", "sums", "add", b"[]")
        self.publish(packed_first("r1", accepted_ms=opened.accepted_ms))
        self.save()
        for _ in range(MOST_STEPS):
            if self.is_over():
                return
            if not self.messages or (self.letters and self.chance.random() < 0.1):
                await self.redrive()
            else:
                await self.step()
        raise AssertionError(f"it does not end: {self.messages}, {self.letters}")

    def is_over(self) -> bool:
        """Nothing is left to do, or an operator could only begin the run once more."""
        reasons = {reason for _, reason in self.letters.values()}
        in_vain = reasons == {"fan-forgotten"} or self.stalls > MOST_STALLS
        return not self.messages and (not reasons or in_vain)

    async def step(self) -> None:
        place = self.chance.randrange(len(self.messages))
        job, redelivered = self.messages[place]
        self.messages[place] = (job, True)
        self.now_ms += self.chance.choice((1, 1_000, 20_000))
        if self.idle > len(self.messages):  # all that is left waits: its messages come late
            self.now_ms += 8 * 3_600_000
        if self.forgets and self.chance.random() < 0.04:
            self.forgets, self.has_forgotten = False, True
            self.forget()
        elif self.chance.random() < 0.2:
            self.save()
        self.works = True
        self.idle += 1
        try:
            is_done = await self.take(job, redelivered)
            self.may_die()
        except Died:
            return
        finally:
            self.works = False
        if is_done:
            self.messages.remove((job, True))

    async def take(self, job: Job, redelivered: bool) -> bool:
        """Whether the message is acknowledged."""
        request = ClaimRequest(job, redelivered, 60.0, gathers=job.stage in ("sum", "sum_inner"))
        claim = await self.asked(self.claim, request, f"w{self.chance.randrange(3)}")
        if isinstance(claim, Busy):
            return False
        if isinstance(claim, Decided):
            return await self.act(job, claim.outcome, claim.fence, claim.fired, claim.waits_s)
        if not isinstance(claim, Granted):
            return True
        self.idle = 0
        self.may_die()
        outcome = await self.handled(job, claim)
        if isinstance(outcome, bool):
            return outcome
        reply = await self.asked(self.exchange, self.request(job, claim, outcome))
        if reply in ("stale", "unlocked"):
            return False
        if reply == "over":
            return True
        self.has_completed = self.has_completed or (job.stage == "sum" and isinstance(outcome, Done))
        if not isinstance(outcome, RetryLater):
            self.decided[job.id, job.generation] += 1
        self.may_die()
        return await self.act(
            job, outcome, claim.fence, reply if isinstance(reply, Fired) else None, waits_s=0.0
        )

    async def claim(self, request: ClaimRequest, worker: str) -> Any:
        (reply,) = (await self.store.exchange((), [request], worker=worker)).claims
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def exchange(self, request: DecisionRequest) -> Any:
        (reply,) = (await self.store.exchange([request], (), worker="w")).decisions
        if isinstance(reply, Exception):
            raise reply
        return reply

    def request(self, job: Job, claim: Granted, outcome: Outcome) -> DecisionRequest:
        following, joins = self.follower(job)
        more: dict[str, Any] = {"joins": joins}
        if isinstance(outcome, Done) and outcome.opens is not None:
            more = {"need": self.need_of(job), "join": following}
        return DecisionRequest(job, outcome, claim, job.stage == "sum", following, **more)

    def follower(self, job: Job) -> tuple[str | None, bool]:
        """The stage that follows, and whether a way ends before it."""
        follows = {
            "add": ("sum", False),
            "split": ("sum_inner", False),
            "halve": ("square", False),
            "leaf": ("sum_inner", True),
            "sum": (None, False),
        }
        return follows.get(job.stage, ("sum", True))

    def need_of(self, job: Job) -> float:
        return self.need if job.stage == "add" else 1.0

    async def handled(self, job: Job, claim: Granted) -> Outcome | bool:
        if job.stage in self.counts:
            return await self.opened(job, claim, self.counts[job.stage])
        if job.stage in ("sum", "sum_inner"):
            return await self.joined(job)
        if self.chance.random() < 0.1:
            return RetryLater(0.0, FAILURE)
        doomed = self.doomed.setdefault(job.id, self.chance.random() < 0.15)
        return GiveUp("no", FAILURE) if doomed and job.generation == 0 else Done(msgspec.Raw(job.payload))

    async def opened(self, job: Job, claim: Granted, count: int) -> Outcome | bool:
        stage, sent, confirmed = "leaf" if job.stage == "split" else self.way, 0, 0
        following, _ = self.follower(job)
        while sent < count:
            window = Window(min(count, sent + 2), confirmed, need=self.need_of(job), join=str(following))
            reply = await self.asked(self.store.open_children, job, claim.fence, window, worker="w")
            if not isinstance(reply, OpenedFan):
                return bool(reply == "over")
            for index in range(max(sent, reply.confirmed), window.opened):
                self.may_die()
                self.publish(job.child(stage, b"%d" % index, index=index, fence=claim.fence))
            sent = confirmed = window.opened
        return Done(NULL, children=count)

    async def joined(self, job: Job) -> Outcome:
        """What the join of a fan makes of it."""
        total = msgspec.json.decode(job.payload)["total"]
        found = await self.asked(self.store.children, "r1", str(job.parent), 0, 256)
        forgotten = [it for it in found if it.state == "open" or (it.state == "done" and it.outcome is None)]
        if len(found) < total or forgotten:
            assert self.has_forgotten
            return GiveUp("fan-forgotten", FAILURE)
        return Done(msgspec.Raw(b"%d" % total))

    async def act(
        self, job: Job, outcome: Outcome, fence: int, fired: Fired | None, waits_s: float | None
    ) -> bool:
        if isinstance(outcome, RetryLater):
            self.publish(job.again())
            return True
        if isinstance(outcome, GiveUp):
            self.letters[job.id] = (job, outcome.reason)
        if fired is not None:
            self.may_die()
            self.fired[fired] += 1
            counts = msgspec.json.encode({"total": fired.total, "done": fired.done, "lost": fired.lost})
            self.publish(job.joined(fired.join, counts, fan=fired.fan_job, fence=fired.fence))
            return True
        following, joins = self.follower(job)
        if isinstance(outcome, Done) and outcome.opens is not None:
            return waits_s is None or (waits_s > DAY_S and await self.stalled(job))
        if isinstance(outcome, Done) and following and not joins:
            self.publish(job.following(following, bytes(outcome.output), fence=fence))
        return True

    async def stalled(self, job: Job) -> bool:
        why = GiveUp("fan-stalled", FAILURE)
        self.stalls += 1
        reply = await self.asked(self.store.give_up_fan, job, why, worker="w")
        self.may_die()
        fired = reply if isinstance(reply, Fired) else None
        if fired or reply == "recorded":
            return await self.act(job, why, 0, fired, None)
        return bool(reply == "over")

    async def redrive(self) -> None:
        """What an operator does with the dead letters of a run that has failed."""
        job, _ = self.letters.pop(self.chance.choice(sorted(self.letters)))
        again = await self.asked(self.store.redrive, job)
        if isinstance(again, Job):
            self.publish(again)
            await self.asked(self.store.mark_redriven, again)
        elif again == "busy":
            self.now_ms += 60_000
            self.letters[job.id] = (job, "no")

    async def state(self) -> RunState | None:
        run = await self.asked(self.store.get, "r1")
        return run.state if run else None


async def through(seed: int, **faults: bool) -> Story:
    story = Story(seed, **faults)
    await story.run()
    await story.store.close()
    return story


@pytest.mark.parametrize("dies", [False, True], ids=["", "workers die"])
async def test_every_fan_is_joined_once_and_each_child_counts_once(dies: bool) -> None:
    for seed in range(40):
        story = await through(seed, dies=dies, forgets=False)

        assert await story.state() is RunState.COMPLETED, seed
        assert max(story.decided.values()) == 1, seed
        assert len({fired.fan_job for fired in story.fired}) == len(story.fired), seed
        assert all(fired.done + fired.lost == fired.total for fired in story.fired), seed


async def test_with_a_store_that_forgets_every_fan_ends_all_the_same() -> None:
    ends: Counter[Any] = Counter()
    for seed in range(100):
        story = await through(seed, dies=True, forgets=True)

        state = await story.state()
        # An end that is forgotten stays so, as that of a chain does.
        end = RunState.COMPLETED if story.has_completed else state
        ends[end] += 1
        assert end in (RunState.COMPLETED, RunState.FAILED), (seed, state)
    assert ends[RunState.COMPLETED] > 80, ends
