"""Servers are away while runs are submitted, waited for and followed."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

import pytest

from mousetrap.api import create_app
from mousetrap.client import AsyncClient, Client, WaitTimeout
from mousetrap.handlers import task
from mousetrap.jobs import PublishUnconfirmed, QueueUnreachable, StoreUnreachable
from mousetrap.settings import Settings
from mousetrap.shapes import Event, RunState
from support.api_server import serving
from support.rabbitmq import OwnRabbitMQ
from support.relay import Relay, relay
from support.workbench import Workbench, double, on_streams

KEYS = "test:a-secret-for-the-tests"
KINDS = ["accepted", "started", "finished", "started", "finished", "completed"]

Open = Callable[[Workbench], AbstractAsyncContextManager[tuple[AsyncClient, Relay]]]


@pytest.fixture(params=["broker", "http"])
def open_client(request: pytest.FixtureRequest, queue_url: str, store_url: str) -> Open:
    """Opens a client, and the relay through which it reaches the store, or the API."""

    @asynccontextmanager
    async def over_http(bench: Workbench) -> AsyncIterator[tuple[AsyncClient, Relay]]:
        settings = Settings(broker_url=queue_url, store_url=store_url, signing_keys=KEYS)
        with serving(settings, create_app(settings, {bench.pipeline.name: bench.pipeline})) as url:
            async with (
                relay(url) as between,
                AsyncClient(via="http", settings=Settings(api_url=between.url)) as client,
            ):
                yield client, between

    @asynccontextmanager
    async def over_broker(_: Workbench) -> AsyncIterator[tuple[AsyncClient, Relay]]:
        async with relay(store_url) as between:
            settings = Settings(broker_url=queue_url, store_url=between.url, signing_keys=KEYS)
            async with AsyncClient(settings=settings) as client:
                yield client, between

    return over_http if request.param == "http" else over_broker


@on_streams
@pytest.mark.parametrize("lasting", [True, False], ids=["outage", "cut"])
async def test_a_wait_and_a_follow_outlast_an_outage_and_see_every_event_once(
    bench: Workbench, open_client: Open, lasting: bool
) -> None:
    begun, released, seen = asyncio.Event(), asyncio.Event(), list[Event]()

    async def held(number: int) -> int:
        await released.wait()
        return number + 1

    async with (
        open_client(bench) as (client, between),
        bench.working(bench.bind("add", held), bench.bind("double", double)),
    ):
        run = await client.submit(bench.pipeline, 20)

        async def follow() -> None:
            async for each in run.follow():
                if isinstance(each, Event):
                    seen.append(each)
                    begun.set() if each.kind == "started" else None

        waiting, following = asyncio.create_task(run.wait(60)), asyncio.create_task(follow())
        await begun.wait()
        if lasting:
            await between.shut()
            released.set()
            await bench.ended(run.id)
            assert not waiting.done()
            assert not following.done()
            await between.open()
        else:
            between.cut()
            released.set()

        assert await waiting == 42
        await following
    assert [each.kind for each in seen] == KINDS
    assert len({each.id for each in seen}) == len(seen)


@on_streams
async def test_a_wait_ends_in_time_though_nothing_can_be_reached(bench: Workbench, open_client: Open) -> None:
    async with open_client(bench) as (client, between):
        run = await client.submit(bench.pipeline, 20)
        await between.shut()
        begun = time.monotonic()
        with pytest.raises(WaitTimeout, match="its state could not be read"):
            await run.wait(1.0)

    assert time.monotonic() - begun < 45


@on_streams
# A wait that the API has begun before the outage may stay there for the sixty seconds that it asked for.
@pytest.mark.test_timeout(200)
async def test_an_outage_that_stays_is_raised(
    bench: Workbench, open_client: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.client.handle._OUTAGE_S", 0.2)
    async with open_client(bench) as (client, between):
        run = await client.submit(bench.pipeline, 20)
        begun = asyncio.create_task(run.wait())
        await run.status()  # goes by the way of the wait, and after it
        await between.shut()

        async def follow() -> None:
            async for _ in run.follow():
                pass

        for call in (begun, run.wait(), follow()):
            with pytest.raises(StoreUnreachable):
                await call


@task
def waits(number: int) -> int:
    return number


@contextmanager
def out_of_memory(broker: OwnRabbitMQ) -> Iterator[None]:
    """The broker takes no message."""
    broker.rabbitmqctl("set_vm_memory_high_watermark", "0")
    try:
        yield
    finally:
        broker.rabbitmqctl("set_vm_memory_high_watermark", "0.4")


def test_a_broker_short_of_memory_is_an_error_in_time_and_used_again_afterwards(
    own_rabbitmq: OwnRabbitMQ, store_url: str
) -> None:
    settings = Settings(
        broker_url=own_rabbitmq.url, store_url=store_url, signing_keys=KEYS, confirm_seconds=2.0
    )
    with Client(settings=settings) as client, Client(settings=settings) as left:
        _submitted(client, 0, "before")
        _submitted(left, 0, "left-before")
        with out_of_memory(own_rabbitmq):
            begun = time.monotonic()
            with pytest.raises((PublishUnconfirmed, QueueUnreachable)) as first:
                client.submit(waits, 1, id="first")
            with pytest.raises(QueueUnreachable, match="memory or disk"):
                client.submit(waits, 2, id="second")
            (report,) = client.submit_many(waits, [3])
            assert isinstance(report.error, QueueUnreachable)
            with pytest.raises((PublishUnconfirmed, QueueUnreachable)):
                left.submit(waits, 4)
            left.close()
            assert time.monotonic() - begun < 90
            assert first.value.__notes__ == ["to repeat it is safe: submit the same input with id='first'"]

        for number, run_id in ((1, "first"), (2, "second"), (3, report.id)):
            assert _submitted(client, number, run_id) == RunState.QUEUED


def _submitted(client: Client, number: int, run_id: str) -> RunState:
    """The state of the run, once the broker takes it in time: it takes a second to notice that it may."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return client.submit(waits, number, id=run_id).status().state
        except (PublishUnconfirmed, QueueUnreachable):
            assert time.monotonic() < deadline
