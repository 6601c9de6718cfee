"""Fires each tick once, whichever scheduler dies where."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from mousetrap.jobs import StoreFull
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.scheduler import Published, Scheduler, Schedules, ScheduleTaken, open_schedules
from mousetrap.schedules import Change, Record, Schedule, backfilled, created, paused, resumed, run_now
from mousetrap.shapes import RunState
from mousetrap.signing import Keyring
from mousetrap.submit_run import Accepted, SubmitOptions
from support.valkey_cluster import ValkeyCluster
from support.workbench import KEYRING, Workbench, on_streams
from support.zones import ZONE, zones_in

pytestmark = on_streams

HOUR = 3_600_000
HOURLY = timedelta(hours=1)
STRANGERS = Keyring.parse("other:another-secret-of-theirs")


class Killed(BaseException):
    """The end of a scheduler's process."""


class Steps:
    """Counts what a scheduler does outside, and ends it at one of these steps: before it, or once it is done."""

    def __init__(self, at: int = -1, *, after: bool = False) -> None:
        self._at, self._after = at, after
        self.done = 0

    async def take(self, act: Callable[..., Any], *args: Any, **more: Any) -> Any:
        step, self.done = self.done, self.done + 1
        if step == self._at and not self._after:
            raise Killed
        reply = await act(*args, **more)
        if step == self._at:
            raise Killed
        return reply


class Open:
    """Takes any number of runs, until it is full."""

    def __init__(self) -> None:
        self.is_full = False

    def check(self, pipeline: Pipeline, size: int) -> None:
        if self.is_full:
            raise StoreFull("the store is full")


class Submits:
    """Submits by steps, and notes each submission."""

    def __init__(self, bench: Workbench, steps: Steps) -> None:
        self._submitter, self._steps = bench.submitter, steps
        self.bodies: list[bytes] = []

    async def submit(
        self, pipeline: Pipeline, body: bytes, *, run_id: str, options: SubmitOptions
    ) -> Accepted:
        self.bodies.append(body)
        accepted: Accepted = await self._steps.take(
            self._submitter.submit, pipeline, body, run_id=run_id, options=options
        )
        return accepted


class Host:
    """A store of schedules, and schedulers on it."""

    def __init__(self, bench: Workbench, schedules: Schedules) -> None:
        self.bench, self.schedules = bench, schedules
        self.intake = Open()
        self.late: list[tuple[str, int]] = []

    def scheduler(
        self,
        steps: Steps | None = None,
        *,
        declared: tuple[Schedule, ...] = (),
        published: Callable[[], Published] = dict,
        **more: Any,
    ) -> Scheduler:
        steps = steps or Steps()
        schedules = _Stepping(self.schedules, steps)
        pipelines = {self.bench.pipeline.name: self.bench.pipeline}
        return Scheduler(
            schedules,
            self.bench.store,
            Submits(self.bench, steps),
            more.get("pipelines", pipelines),
            intake=self.intake,
            defaults={self.bench.pipeline.name: b"5"},
            declared=declared,
            published=published,
            on_fired=lambda name, late_ms: self.late.append((name, late_ms)),
        )

    def schedule(self, name: str = "hourly", **more: Any) -> Schedule:
        return Schedule(name, **{"pipeline": self.bench.pipeline.name, "every": HOURLY, "input": 1, **more})

    async def add(self, schedule: Schedule, hours: int) -> Record:
        """A schedule whose ticks of the last hours are not decided."""
        return await self.schedules.create(
            lambda now_ms: replace(created(schedule, "api", change(now_ms)), decided_ms=now_ms - hours * HOUR)
        )

    async def record(self, name: str = "hourly") -> Record:
        record = await self.schedules.get(name)
        assert record is not None
        return record

    async def runs(self) -> list[str]:
        return sorted(line.id for line in (await self.bench.store.page(limit=200)).runs)

    async def look(self, scheduler: Scheduler) -> None:
        """A look at all schedules, as if the time for it had come."""
        for name in await self.schedules.names():
            await self.schedules.put_off(name, 0)
        await scheduler.look()


class _Stepping(Schedules):
    """The same store by steps."""

    def __init__(self, schedules: Schedules, steps: Steps) -> None:
        super().__init__(schedules._client, schedules._place, schedules._keyring)
        self._steps = steps

    async def _call(self, function: str, *args: Any) -> Any:
        return await self._steps.take(super()._call, function, *args)


def change(now_ms: int = 0) -> Change:
    return Change("ops", now_ms)


def undecided(record: Record, _: int, *, since_ms: int) -> Record:
    return replace(record, decided_ms=since_ms)


@asynccontextmanager
async def hosting(bench: Workbench, store_url: str, keyring: Keyring = KEYRING) -> AsyncIterator[Host]:
    async with open_schedules(store_url, keyring=keyring) as schedules:
        yield Host(bench, schedules)


