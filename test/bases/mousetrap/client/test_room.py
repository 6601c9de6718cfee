"""Clients refuse new runs before dead queues or store are full."""

from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from mousetrap.client import AsyncClient, Client
from mousetrap.embedded_valkey import EmbeddedValkey
from mousetrap.handlers import task
from mousetrap.jobs import Message, StoreFull, dead_queue
from mousetrap.settings import Settings
from mousetrap.submit_run import DeadLettersFull
from support.inbox import eventually
from support.valkey import administrator
from support.workbench import Workbench

KEYS = "test:a-secret-for-the-tests"


@task
def kept(text: str) -> str:
    return text


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mousetrap.client.room._EVERY_S", 0.0)


async def test_no_run_is_submitted_while_a_queue_of_its_pipeline_holds_as_many_dead_letters_as_it_may(
    bench: Workbench, queue_url: str, store_url: str
) -> None:
    settings = Settings(broker_url=queue_url, store_url=store_url, signing_keys=KEYS, dead_max_length=1)
    dead = dead_queue(bench.queue_of("double"))

    async with AsyncClient(settings=settings) as client:
        first = await client.submit(bench.pipeline, 1)
        with Client(settings=settings) as blocking:

            async def refused() -> set[str]:
                (report,) = await client.submit_many(bench.pipeline, [1])
                (other,) = blocking.submit_many(bench.pipeline, [1])
                return {type(each.error).__name__ for each in (report, other)}

            await bench.queue.publish(dead, Message("m", b"x", {"mousetrap-reason": "contract"}))
            await eventually(refused, {"DeadLettersFull"})
            for call in (client.submit(bench.pipeline, 1), first.rerun()):
                with pytest.raises(DeadLettersFull, match="1 dead letters are in double_"):
                    await call
            with pytest.raises(
                DeadLettersFull, match="MOUSETRAP_DEAD_MAX_LENGTH allows 1: redrive or discard"
            ):
                blocking.submit(bench.pipeline, 1)
            (await bench.next_of(dead)).acknowledge()
            await eventually(refused, {"NoneType"})


@pytest.fixture
def administered(own_valkey: EmbeddedValkey) -> Iterator[Redis]:
    """The store, for its administrator; its bound is the former one afterwards."""
    with Redis.from_url(administrator(own_valkey.url)) as client:
        was: Any = client.config_get("maxmemory")["maxmemory"]
        yield client
        client.config_set("maxmemory", was)


def test_no_run_is_submitted_while_the_store_keeps_its_rest_for_the_runs_that_it_has(
    own_valkey: EmbeddedValkey, administered: Redis
) -> None:
    settings = Settings(broker_url=own_valkey.url, store_url=own_valkey.url, signing_keys=KEYS)
    with Client(settings=settings) as client:
        client.submit(kept, "a")
        used: Any = administered.info("memory")["used_memory"]
        administered.config_set("maxmemory", int(used * 1.2))
        with pytest.raises(StoreFull, match="80% of what its maxmemory allows"):
            client.submit(kept, "b")
        administered.config_set("maxmemory", used * 4)
        client.submit(kept, "b")
        (report,) = client.submit_many(kept, ["x" * used * 2])
        assert isinstance(report.error, StoreFull)


async def test_a_count_serves_the_submissions_of_some_seconds(
    bench: Workbench, queue_url: str, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.client.room._EVERY_S", 300.0)  # a busy machine takes longer than five
    settings = Settings(broker_url=queue_url, store_url=store_url, signing_keys=KEYS)
    async with AsyncClient(settings=settings) as client:
        await client.submit(bench.pipeline, 1)
        with Redis.from_url(administrator(store_url)) as administrator_of:
            asked = _infos(administrator_of)
            await client.submit_many(bench.pipeline, range(50))
            assert _infos(administrator_of) - asked <= 1


def _infos(client: Redis) -> int:
    found: Any = client.info("commandstats")
    calls: int = found.get("cmdstat_info", {"calls": 0})["calls"]
    return calls
