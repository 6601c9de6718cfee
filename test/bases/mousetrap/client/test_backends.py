"""Over the broker and over HTTP a client does the same."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mousetrap.api import create_app
from mousetrap.client import (
    AsyncClient,
    AsyncHandle,
    NoTaker,
    RunCancelled,
    RunExpired,
    RunFailed,
    TopicInvalid,
    UnknownPipeline,
    UnknownRun,
    WaitTimeout,
)
from mousetrap.jobs import MousetrapError, QueueUnreachable, StoreUnreachable
from mousetrap.pipeline import ContractBroken
from mousetrap.run_store import RunConflict
from mousetrap.settings import Settings
from mousetrap.shapes import Event, Run, RunState
from mousetrap.submit_run import NotTried, OptionInvalid, RerunImpossible
from support.api_server import serving
from support.published import beat
from support.workbench import KEYRING, Workbench, add, double, on_streams

KEYS = "test:a-secret-for-the-tests"


Open = Callable[[Workbench], AbstractAsyncContextManager[AsyncClient]]


@pytest.fixture
def settings(queue_url: str, store_url: str) -> Settings:
    return Settings(broker_url=queue_url, store_url=store_url, signing_keys=KEYS)


@pytest.fixture(params=["broker", "http"])
def open_client(request: pytest.FixtureRequest, settings: Settings) -> Open:
    """Opens a client of a bench's stack."""

    @asynccontextmanager
    async def over_http(bench: Workbench) -> AsyncIterator[AsyncClient]:
        app = create_app(settings, {bench.pipeline.name: bench.pipeline})
        with serving(settings, app) as url:
            async with AsyncClient(via="http", settings=Settings(api_url=url)) as client:
                yield client

    def over_broker(_: Workbench) -> AsyncClient:
        return AsyncClient(via="broker", settings=settings)

    return over_http if request.param == "http" else over_broker


async def test_a_run_is_started_and_its_result_waited_for(bench: Workbench, open_client: Open) -> None:
    async with (
        open_client(bench) as client,
        bench.working(bench.bind("add", add), bench.bind("double", double)),
    ):
        run = await client.submit(bench.pipeline, 20)

        assert await run.wait(timeout=60) == 42
        assert (await run.status()).state == RunState.COMPLETED
        assert run.new
        assert await client.run(run.id).wait(60) == 42


@on_streams
async def test_options_are_kept_with_the_run(bench: Workbench, open_client: Open) -> None:
    async with open_client(bench) as client:
        at = datetime.now(UTC) + timedelta(hours=1)
        by_delay = await client.submit(
            bench.pipeline, 1, delay=60, tags=["nightly", "a b"], id="mine", priority=9
        )
        by_time = await client.submit(bench.pipeline, 1, at=at, expires_in=7200)

        first, second = await by_delay.status(), await by_time.status()
        assert (first.id, first.tags, first.priority) == ("mine", ("nightly", "a b"), 9)
        assert second.priority == 4
        assert first.due_ms and abs(first.due_ms - first.accepted_ms - 60_000) < 2_000
        assert second.due_ms and abs(second.due_ms - at.timestamp() * 1000) < 5_000
        assert second.expires_ms and second.expires_ms > second.due_ms


@on_streams
@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"at": datetime(2020, 1, 1, tzinfo=UTC)}, "at"),
        ({"at": datetime(2999, 1, 1)}, "at"),
        ({"at": datetime(2999, 1, 1, tzinfo=UTC), "delay": 1}, "at"),
        ({"delay": 366 * 86_400}, "delay"),
        ({"delay": float("nan")}, "delay"),
        ({"delay": 60, "expires_in": 30}, "expires_in"),
        ({"tags": ["x" * 65]}, "tags"),
        ({"tags": ["x"] * 17}, "tags"),
        ({"priority": -1}, "priority"),
        ({"priority": 10}, "priority"),
    ],
)
async def test_an_option_without_meaning_is_named(
    bench: Workbench, open_client: Open, options: dict[str, Any], option: str
) -> None:
    async with open_client(bench) as client:
        with pytest.raises(OptionInvalid) as error:
            await client.submit(bench.pipeline, 1, **options)
        (report,) = await client.submit_many(bench.pipeline, [1], **options)

        assert error.value.option == option
        assert isinstance(report.error, OptionInvalid)
        assert report.error.option == option