async def test_a_tick_that_is_due_starts_a_run_with_the_schedules_input(
    bench: Workbench, store_url: str
) -> None:
    async with hosting(bench, store_url) as host:
        await host.add(host.schedule(tags=("a",)), hours=1)
        scheduler = host.scheduler()
        await scheduler.look()
        await scheduler.look()
        record = await host.record()
        assert await host.runs() == [record.past[0].run_id] == [record.last_run]
        run = await bench.store.get(record.last_run)
        assert run and run.input == 1 and run.tags == ("schedule:hourly", "a")
        assert record.owed == () and [name for name, _ in host.late] == ["hourly"]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("policy", [{"missed": "all"}, {"missed": "once"}], ids=["all", "once"])
async def test_where_a_scheduler_dies_another_one_fires_each_tick_once(
    bench: Workbench, store_url: str, policy: dict[str, Any], after: bool
) -> None:
    async with hosting(bench, store_url) as host:
        whole = Steps()
        await host.add(host.schedule("whole", **policy), hours=3)
        await host.scheduler(whole).look()
        fires = len(await host.runs())
        assert fires == (3 if policy["missed"] == "all" else 1) and whole.done > 4
        for step in range(whole.done):
            name = f"dies-at-{step}"
            await host.add(host.schedule(name, **policy), hours=3)
            before = await host.runs()
            with pytest.raises(Killed):
                await host.scheduler(Steps(step, after=after)).look()
            await host.look(host.scheduler())
            record = await host.record(name)
            assert record.owed == () and len(record.past) >= fires
            fired = [it.run_id for it in record.past if it.became == "fired"]
            assert len(fired) == fires and sorted([*before, *fired]) == await host.runs()


async def test_schedulers_beside_each_other_fire_each_tick_once(bench: Workbench, store_url: str) -> None:
    async with hosting(bench, store_url) as host:
        for number in range(150):
            await host.add(host.schedule(f"s{number}"), hours=1)
        await asyncio.gather(*(host.scheduler().look() for _ in range(3)))
        await host.look(host.scheduler())
        records = await host.schedules.some(await host.schedules.names())
        assert [len(record.past) for record in records] == [1] * 150
        assert len({record.last_run for record in records}) == 150 and len(host.late) == 150


async def test_while_no_run_is_accepted_the_tick_stays_owed_and_shows_why(
    bench: Workbench, store_url: str
) -> None:
    async with hosting(bench, store_url) as host:
        await host.add(host.schedule(), hours=1)
        host.intake.is_full = True
        scheduler = host.scheduler()
        await scheduler.look()
        record = await host.record()
        assert len(record.owed) == 1 and record.waits == "the store is full" and await host.runs() == []
        assert await host.schedules.count(0) == (1, 1) and await host.schedules.count(600_000) == (1, 0)
        host.intake.is_full = False
        await host.look(scheduler)
        record = await host.record()
        assert record.waits == "" and record.past[0].became == "fired" and len(await host.runs()) == 1
        assert await host.schedules.count(0) == (1, 0)


async def test_a_pipeline_that_no_one_has_is_waited_for(bench: Workbench, store_url: str) -> None:
    async with hosting(bench, store_url) as host:
        await host.add(host.schedule(), hours=1)
        await host.scheduler(pipelines={}).look()
        assert "start a worker with it" in (await host.record()).waits
        await host.look(host.scheduler())
        assert (await host.record()).past[0].became == "fired"


async def test_an_input_that_breaks_the_contract_is_refused_and_the_schedule_goes_on(
    bench: Workbench, store_url: str
) -> None:
    async with hosting(bench, store_url) as host:
        await host.add(host.schedule(input="no number", missed="all"), hours=2)
        await host.scheduler().look()
        record = await host.record()
        assert [it.became for it in record.past] == ["refused"] * 2 and record.owed == ()
        assert "int" in record.past[0].why and await host.runs() == []


async def test_without_an_input_it_is_the_pipelines_default(bench: Workbench, store_url: str) -> None:
    async with hosting(bench, store_url) as host:
        await host.add(host.schedule(input=None), hours=1)
        await host.scheduler().look()
        run = await bench.store.get((await host.record()).last_run)
        assert run and run.input == 5


async def test_the_input_can_have_its_tick(bench: Workbench, store_url: str) -> None:
    stage = Stage(name="day", queue=bench.queue_of("add"), input=dict[str, str], output=int)
    days = Pipeline(name="days", description="", stages=(stage,))
    async with hosting(bench, store_url) as host:
        await host.add(host.schedule(pipeline="days", input={"kind": "all"}, tick_as="for"), hours=1)
        await host.scheduler(pipelines={"days": days}).look()
        run = await bench.store.get((await host.record()).last_run)
        assert run and run.input["kind"] == "all" and run.input["for"].endswith(":00:00+00:00")


