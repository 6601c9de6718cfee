"""Runs are started from an event loop, and their results waited for."""

import asyncio
import os
import sys
from typing import Any

import pytest

from mousetrap.client import (
    AsyncClient,
    ClientClosed,
    RunCancelled,
    RunExpired,
    RunFailed,
    UnknownPipeline,
    UnknownRun,
    WaitTimeout,
)
from mousetrap.handlers import chain, task
from mousetrap.jobs import StoreUnreachable
from mousetrap.pipeline import ContractBroken
from mousetrap.run_store import RunConflict
from mousetrap.settings import Settings, SettingsWrong
from mousetrap.shapes import Event, RunState
from support.workbench import Workbench, add, double, on_streams, workbench_for

KEYS = "test:a-secret-for-the-tests"


@pytest.fixture
def settings(queue_url: str, store_url: str) -> Settings:
    return Settings(broker_url=queue_url, store_url=store_url, signing_keys=KEYS)


@task
def split(text: str) -> list[str]:
    return text.split()


@task
def count(found: list[str]) -> dict[str, int]:
    return {word: found.count(word) for word in found}


words = chain("words", split, count)


@task
def resize(url: str, width: int = 3, sharp: bool = False) -> str:
    return f"{url} {width} {sharp}"


async def test_a_run_is_started_and_its_result_waited_for(bench: Workbench, settings: Settings) -> None:
    async with (
        AsyncClient(settings=settings) as client,
        bench.working(bench.bind("add", add), bench.bind("double", double)),
    ):
        run = await client.submit(bench.pipeline, 20)

        assert await run.wait(timeout=60) == 42
        assert (await run.status()).state == RunState.COMPLETED
        assert run.new


@on_streams
async def test_the_result_is_a_value_of_the_last_contract(
    queue_url: str, store_url: str, settings: Settings
) -> None:
    async with (
        workbench_for(words.pipeline, queue_url, store_url) as bench,
        AsyncClient(settings=settings) as client,
        bench.working(*words.bindings),
    ):
        run = await client.submit(words, "a b a")

        assert await run.wait(60) == {"a": 2, "b": 1}
        assert await client.run(run.id).wait(60) == {"a": 2, "b": 1}
        assert await client.run(run.id, words).wait(60) == {"a": 2, "b": 1}


@on_streams
async def test_a_task_takes_the_value_of_its_first_parameter_or_a_call(
    queue_url: str, store_url: str, settings: Settings
) -> None:
    async with (
        workbench_for(resize.pipeline, queue_url, store_url) as bench,
        AsyncClient(settings=settings) as client,
        bench.working(resize.binding),
    ):
        first = await client.submit(resize, "u")
        call = await client.submit(resize.call("u", sharp=True))

        assert await first.wait(60) == "u 3 False"
        assert await call.wait(60) == "u 3 True"


@on_streams
async def test_an_input_that_does_not_fit_is_refused_before_anything_is_sent(
    bench: Workbench, settings: Settings
) -> None:
    async with AsyncClient(settings=settings) as client:
        with pytest.raises(ContractBroken):
            await client.submit(bench.pipeline, "twenty")
        with pytest.raises(TypeError, match="write @task above add"):
            await client.submit(add, 1)  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="submit has no option delays"):
            await client.submit(bench.pipeline, 1, delays=3)  # type: ignore[call-overload]


@on_streams
async def test_an_id_and_a_unique_key_give_the_first_run_again(bench: Workbench, settings: Settings) -> None:
    async with AsyncClient(settings=settings) as client:
        chosen = await client.submit(bench.pipeline, 1, id="chosen")
        keyed = await client.submit(bench.pipeline, 1, unique="order 17")

        assert chosen.id == "chosen"
        again = await client.submit(bench.pipeline, 1, unique="order 17")
        assert (again.id, again.new) == (keyed.id, False)
        for wrong in ({"id": "chosen"}, {"unique": "order 17"}):
            with pytest.raises(RunConflict):
                await client.submit(bench.pipeline, 2, **wrong)  # type: ignore[call-overload]
        with pytest.raises(ValueError, match="give one"):
            await client.submit(bench.pipeline, 2, id="a", unique="b")


