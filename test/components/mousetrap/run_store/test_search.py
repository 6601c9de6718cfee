"""Tests that each pair of filters finds the runs that match."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import fields
from itertools import combinations
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mousetrap.jobs import Done, Failure, GiveUp, Job, MousetrapError, RetryLater, StoreUnreachable, first_job
from mousetrap.run_store import (
    DecisionRequest,
    Granted,
    OpenedFan,
    RunConflict,
    RunFilter,
    RunStore,
    StoredRun,
    Terms,
    Window,
    open_store,
)
from mousetrap.run_store.keys import HINTS
from mousetrap.shapes import RunState
from mousetrap.store_client import ReplyError
from support.valkey import console, empty, names
from support.valkey_cluster import ON_ONE_CLUSTER, ValkeyCluster

RUNS = ("a1", "ab2", "b3", "b4")
PIPELINES = ("sums", "products")
TAGS = ("nightly", "a:b {c}*?", "ü", "never")
ERRORS = ("Broken", "pkg.errors.Broken", "pkg.Other", "<locals>.é")
#: What a filter may ask for, but for times.
ASKED: dict[str, tuple[Any, ...]] = {
    "pipeline": (*PIPELINES, "unknown"),
    "state": tuple(RunState),
    "stage": ("add", "double", "unknown"),
    "worker": ("w1", "w2"),
    "error": ("Broken", "errors.Broken", "pkg.Other", "Unknown"),
    "tag": TAGS,
    "id": ("a", "ab", "b4", "c"),
    "repaired": (True, False),
}

runs, workers = st.sampled_from(RUNS), st.sampled_from(("w1", "w2"))
steps = st.one_of(
    st.tuples(
        st.just("open"),
        runs,
        st.sampled_from(PIPELINES),
        st.lists(st.sampled_from(TAGS[:-1]), max_size=2, unique=True),
        st.sampled_from((None, 0.001, 60.0)),
        st.sampled_from((0.0, 0.0, 30.0)),
    ),
    st.tuples(st.just("rerun"), runs, runs),
    st.tuples(
        st.just("work"), runs, workers, st.sampled_from(("go on", "complete", "fan", "retry", "release"))
    ),
    st.tuples(st.just("fail"), runs, workers, st.sampled_from(ERRORS)),
    st.tuples(st.just("fail"), runs, workers, st.sampled_from(ERRORS)),
    st.tuples(st.just("redrive"), runs),
    st.tuples(st.just("reopen"), runs, workers),
    st.tuples(st.just("cancel"), runs, st.booleans()),
    st.tuples(st.just("reject"), runs),
    st.tuples(st.just("pass"), st.sampled_from((0.3, 0.9))),
    st.tuples(st.just("look"), st.sampled_from((RunState.QUEUED, RunState.RUNNING))),
)
_RETENTION_S = 3 * 86_400
#: Lets a server believe that days have passed: what lives no longer is gone. A record lives for the retention and, of a run that was
#: delayed by 30 s, as much longer. Lua's time stays behind the process's, which sets when a run is due: it would keep such a one
#: for days more, longer than any list.
_PASS = """
for _, key in ipairs(redis.call('KEYS', 'mousetrap:*')) do
  local left = redis.call('PTTL', key)
  if string.find(key, '{', 1, true) then left = math.min(left, tonumber(ARGV[2])) end
  if left >= 0 then redis.call('PEXPIRE', key, left - ARGV[1]) end