async def test_a_run_that_goes_on_is_left_waited_for_or_cancelled(bench: Workbench, store_url: str) -> None:
    async with hosting(bench, store_url) as host:
        for overlap in ("skip", "queue_one", "cancel_running"):
            record = await host.add(host.schedule(overlap, overlap=overlap), hours=1)
            await host.scheduler().look()
            first = (await host.record(overlap)).last_run
            await host.schedules.change(overlap, partial(undecided, since_ms=record.decided_ms))
            await host.look(host.scheduler())
        assert (await host.record("skip")).past[0].became == "skipped"
        run = await bench.store.get(first)
        assert run and run.state == RunState.CANCELLED
        waiting = await host.record("queue_one")
        assert waiting.waiting_ms is not None and len(waiting.past) == 1
        await bench.store.cancel(waiting.last_run)
        await host.look(host.scheduler())
        assert (await host.record("queue_one")).waiting_ms is None


async def test_runs_by_hand_and_a_backfill_are_submitted_while_it_is_paused(
    bench: Workbench, store_url: str
) -> None:
    async with hosting(bench, store_url) as host:
        await host.add(host.schedule(), hours=0)
        await host.schedules.change("hourly", lambda it, now: paused(it, change(now)))
        await host.schedules.change("hourly", lambda it, now: run_now(it, "by-hand", now))
        await host.scheduler().carry_on("hourly")
        assert await host.runs() == ["by-hand"]
        for became in ("fired", "skipped"):
            await host.schedules.change("hourly", lambda it, now: backfilled(it, now - 70 * HOUR, now))
            await host.look(host.scheduler())
            assert len(await host.runs()) == 71
            record = await host.record()
            assert {it.became for it in record.past} == {became} and record.owed == ()
        await host.schedules.change("hourly", lambda it, now: resumed(it, change(now)))
        assert (await host.record()).pause is None


async def test_schedules_of_the_code_are_recorded_and_paused_once_they_are_gone(
    bench: Workbench, store_url: str
) -> None:
    async with hosting(bench, store_url) as host:
        hourly, other = host.schedule(), host.schedule("other")
        await host.add(host.schedule("by-hand"), hours=0)
        await asyncio.gather(*(host.scheduler(declared=(hourly, other)).look() for _ in range(2)))
        assert (await host.record()).origin == "code"
        changed = host.schedule(every=timedelta(hours=2))
        await host.scheduler(declared=(changed,)).look()
        record, gone = await host.record(), await host.record("other")
        assert record.schedule == changed and record.pause is None
        assert gone.pause and gone.pause.orphaned
        assert (await host.record("by-hand")).pause is None
        await host.scheduler(declared=(changed, other)).look()
        assert (await host.record("other")).pause is None


async def test_schedules_of_workers_are_recorded_and_paused_once_their_pipeline_has_them_no_more(
    bench: Workbench, store_url: str
) -> None:
    async with hosting(bench, store_url) as host:
        name = bench.pipeline.name
        hourly, other, ours = host.schedule(), host.schedule("other"), host.schedule("ours", input=2)
        now: dict[str, tuple[Schedule, ...]] = {}
        scheduler = host.scheduler(declared=(ours,), published=lambda: now)
        await host.add(host.schedule("by-hand"), hours=0)
        await scheduler.look()
        assert await host.schedules.names() == ["by-hand", "ours"]

        now = {name: (hourly, other, host.schedule("ours", input=3))}
        await scheduler.look()
        assert (await host.record()).origin == "worker" and (await host.record("ours")).schedule == ours
        now = {}  # its workers are away: its ticks start runs that wait for them
        await scheduler.look()
        assert (await host.record()).pause is None
        now = {name: (hourly,)}
        await scheduler.look()
        gone = (await host.record("other")).pause
        assert gone and gone.orphaned
        assert {(await host.record(it)).pause for it in ("hourly", "ours", "by-hand")} == {None}
        now = {name: (hourly, other)}
        await scheduler.look()
        assert (await host.record("other")).pause is None

        await host.scheduler(declared=(ours,)).look()
        assert (await host.record()).pause is None


@pytest.mark.parametrize("by", ["code", "worker"])
async def test_one_that_cannot_be_recorded_keeps_no_other_from_firing(
    bench: Workbench, store_url: str, caplog: pytest.LogCaptureFixture, by: str
) -> None:
    async with hosting(bench, store_url, STRANGERS) as strangers:
        await strangers.add(strangers.schedule("theirs"), hours=0)
    async with hosting(bench, store_url) as host:
        await host.add(host.schedule("due"), hours=1)
        both = (host.schedule("theirs"), host.schedule("ours"))
        if by == "code":
            await host.scheduler(declared=both).look()
        else:
            await host.scheduler(published=lambda: {bench.pipeline.name: both}).look()
        assert len(await host.runs()) == 1 and (await host.record("ours")).origin == by
        assert caplog.text.count("does not record a schedule") == 1