@on_streams
async def test_many_are_reported_each_in_order(bench: Workbench, settings: Settings) -> None:
    async with AsyncClient(settings=settings) as client:
        reports = await client.submit_many(bench.pipeline, [1, "two", 3], unique=["a", "b", "c"])

        assert [report.run is not None for report in reports] == [True, False, True]
        assert isinstance(reports[1].error, ContractBroken)
        assert reports[0].run is not None
        assert (await reports[0].run.status()).input == 1
        with pytest.raises(ValueError, match="2 keys for 1 inputs"):
            await client.submit_many(bench.pipeline, [1], unique=["a", "b"])


@on_streams
async def test_an_input_that_does_not_fit_has_the_id_to_repeat_it_with(
    bench: Workbench, settings: Settings
) -> None:
    async with AsyncClient(settings=settings) as client:
        (report,) = await client.submit_many(bench.pipeline, ["two"])
        assert isinstance(report.error, ContractBroken)
        assert (await client.submit(bench.pipeline, 2, id=report.id)).new


@on_streams
async def test_a_failed_run_is_raised_with_its_story(bench: Workbench, settings: Settings) -> None:
    def fails(number: int) -> int:
        raise ZeroDivisionError("division of https://me:s3cret@host/ by zero")

    async with (
        AsyncClient(settings=settings) as client,
        bench.working(bench.bind("add", add), bench.bind("double", fails)),
    ):
        run = await client.submit(bench.pipeline, 1)
        with pytest.raises(RunFailed) as failed:
            await run.wait(60)

    story = str(failed.value)
    assert f"run {run.id} of {bench.pipeline.name} failed at stage 'double' after 1 attempt" in story
    assert "ZeroDivisionError: division of https://***@host/ by zero" in story
    assert "add: finished" in story
    assert f"`mousetrap show {run.id}`" in story
    assert failed.value.run.state == RunState.FAILED


@on_streams
async def test_a_cancelled_and_an_expired_run_are_errors_of_their_own(
    bench: Workbench, settings: Settings
) -> None:
    async with AsyncClient(settings=settings) as client:
        cancelled = await client.submit(bench.pipeline, 1)
        expired = await client.submit(bench.pipeline, 1, expires_in=0.001)

        assert await cancelled.cancel() == RunState.CANCELLED
        with pytest.raises(RunCancelled, match="is cancelled"):
            await cancelled.wait(60)
        async with bench.working(bench.bind("add", add), bench.bind("double", double)):
            with pytest.raises(RunExpired, match="is expired"):
                await expired.wait(60)


async def test_a_wait_that_is_over_names_the_state_and_how_to_wait_again(
    bench: Workbench, settings: Settings
) -> None:
    async with AsyncClient(settings=settings) as client:
        run = await client.submit(bench.pipeline, 1)

        with pytest.raises(TimeoutError, match="goes on: it is queued") as late:
            await run.wait(0.01)
        assert isinstance(late.value, WaitTimeout)
        assert f'client.run("{run.id}").wait()' in str(late.value)
        assert "No worker has begun it" in str(late.value) and "`mousetrap dead groups`" in str(late.value)


@on_streams
async def test_a_run_that_is_not_known_is_a_clear_error(bench: Workbench, settings: Settings) -> None:
    async with AsyncClient(settings=settings) as client:
        run = client.run("forgotten")
        for call in (run.wait(60), run.status(), run.cancel(), run.rerun()):
            with pytest.raises(UnknownRun, match=r"no run forgotten: .* MOUSETRAP_RETENTION_SECONDS"):
                await call
        with pytest.raises(UnknownRun):
            async for _ in run.follow():
                pass
        with pytest.raises(UnknownPipeline, match="no worker serves a pipeline 'nowhere'"):
            await client.submit("nowhere", 1)


@on_streams
async def test_a_run_is_repeated_from_where_it_failed(bench: Workbench, settings: Settings) -> None:
    async def by_input(number: int) -> int:
        if number < 10:
            raise ZeroDivisionError
        return number

    async with (
        AsyncClient(settings=settings) as client,
        bench.working(bench.bind("add", add), bench.bind("double", by_input)),
    ):
        run = await client.submit(bench.pipeline, 1)
        with pytest.raises(RunFailed):
            await run.wait(60)
        again = await run.rerun(begin="failed", input=40, unique="once")

        assert await again.wait(60) == 40
        assert (await again.status()).rerun_of == run.id
        assert (await run.rerun(begin="failed", input=40, unique="once")).id == again.id