@on_streams
@pytest.mark.parametrize("options", [{"priority": "9"}, {"priority": None}, {"tags": None}, {"tags": 5}])
async def test_an_option_of_another_type_is_refused_over_both(
    bench: Workbench, open_client: Open, options: dict[str, Any]
) -> None:
    (option,) = options
    async with open_client(bench) as client:
        with pytest.raises(OptionInvalid, match=f"^{option} is ") as error:
            await client.submit(bench.pipeline, 1, **options)

    assert error.value.option == option


@on_streams
async def test_a_key_or_an_id_of_another_form_starts_no_run(bench: Workbench, open_client: Open) -> None:
    async with open_client(bench) as client:
        for key in ("", "Größe", "x" * 256):
            with pytest.raises(OptionInvalid, match="1 to 255 printable ASCII"):
                await client.submit(bench.pipeline, 1, unique=key)
            good, bad = await client.submit_many(bench.pipeline, [1, 2], unique=["good", key])
            assert good.run
            assert isinstance(bad.error, OptionInvalid)
            with pytest.raises(OptionInvalid, match="1 to 255 printable ASCII"):
                await good.run.rerun(unique=key)
        with pytest.raises(OptionInvalid, match="1 to 64 letters"):
            await client.submit(bench.pipeline, 1, id="")


@on_streams
async def test_an_id_and_a_unique_key_give_the_first_run_again(bench: Workbench, open_client: Open) -> None:
    async with open_client(bench) as client:
        await client.submit(bench.pipeline, 1, id="chosen")
        keyed = await client.submit(bench.pipeline, 1, unique="order 17")

        again = await client.submit(bench.pipeline, 1, unique="order 17")

        assert (again.id, again.new) == (keyed.id, False)
        for wrong in ({"id": "chosen"}, {"unique": "order 17"}):
            with pytest.raises(RunConflict):
                await client.submit(bench.pipeline, 2, **wrong)  # type: ignore[call-overload]


@on_streams
async def test_an_input_that_does_not_fit_is_refused_by_name_too(bench: Workbench, open_client: Open) -> None:
    async with open_client(bench) as client:
        with pytest.raises(ContractBroken):
            await client.submit(bench.pipeline, "twenty")
        with pytest.raises(UnknownPipeline):
            await client.submit("nowhere", 1)


async def published(bench: Workbench, settings: Settings, *topics: str) -> None:
    """A worker is up with the bench's pipeline, under two names, and has declared its queues."""
    for stage in bench.pipeline.stages:
        await bench.queue.count_ready(stage.queue)
    taking = [replace(bench.pipeline, name=name, topics=topics) for name in ("mails", "books")]
    await beat(settings.store_url, "w1", *taking, keyring=KEYRING)


async def test_what_is_published_starts_a_run_of_each_taker(
    bench: Workbench, open_client: Open, settings: Settings
) -> None:
    await published(bench, settings, "orders.*")
    async with open_client(bench) as client:
        runs = await client.publish("orders.created", 20, unique="order 7", tags=["shop"])
        again = await client.publish("orders.created", 20, unique="order 7")

        shown = [await run.status() for run in runs]
        assert [(it.pipeline, it.input) for it in shown] == [("books", 20), ("mails", 20)]
        assert shown[0].tags == ("topic:orders.created", "shop")
        assert [run.new for run in (*runs, *again)] == [True, True, False, False]
        assert [run.id for run in again] == [run.id for run in runs]
        assert {run.id for run in await client.publish("orders.created", 20)}.isdisjoint(
            run.id for run in runs
        )


@on_streams
async def test_what_no_pipeline_takes_or_does_not_fit_starts_nothing(
    bench: Workbench, open_client: Open, settings: Settings
) -> None:
    await published(bench, settings, "orders.*")
    async with open_client(bench) as client:
        with pytest.raises(NoTaker, match=r"is it one of 'orders\.\*'") as refused:
            await client.publish("order.created", 20)
        with pytest.raises(ContractBroken, match="pipeline 'books' takes this topic"):
            await client.publish("orders.created", "twenty")
        with pytest.raises(TopicInvalid):
            await client.publish("orders.*", 20)
        with pytest.raises(OptionInvalid, match="the tag"):
            await client.publish("orders.created", 20, tags=["x" * 65])
        with pytest.raises(TypeError, match="publish has no option id"):
            await client.publish("orders.created", 20, id="mine")  # type: ignore[call-arg]

        assert (refused.value.taken, refused.value.nearest) == (("orders.*",), "orders.*")
        assert (await bench.store.page()).runs == ()