async def test_with_as_many_schedules_as_may_be_they_fire(
    bench: Workbench, store_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.scheduler.store.MOST_SCHEDULES", 1)
    async with hosting(bench, store_url) as host:
        await host.add(host.schedule("due"), hours=1)
        one_more = (host.schedule("one-more"),)
        await host.scheduler(published=lambda: {bench.pipeline.name: one_more}).look()
        assert len(await host.runs()) == 1 and "remove one" in caplog.text


async def test_a_worker_takes_over_no_schedule_that_is_not_its_own(
    bench: Workbench, store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with hosting(bench, store_url) as host:
        name = bench.pipeline.name
        by_hand = await host.add(host.schedule("by-hand", tags=("a",)), hours=0)
        ours = (host.schedule(), host.schedule("by-hand", input=2))
        of_workers = {name: ours, "theirs": (host.schedule(pipeline="theirs"),)}
        await host.scheduler(published=lambda: of_workers).look()
        assert await host.record("by-hand") == by_hand and "made over HTTP, which counts" in caplog.text
        assert (await host.record()).schedule.pipeline == name
        assert f"pipeline {name!r}, of a worker, which counts" in caplog.text


async def test_a_schedule_that_a_worker_gives_another_pipeline_goes_on_there(
    bench: Workbench, store_url: str
) -> None:
    async with hosting(bench, store_url) as host:
        name = bench.pipeline.name
        now: dict[str, tuple[Schedule, ...]] = {name: (host.schedule(),), "other": ()}
        scheduler = host.scheduler(published=lambda: now)
        await scheduler.look()
        now = {name: (), "other": (host.schedule(pipeline="other"),)}
        await scheduler.look()
        record = await host.record()
        assert (record.schedule.pipeline, record.pause) == ("other", None)


async def test_a_start_with_other_rules_of_a_zone_fires_what_is_due_by_them(
    bench: Workbench, store_url: str, tmp_path: Path
) -> None:
    """By the rules of before, its next tick was two hours away."""
    with zones_in(tmp_path) as update:
        update(1, None)
        async with hosting(bench, store_url) as host:
            now = datetime.fromtimestamp(await host.schedules.now_ms() // 60_000 * 60, UTC)
            later = now + timedelta(hours=3)
            await host.add(
                host.schedule(every=None, cron=f"{later.minute} {later.hour} * * *", tz=ZONE), hours=1
            )
            running = host.scheduler()
            await running.look()
            update(3, datetime(2020, 1, 1, tzinfo=UTC))
            await running.look()
            assert await host.runs() == []
            for _ in range(2):
                await host.scheduler().look()
                assert [it.tick_ms for it in (await host.record()).past] == [int(now.timestamp()) * 1000]
            assert len(await host.runs()) == 1


async def test_a_name_is_taken_once(bench: Workbench, store_url: str) -> None:
    async with hosting(bench, store_url) as host:
        record = await host.add(host.schedule(), hours=0)
        with pytest.raises(ScheduleTaken, match="take another name"):
            await host.add(host.schedule(), hours=0)
        assert await host.schedules.swap(None, record, None) is None
        assert await host.schedules.remove(record)
        assert not await host.schedules.remove(record) and await host.schedules.names() == []


async def test_a_record_that_no_key_of_ours_signed_fires_nothing(
    bench: Workbench, store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with hosting(bench, store_url, STRANGERS) as strangers:
        await strangers.add(strangers.schedule(), hours=1)
    async with hosting(bench, store_url) as host:
        await host.add(host.schedule("ours"), hours=1)
        await host.scheduler().look()
        assert len(await host.runs()) == 1 and "ignores a schedule" in caplog.text
        assert [it.name for it in await host.schedules.some(["hourly", "ours"])] == ["ours"]


async def test_a_record_keeps_its_input_as_it_was(bench: Workbench, store_url: str) -> None:
    async with hosting(bench, store_url) as host:
        large = {"n": 2**70, "f": 1.1, "t": "é"}
        record = await host.add(host.schedule(input=large), hours=0)
        assert (await host.record()).schedule == record.schedule
        assert msgspec.json.decode(msgspec.json.encode((await host.record()).schedule.input)) == large


async def test_on_a_cluster_schedules_are_kept_due_and_fired(
    bench: Workbench, valkey_cluster: ValkeyCluster
) -> None:
    async with hosting(bench, valkey_cluster.url) as host:
        for number in range(5):
            await host.add(host.schedule(f"s{number}"), hours=1)
        await host.scheduler().look()
        records = await host.schedules.some(await host.schedules.names())
        assert [record.past[0].became for record in records] == ["fired"] * 5
        assert await host.runs() == sorted(record.last_run for record in records)