@on_streams
async def test_the_events_of_a_run_are_followed(bench: Workbench, settings: Settings) -> None:
    async with (
        AsyncClient(settings=settings) as client,
        bench.working(bench.bind("add", add), bench.bind("double", double)),
    ):
        run = await client.submit(bench.pipeline, 1)
        kinds = [each.kind async for each in run.follow() if isinstance(each, Event)]

    assert kinds == ["accepted", "started", "finished", "started", "finished", "completed"]


@on_streams
async def test_after_its_close_and_elsewhere_a_client_is_a_clear_error(
    bench: Workbench, settings: Settings
) -> None:
    client = AsyncClient(settings=settings)
    run = await client.submit(bench.pipeline, 1)

    def in_another_loop() -> None:
        with pytest.raises(ClientClosed, match="another event loop"):
            asyncio.run(run.status())

    await asyncio.to_thread(in_another_loop)
    await client.close()
    await client.close()
    for call in (client.submit(bench.pipeline, 1), run.status()):
        with pytest.raises(ClientClosed, match="was closed: open another"):
            await call


@on_streams
async def test_a_store_that_is_away_is_an_error_with_the_id_to_repeat_with(
    bench: Workbench, queue_url: str
) -> None:
    away = Settings(broker_url=queue_url, store_url="valkey://127.0.0.1:1/0", signing_keys=KEYS)
    async with AsyncClient(settings=away) as client:
        with pytest.raises(StoreUnreachable) as error:
            await client.submit(bench.pipeline, 1, id="mine")

    assert error.value.__notes__ == ["to repeat it is safe: submit the same input with id='mine'"]


def test_keys_are_needed_over_the_broker() -> None:
    with pytest.raises(SettingsWrong, match="MOUSETRAP_SIGNING_KEYS: not set"):
        AsyncClient(settings=Settings())
    AsyncClient(settings=Settings(signing_keys="off"))


UNCLOSED = """
import asyncio
from mousetrap.client import AsyncClient

async def main():
    client = AsyncClient()
    await (await client.submit("earthquakes", {})).status()

asyncio.run(main())
"""


@on_streams
async def test_a_client_that_is_not_closed_is_one_warning_with_the_fix(
    bench: Workbench, settings: Settings
) -> None:
    given = {
        "MOUSETRAP_BROKER_URL": settings.broker_url,
        "MOUSETRAP_STORE_URL": settings.store_url,
        "MOUSETRAP_SIGNING_KEYS": KEYS,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "always::ResourceWarning", "-c", UNCLOSED),
        env={**os.environ, **given},
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()

    assert process.returncode == 0, errors.decode()
    assert errors.decode().count("async with AsyncClient() as client") == 1
    assert "Traceback" not in errors.decode()
    assert "athrow" not in errors.decode()


@on_streams
async def test_options_and_inputs_of_a_wrong_kind_are_clear_errors(
    bench: Workbench, settings: Settings
) -> None:
    async with AsyncClient(settings=settings) as client:
        wrong: Any
        for wrong, text in (
            ({"at": "tomorrow"}, "at is 'tomorrow': give a datetime with a time zone"),
            ({"tags": [1]}, "give a list of texts"),
        ):
            with pytest.raises(ValueError, match=text):
                await client.submit(bench.pipeline, 1, **wrong)
        for wrong in ({"delay": "60"}, {"expires_in": "60"}):
            with pytest.raises(TypeError, match="is '60': give seconds as a number, or a timedelta"):
                await client.submit(bench.pipeline, 1, **wrong)
        with pytest.raises(TypeError, match="timeout is '1': give seconds"):
            await client.run("a").wait(timeout="1")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="give a list of inputs"):
            await client.submit_many(bench.pipeline, "abc")


@on_streams
async def test_a_broken_contract_names_the_pipeline_and_a_wrong_name_the_nearest(
    bench: Workbench, settings: Settings
) -> None:
    async with AsyncClient(settings=settings) as client:
        with pytest.raises(ContractBroken) as broken:
            await client.submit(bench.pipeline, "two")
        with pytest.raises(UnknownPipeline, match="is it 'earthquakes'"):
            await client.submit("earthquake", {})
        run = await client.submit(bench.pipeline, 1)
        async with bench.working(bench.bind("add", add), bench.bind("double", double)):
            await run.wait(60)
        with pytest.raises(ContractBroken) as unfit:
            await client.run(run.id, split).wait(60)

    assert broken.value.__notes__ == [f"it is the input of pipeline {bench.pipeline.name!r}"]
    assert run.id in unfit.value.__notes__[0]
