"""Runs are started from threads, and their results waited for."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mousetrap.api import create_app
from mousetrap.client import Client, ClientClosed, RunFailed, UnknownRun, WaitTimeout
from mousetrap.handlers import chain, task
from mousetrap.settings import Settings
from mousetrap.shapes import Event, RunState
from support.api_server import serving
from support.client_worker import served
from support.workbench import on_streams

KEYS = "test:a-secret-for-the-tests"


@task
def halve(number: int) -> float:
    return number / 2


@task
def label(number: float) -> dict[str, float]:
    return {"half": number}


@task
def fails(number: int) -> int:
    raise ZeroDivisionError("no number")


released = threading.Event()


@task
def held(number: int) -> int:
    released.wait(60)
    return number


named = chain("named", halve, label, topics=("numbers.*",))


@pytest.fixture
def settings(queue_url: str, store_url: str) -> Settings:
    return Settings(broker_url=queue_url, store_url=store_url, signing_keys=KEYS)


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    """A client beside a worker that serves these tasks."""
    with served(settings, *named.bindings, fails.binding, held.binding), Client(settings=settings) as client:
        yield client


def test_a_run_is_started_and_its_result_waited_for(client: Client) -> None:
    run = client.submit(named, 7)

    assert run.wait(60) == {"half": 3.5}
    assert run.status().state == RunState.COMPLETED
    assert [each.kind for each in run.follow() if isinstance(each, Event)][-1] == "completed"
    assert [each.state for each in run.jobs(stage="label")] == ["done"]
    assert run.rerun("label", input=1.0).wait(60) == {"half": 1.0}


def test_many_are_submitted_at_once(client: Client) -> None:
    reports = client.submit_many(named, range(500))

    assert [report.error for report in reports] == [None] * 500
    assert [report.run.wait(60)["half"] for report in reports if report.run] == [n / 2 for n in range(500)]


def test_threads_share_a_client(client: Client) -> None:
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda number: client.submit(named, number).wait(60)["half"], range(64)))

    assert results == [number / 2 for number in range(64)]


@on_streams
def test_over_http_the_verbs_are_the_same(settings: Settings) -> None:
    app = create_app(settings, {named.pipeline.name: named.pipeline})
    with (
        served(settings, *named.bindings),
        serving(settings, app) as url,
        Client(via="http", settings=Settings(api_url=url)) as client,
    ):
        run = client.submit(named, 7, tags=["a"], unique="once")
        assert run.wait(60) == {"half": 3.5}
        assert run.status().tags == ("a",)
        assert not client.submit("named", 7, unique="once").new
        assert [each.kind for each in run.follow() if isinstance(each, Event)][-1] == "completed"
        assert run.rerun("label", input=1.0).wait(60) == {"half": 1.0}
        (published,) = client.publish("numbers.even", 8)
        assert published.wait(60) == {"half": 4.0}
        reports = client.submit_many(named, range(100))
        assert [each.run.wait(60)["half"] for each in reports if each.run] == [n / 2 for n in range(100)]
        later = client.submit(named, 7, delay=3600)
        assert client.run(later.id).cancel() == RunState.CANCELLED


@on_streams
def test_the_errors_are_those_of_the_asynchronous_client(client: Client) -> None:
    with pytest.raises(RunFailed, match="no number"):
        client.submit(fails, 1).wait(60)
    with pytest.raises(UnknownRun):
        client.run("nowhere").wait(1)
    with pytest.raises(WaitTimeout):
        client.submit(named, 1, delay=3600).wait(0.0001)


@on_streams
async def test_it_works_beside_a_running_event_loop_as_in_a_notebook(settings: Settings) -> None:
    with Client(settings=settings) as client:
        run = client.submit(named, 7)
        assert run.cancel() == RunState.CANCELLED
        assert asyncio.get_running_loop().is_running()


@on_streams
def test_after_its_close_it_is_a_clear_error(settings: Settings) -> None:
    with Client(settings=settings) as client:
        run = client.submit(named, 7)
    client.close()

    for call in (run.status, lambda: client.submit(named, 1)):
        with pytest.raises(ClientClosed, match="was closed: open another"):
            call()


@on_streams
def test_a_close_ends_the_waits_of_other_threads(settings: Settings) -> None:
    client = Client(settings=settings)
    run = client.submit(named, 7)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run.wait)
        assert run.status().state == RunState.QUEUED
        client.close()
        with pytest.raises(ClientClosed):
            waiting.result(60)


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, also where these tests run in a shell's background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@on_streams
@pytest.mark.usefixtures("_interruptible")
def test_an_interruption_ends_the_wait_and_not_the_run(client: Client) -> None:
    run = client.submit(held, 7)
    timer = threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT])
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        run.wait(60)
    timer.join()
    released.set()

    assert run.wait(60) == 7