@on_streams
async def test_workers_that_contradict_each_other_about_a_taker_are_an_error(
    bench: Workbench, open_client: Open, settings: Settings
) -> None:
    await published(bench, settings, "orders.*")
    other = replace(bench.pipeline, name="mails", stages=bench.pipeline.stages[:1])
    await beat(settings.store_url, "w2", other, keyring=KEYRING)
    async with open_client(bench) as client:
        with pytest.raises(UnknownPipeline, match="w2"):
            await client.publish("orders.created", 20)


@on_streams
async def test_what_could_not_be_published_names_the_key_to_repeat_with(
    bench: Workbench, open_client: Open, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await published(bench, settings, "orders.*")

    async def away(*_: Any, **__: Any) -> None:
        raise QueueUnreachable("away")

    monkeypatch.setattr("mousetrap.submit_run.Submitter._accept", away)
    async with open_client(bench) as client:
        with pytest.raises(QueueUnreachable) as error:
            await client.publish("orders.created", 20)

    assert "publish the same with unique='" in error.value.__notes__[0]


@on_streams
async def test_many_are_reported_each_in_order(
    bench: Workbench, open_client: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two requests over HTTP. With 2,000 lines each, a busy machine answers some too late.
    monkeypatch.setattr("mousetrap.client.http_batch._MOST_LINES", 20)
    async with open_client(bench) as client:
        await client.submit(bench.pipeline, 0, unique="c")
        inputs = [1, "two", 3, *range(4, 31)]
        reports = await client.submit_many(
            bench.pipeline, inputs, unique=["a", "b", "c", *map(str, range(4, 31))]
        )

        assert [place for place, report in enumerate(reports) if report.error] == [1, 2]
        assert isinstance(reports[1].error, ContractBroken)
        assert isinstance(reports[2].error, RunConflict)
        for place in (0, 3, 20, 29):
            run = reports[place].run
            assert run is not None
            assert (await run.status()).input == inputs[place]
        (again,) = await client.submit_many(bench.pipeline, [1], unique=["a"])
        assert again.id == reports[0].id


async def test_the_jobs_of_a_run_are_listed_page_by_page(
    bench: Workbench, open_client: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(number: int) -> int:
        raise ZeroDivisionError("no")

    monkeypatch.setattr("mousetrap.client.handle._JOBS_A_PAGE", 1)
    async with (
        open_client(bench) as client,
        bench.working(bench.bind("add", add), bench.bind("double", fail)),
    ):
        run = await client.submit(bench.pipeline, 20)
        await bench.ended(run.id)

        added, failed = [job async for job in run.jobs()]
        assert (added.stage, added.state, added.output, added.attempt) == ("add", "done", 21, 1)
        assert failed.failure and failed.failure.kind == "ZeroDivisionError"
        assert failed.letter == f"/dead/{bench.queue_of('double')}/{failed.id}"
        assert [job async for job in run.jobs(stage="add")] == [added]
        assert [job async for job in client.run(run.id, bench.pipeline).jobs(state="failed")] == [failed]


@on_streams
async def test_jobs_of_what_there_is_not_are_refused_with_what_there_is(
    bench: Workbench, open_client: Open
) -> None:
    async with open_client(bench) as client:
        run = await client.submit(bench.pipeline, 20)

        with pytest.raises(OptionInvalid, match="has no stage 'sum': it has add, double") as stage:
            await anext(run.jobs(stage="sum"))
        with pytest.raises(OptionInvalid, match=r"state is 'lost', and a job is one of: .*failed") as state:
            await anext(run.jobs(state="lost"))
        with pytest.raises(UnknownRun):
            await anext(client.run("gone", bench.pipeline).jobs())

        assert (stage.value.option, state.value.option) == ("stage", "state")


@on_streams
async def test_a_failed_run_is_raised_with_its_story(bench: Workbench, open_client: Open) -> None:
    async with open_client(bench) as client:

        def fails(number: int) -> int:
            raise ZeroDivisionError("no")

        async with bench.working(bench.bind("add", add), bench.bind("double", fails)):
            run = await client.submit(bench.pipeline, 1)
            with pytest.raises(RunFailed, match="ZeroDivisionError: no") as failed:
                await run.wait(60)
            assert failed.value.run.state == RunState.FAILED
            with pytest.raises(RerunImpossible, match="no stage 'none'"):
                await run.rerun(begin="none")


@on_streams
async def test_a_cancelled_and_an_expired_run_are_errors_of_their_own(
    bench: Workbench, open_client: Open
) -> None:
    async with open_client(bench) as client:
        cancelled = await client.submit(bench.pipeline, 1)
        expired = await client.submit(bench.pipeline, 1, expires_in=0.001)

        assert await cancelled.cancel() == RunState.CANCELLED
        assert await cancelled.cancel() == RunState.CANCELLED
        with pytest.raises(RunCancelled, match="is cancelled"):
            await cancelled.wait(60)
        async with bench.working(bench.bind("add", add), bench.bind("double", double)):
            with pytest.raises(RunExpired, match="is expired"):
                await expired.wait(60)
        assert await expired.cancel() == RunState.EXPIRED


@on_streams
async def test_a_wait_that_is_over_names_the_state(bench: Workbench, open_client: Open) -> None:
    async with open_client(bench) as client:
        run = await client.submit(bench.pipeline, 1)

        for timeout in (0.2, 0):
            with pytest.raises(WaitTimeout, match="goes on: it is queued"):
                await run.wait(timeout)


@on_streams
async def test_a_run_that_is_not_known_is_a_clear_error(bench: Workbench, open_client: Open) -> None:
    async with open_client(bench) as client:
        run = client.run("forgotten")
        for call in (run.wait(60), run.status(), run.cancel(), run.rerun()):
            with pytest.raises(UnknownRun, match=r"no run forgotten: .* MOUSETRAP_RETENTION_SECONDS"):
                await call
        with pytest.raises(UnknownRun):
            async for _ in run.follow():
                pass


@on_streams
async def test_a_run_that_is_submitted_later_is_waited_for_and_followed(
    bench: Workbench, open_client: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    missed = asyncio.Event()
    status = AsyncHandle.status

    async def noted(self: AsyncHandle[Any]) -> Run:
        try:
            return await status(self)
        except UnknownRun:
            missed.set()
            raise

    monkeypatch.setattr(AsyncHandle, "status", noted)
    async with (
        open_client(bench) as client,
        bench.working(bench.bind("add", add), bench.bind("double", double)),
    ):
        for run_id in ("later", "later-still"):
            run = client.run(run_id, bench.pipeline, submitted_within=timedelta(minutes=1))
            waited = asyncio.create_task(run.wait(60) if run_id == "later" else _kinds(run))
            await missed.wait()
            missed.clear()
            await client.submit(bench.pipeline, 1, id=run_id)
            assert await waited == (4 if run_id == "later" else _FOLLOWED)

        with pytest.raises(UnknownRun):
            await client.run("never", submitted_within=0.1).wait()
        with pytest.raises(WaitTimeout, match="its state could not be read"):
            await client.run("never", submitted_within=3600).wait(0.1)
        assert missed.is_set()


_FOLLOWED = ["accepted", "started", "finished", "started", "finished", "completed"]


async def _kinds(run: AsyncHandle[Any]) -> list[str]:
    return [each.kind async for each in run.follow() if isinstance(each, Event)]


@on_streams
async def test_a_run_is_repeated_with_another_input(bench: Workbench, open_client: Open) -> None:
    async with (
        open_client(bench) as client,
        bench.working(bench.bind("add", add), bench.bind("double", double)),
    ):
        run = await client.submit(bench.pipeline, 1)
        assert await run.wait(60) == 4
        again = await run.rerun(begin="double", input=40, unique="once")

        assert await again.wait(60) == 80
        assert (await again.status()).rerun_of == run.id
        assert (await run.rerun(begin="double", input=40, unique="once")).id == again.id


@on_streams
async def test_the_events_of_a_run_are_followed(bench: Workbench, open_client: Open) -> None:
    async with open_client(bench) as client:
        async with bench.working(bench.bind("add", add), bench.bind("double", double)):
            run = await client.submit(bench.pipeline, 1)
            kinds = await _kinds(run)

        assert kinds == _FOLLOWED
        assert await _kinds(run) == kinds


@pytest.mark.parametrize("via", ["broker", "http"])
async def test_a_stack_that_is_away_is_an_error_for_each_run(via: Any) -> None:
    away = Settings(
        broker_url="valkey://127.0.0.1:1/0",
        store_url="valkey://127.0.0.1:1/0",
        api_url="http://127.0.0.1:1",
        signing_keys=KEYS,
    )
    async with AsyncClient(via=via, settings=away) as client:
        reports = await client.submit_many("earthquakes", [{}] * 5_000)
        with pytest.raises((StoreUnreachable, QueueUnreachable)):  # both are away
            await client.submit("earthquakes", {})
        with pytest.raises(StoreUnreachable):
            await client.run("a").status()

    assert len(reports) == 5_000
    assert all(isinstance(report.error, MousetrapError) and report.id for report in reports)
    assert via == "http" or isinstance(reports[-1].error, NotTried)