end
"""
#: Where a process dies in a step: in which of its calls, and after how many of that call's commands. None where it lives.
deaths = st.none() | st.tuples(st.integers(0, 3), st.integers(0, 12))


class Story:
    """What happened to some runs, each with the messages of its jobs."""

    def __init__(self, store: RunStore, url: str = "") -> None:
        self.store = store
        self.url = url
        self.messages: dict[str, list[Job]] = {}
        self.letters: dict[str, list[Job]] = {}
        self.reruns: dict[str, set[str]] = {}
        self._send: Any = store._client.pipeline
        store._client.pipeline = self._pipeline  # type: ignore[method-assign]
        self._dies: tuple[int, int] | None = None
        self._passed_s = 0
        # The process counts on from the server's time by a clock of its own, which passes as well.
        self.store._sender._time._clock = lambda: asyncio.get_running_loop().time() + self._passed_s

    async def _pipeline(self, commands: Sequence[Any]) -> list[Any]:
        """At the time of the story; Lua's stays that of the server."""
        replies = await self._sent(commands)
        for place, command in enumerate(commands):
            if command == ("TIME",):
                replies[place] = [int(replies[place][0]) + self._passed_s, replies[place][1]]
        return replies

    async def _sent(self, commands: Sequence[Any]) -> list[Any]:
        """The first commands alone where the process dies; in a cluster, whose servers know no order, all or none."""
        if self._dies is None:
            return await self._send(commands)  # type: ignore[no-any-return]
        call, count = self._dies
        self._dies = (call - 1, count)
        if call > 0:
            return await self._send(commands)  # type: ignore[no-any-return]
        if self.store._client.is_cluster:
            count = len(commands) if count % 2 else 0
        await self._send(commands[:count])
        raise ConnectionError("the process has died")

    async def take(self, step: tuple[Any, ...], dies: tuple[int, int] | None) -> None:
        """What a dead process was about to do stays undone: nothing is repeated."""
        self._dies = dies
        act: Callable[..., Awaitable[None]] = getattr(self, f"_{step[0]}")
        with suppress(MousetrapError, OSError):
            await act(*step[1:])
        self._dies = None

    async def _open(
        self,
        run: str,
        pipeline: str,
        tags: list[str],
        expires: float | None,
        delay: float,
        rerun_of: str = "",
    ) -> None:
        terms = Terms(tags=tuple(tags), expires_in=expires, delay_s=delay, rerun_of=rerun_of)
        try:
            opened = await self.store.open_run(run, pipeline, "add", b"[1]", terms=terms)
        except RunConflict:
            return
        times: dict[str, Any] = {"accepted_ms": opened.accepted_ms, "expires_ms": opened.expires_ms}
        self.messages.setdefault(run, []).append(
            first_job(run_id=run, pipeline=pipeline, stage="add", payload=b"[1]", v=5, **times)
        )

    async def _rerun(self, run: str, of: str) -> None:
        new = f"{run}-of-{of}"
        self.reruns.setdefault(of, set()).add(new)
        await self._open(new, "sums", [], None, 0.0, rerun_of=of)
        if run < "b":  # else it stays open
            await self._work(new, "w1", "complete")

    async def _claimed(self, run: str, worker: str) -> tuple[Job, Granted] | None:
        if not (messages := self.messages.get(run)):
            return None
        job = messages[-1]
        claim = await self.store.claim(job, worker=worker, redelivered=True, lease=60.0)
        return (job, claim) if isinstance(claim, Granted) else None

    async def _work(self, run: str, worker: str, how: str) -> None:
        if (held := await self._claimed(run, worker)) is None:
            return
        job, claim = held
        if how == "release":
            await self.store.release(job, fence=claim.fence, worker=worker)
        elif how == "fan":
            await self._fan(job, claim, worker)
        elif how == "retry":
            again = RetryLater(0.0, Failure(kind="Broken", text="no"))
            await self._decide(job, claim, worker, again, None)
            self.messages[run].append(job.again())
        else:
            following = "double" if how == "go on" else None
            if await self._decide(job, claim, worker, Done(msgspec.Raw(b"1")), following) and following:
                self.messages[run].append(job.following(following, b"1", fence=claim.fence))

    async def _fan(self, job: Job, claim: Granted, worker: str) -> None:
        """A child is given up, and the run needs it."""
        window = Window(2, need=1.0, join="sum")
        if not isinstance(await self.store.open_children(job, claim.fence, window, worker=worker), OpenedFan):
            return
        child = job.child("square", b"1", index=0, fence=claim.fence)
        held = await self.store.claim(child, worker=worker, redelivered=False, lease=60.0)
        if isinstance(held, Granted):
            why = GiveUp("no", Failure(kind="pkg.Other", text="no"))
            await self._decide(child, held, worker, why, None, joins=True)
            self.letters.setdefault(job.run_id, []).append(child)

    async def _fail(self, run: str, worker: str, kind: str) -> None:
        if held := await self._claimed(run, worker):
            job, claim = held
            self.letters.setdefault(run, []).append(job)
            await self._decide(job, claim, worker, GiveUp("no", Failure(kind=kind, text="no")), None)

    async def _decide(
        self, job: Job, claim: Granted, worker: str, outcome: Any, following: str | None, **more: Any
    ) -> bool:
        request = DecisionRequest(job, outcome, claim, following is None, following, **more)
        (decision,) = (await self.store.exchange([request], (), worker=worker)).decisions
        return decision == "recorded"

    async def _redrive(self, run: str) -> None:
        for job in self.letters.get(run, [])[-1:]:
            again = await self.store.redrive(job)
            if isinstance(again, Job):
                self.messages.setdefault(run, []).append(again)
                await self.store.mark_redriven(again)

    async def _reopen(self, run: str, worker: str) -> None:
        """A process that redrives dies before it notes that it has published; the claim of the message opens the run again."""
        for job in self.letters.get(run, [])[-1:]:
            again = await self.store.redrive(job)
            if isinstance(again, Job):
                self.messages.setdefault(run, []).append(again)
                await self._claimed(run, worker)

    async def _cancel(self, run: str, with_reason: bool) -> None:
        await self.store.cancel(run, Failure(kind="pkg.Other", text="no") if with_reason else None)

    async def _reject(self, run: str) -> None:
        await self.store.reject_run(run, Failure(kind="Broken", text="no"))

    async def _pass(self, days: float) -> None:
        if not self.store._client.is_cluster:
            self._passed_s += int(days * 86_400)
            with console(self.url) as client:
                client.eval(_PASS, 0, int(days * 86_400_000), (_RETENTION_S + 7200) * 1000)

    async def _look(self, state: RunState) -> None:
        await self.store.page(RunFilter(state=state))

    # The oracle

    async def every_run(self) -> list[StoredRun]:
        """All runs, newest first."""
        named = [*RUNS, *(new for of in self.reruns.values() for new in of)]
        found = [run for run_id in dict.fromkeys(named) if (run := await self.store.get(run_id))]
        return sorted(found, key=lambda run: (run.accepted_ms, run.id), reverse=True)

    def is_repaired(self, run_id: str, states: dict[str, RunState]) -> bool:
        reruns = self.reruns.get(run_id, set())
        return any(states.get(it) == "completed" or self.is_repaired(it, states) for it in reruns)


def matches(run: StoredRun, wanted: RunFilter, repaired: bool) -> bool:
    kind = run.failure.kind if run.failure else ""
    return (
        wanted.pipeline in (None, run.pipeline)
        and wanted.state in (None, run.state)
        and wanted.stage in (None, run.stage)
        and wanted.worker in (None, run.worker)
        and (wanted.error is None or f".{kind}".endswith(f".{wanted.error}"))
        and (wanted.tag is None or wanted.tag in run.tags)
        and (wanted.from_ms or 0) <= run.accepted_ms < (wanted.to_ms or 10**13)
        and run.id.startswith(wanted.id or "")
        and (wanted.repaired is None or (run.state == "failed" and repaired == wanted.repaired))
    )


async def paged(store: RunStore, wanted: RunFilter, limit: int) -> list[str]:
    """All runs that match, page by page."""
    found: list[str] = []
    after: str | None = None
    for _ in range(100):
        page = await store.page(wanted, limit=limit, after=after)
        assert len(page.runs) <= limit
        found += [run.id for run in page.runs]
        after = page.next
        if after is None:
            return found
    raise AssertionError(f"the pages of {wanted} do not end")


async def check(story: Story, choose: Callable[[Sequence[Any]], Any]) -> None:
    """Compares each filter and each pair with brute force over all runs."""
    every = await story.every_run()
    states = {run.id: run.state for run in every}
    times = sorted({run.accepted_ms for run in every}) or [1]
    asked = {**ASKED, "from_ms": (*times, times[-1] + 1), "to_ms": (times[0], *times[1:], times[-1] + 1)}
    singles = [RunFilter(**{name: value}) for name, values in asked.items() for value in values]
    pairs = [
        RunFilter(**{one: choose(asked[one]), other: choose(asked[other])})
        for one, other in combinations([field.name for field in fields(RunFilter)], 2)
    ]
    for wanted in (RunFilter(), *singles, *pairs):
        expected = [run.id for run in every if matches(run, wanted, story.is_repaired(run.id, states))]
        found = await paged(story.store, wanted, choose((1, 3, 200)))
        assert found == expected, (wanted, [(run.id, run.state, run.accepted_ms) for run in every])


def live(url: str, history: list[tuple[Any, Any]], choose: Callable[[Sequence[Any]], Any]) -> None:
    async def run() -> None:
        async with open_store(url, retention=_RETENTION_S) as store:
            story = Story(store, url)
            for step, dies in history:
                await story.take(step, dies)
            await check(story, choose)

    asyncio.run(run())


@pytest.fixture(autouse=True)
def new_runs_are_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", 5)
    monkeypatch.setattr("mousetrap.run_store.packed.open_runs._DELAY_S", 0.0)
    monkeypatch.setattr("mousetrap.run_store.packed.open_runs._RECORDED_WITHIN_MS", 0)


histories = st.lists(st.tuples(steps, deaths), min_size=10, max_size=60)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=histories, seed=st.integers(0, 10**6))
def test_each_filter_and_each_pair_finds_what_brute_force_finds(
    single_url: str, history: list[tuple[Any, Any]], seed: int
) -> None:
    empty(single_url)
    live(single_url, history, random.Random(seed).choice)


#: Lives that go on for days: the lists of a day are there for five.
_DAYS = (("pass", 2.7), None)
long_lives = st.lists(
    st.lists(st.tuples(steps, deaths), min_size=4, max_size=12), min_size=2, max_size=3
).map(lambda parts: [step for part in parts for step in (*part, _DAYS)])


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=long_lives, seed=st.integers(0, 10**6))
def test_so_it_does_where_runs_outlive_the_lists_of_their_days(
    single_url: str, history: list[tuple[Any, Any]], seed: int
) -> None:
    empty(single_url)
    live(single_url, history, random.Random(seed).choice)


def test_a_delayed_run_that_is_opened_after_days_is_listed_for_as_long_as_it_is_kept(single_url: str) -> None:
    empty(single_url)
    delayed: tuple[Any, ...] = ("open", "a1", "sums", [], None, 30.0)
    history = [_DAYS, (delayed, None), (("reject", "a1"), None), _DAYS, _DAYS]

    live(single_url, history, random.Random(0).choice)


def test_a_run_that_expires_days_late_is_listed_for_as_long_as_it_is_kept(single_url: str) -> None:
    empty(single_url)
    opened: tuple[Any, ...] = ("open", "a1", "sums", [], 0.001, 0.0)
    history = [(opened, None), _DAYS, (("work", "a1", "w1", "go on"), None), _DAYS]

    live(single_url, history, random.Random(0).choice)


@ON_ONE_CLUSTER
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=histories, seed=st.integers(0, 10**6))
def test_so_it_does_in_a_cluster(
    valkey_cluster: ValkeyCluster, history: list[tuple[Any, Any]], seed: int
) -> None:
    valkey_cluster.empty()
    live(valkey_cluster.url, history, random.Random(seed).choice)


async def test_a_filter_that_can_match_no_run_reads_nothing(single_url: str) -> None:
    async with open_store(single_url, retention=3600) as store:
        story = Story(store)
        await story.take(("open", "a1", "sums", [], None, 0.0), None)
        story._dies = (0, 0)  # whatever it asks

        page = await store.page(RunFilter(state=RunState.COMPLETED, error="Broken"))

        assert (page.runs, page.next) == ((), None)
        story._dies = None


@pytest.mark.parametrize("lost", ["before this version", "by the store"])
async def test_runs_before_hints_are_found_in_the_lists_of_their_days(
    single_url: str, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", 5 if lost == "by the store" else 2)
    async with open_store(single_url, retention=3 * 86_400) as store:
        await store.open_run("a1", "sums", "add", b"[1]", terms=Terms(tags=("nightly",)))
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", 5)
    with console(single_url) as client:
        assert lost == "before this version" or client.delete(HINTS)

    async with open_store(single_url, retention=3 * 86_400) as store:
        await store.open_run("b3", "products", "add", b"[1]", terms=Terms(tags=("nightly",)))
        for wanted in (RunFilter(state=RunState.QUEUED), RunFilter(tag="nightly"), RunFilter()):
            assert await paged(store, wanted, 1) == ["b3", "a1"]
        assert await paged(store, RunFilter(id="a"), 1) == ["a1"]


async def test_the_pipelines_of_delayed_runs_stay_noted_for_as_long_as_these_wait(single_url: str) -> None:
    async with open_store(single_url, retention=3600) as store:
        await store.open_run("a1", "sums", "add", b"[1]", terms=Terms(delay_s=30 * 86_400))

    with console(single_url) as client:
        (named,) = [key for key in names(single_url, "mousetrap:*") if key.startswith("mousetrap:open:")]
        assert client.pttl(HINTS) >= client.pttl(named) > 30 * 86_400_000


async def test_a_run_that_a_killed_worker_left_among_the_open_ones_is_taken_off_by_a_reader(
    single_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.run_store.packed.open_runs.EndedRuns.completed", lambda *_: None)
    async with open_store(single_url, retention=3600) as store:
        story = Story(store)
        for run in ("a1", "b3"):
            await story.take(("open", run, "sums", [], None, 0.0), None)
        await story.take(("work", "a1", "w1", "complete"), None)
        with console(single_url) as client:
            (key,) = [
                key for key in names(single_url, "mousetrap:*") if key.startswith("mousetrap:open:sums:")
            ]
            assert client.zcard(key) == 2

            assert await paged(store, RunFilter(state=RunState.QUEUED), 10) == ["b3"]

            assert client.zcard(key) == 1


async def test_a_run_that_is_redriven_while_it_is_taken_off_stays_among_the_open_ones(
    single_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.run_store.packed.open_runs.EndedRuns.may_have_ended", lambda *_: None)
    async with open_store(single_url, retention=3600) as store:
        story = Story(store)
        await story.take(("open", "a1", "sums", [], None, 0.0), None)
        await story.take(("fail", "a1", "w1", "Broken"), None)
        send, looks = store._client.pipeline, 0

        async def redriven_between(commands: Any) -> list[Any]:
            """Once the reader has seen that it failed, and before it takes it off."""
            nonlocal looks
            if commands and commands[0][0] == "ZREM" and not looks:
                looks = 1
                await story.take(("redrive", "a1"), None)
            return await send(commands)

        store._client.pipeline = redriven_between  # type: ignore[method-assign]
        await store.page(RunFilter(state=RunState.QUEUED))

        assert looks == 1
        assert await paged(store, RunFilter(state=RunState.QUEUED), 10) == ["a1"]


async def test_a_run_whose_redriver_dies_while_it_is_taken_off_stays_among_the_open_ones(
    single_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.run_store.packed.open_runs.EndedRuns.may_have_ended", lambda *_: None)
    async with open_store(single_url, retention=3600) as store:
        story = Story(store)
        await story.take(("open", "a1", "sums", [], None, 0.0), None)
        await story.take(("fail", "a1", "w1", "Broken"), None)
        name, named = store._packed_work._naming.reopening, 0

        async def reopening(jobs: Sequence[Job]) -> None:
            nonlocal named
            named += 1
            if named == 2:
                raise ConnectionError("the process has died")
            await name(jobs)
            await store.page(RunFilter(state=RunState.QUEUED))  # sees that it failed, and takes it off

        monkeypatch.setattr(store._packed_work._naming, "reopening", reopening)
        await story.take(("redrive", "a1"), None)

        assert named == 2
        assert await paged(store, RunFilter(state=RunState.QUEUED), 10) == ["a1"]


async def test_open_runs_of_all_processes_are_found_after_the_store_forgot_their_pipelines(
    single_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.run_store.packed.hinted._AGAIN_MS", -1)
    async with (
        open_store(single_url, retention=3600) as store,
        open_store(single_url, retention=3600) as other,
    ):
        await store.open_run("a1", "sums", "add", b"[1]")
        await store.open_run("a2", "sums", "add", b"[1]")
        await other.open_run("b3", "products", "add", b"[1]")
        with console(single_url) as client:
            assert client.delete(HINTS)

        await store.open_run("a3", "sums", "add", b"[1]")

        found = await paged(store, RunFilter(state=RunState.QUEUED), 10)
        assert sorted(found) == ["a1", "a2", "a3", "b3"]


async def test_a_run_is_not_named_after_its_message_while_its_record_cannot_be_read(
    single_url: str,
) -> None:
    """The message of a redriven job has another time, so that no list would lead to the run."""
    async with open_store(single_url, retention=3600) as store:
        story = Story(store)
        await story.take(("open", "a1", "sums", [], None, 0.0), None)
        await store._sender.server_known()
        job, naming = story.messages["a1"][0], store._packed_work._naming
        send = store._client.pipeline

        async def away(commands: Sequence[Any]) -> list[Any]:
            replies = await send(commands)
            heads = [command[0] == "GETRANGE" for command in commands]
            lost = ReplyError("LOADING the server reads its data")
            return [lost if head else reply for head, reply in zip(heads, replies, strict=True)]

        store._client.pipeline = away  # type: ignore[method-assign]

        with pytest.raises(StoreUnreachable):
            await naming.failing([job], ["Broken"])
        with pytest.raises(StoreUnreachable):
            await naming.reopening([job])


async def test_open_runs_are_counted_by_pipeline(single_url: str) -> None:
    async with open_store(single_url, retention=3600) as store:
        assert await store.count_open() == {}
        story = Story(store)
        for run, pipeline in (("a1", "sums"), ("b3", "sums"), ("b4", "products")):
            await story.take(("open", run, pipeline, [], None, 0.0), None)
        await story.take(("work", "a1", "w1", "complete"), None)
        await store._packed_work.close()

        assert await store.count_open() == {"products": 1, "sums": 1}
