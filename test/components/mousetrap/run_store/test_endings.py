"""Tests waits for the ends of runs: pushed, cheap, and through outages."""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from mousetrap.jobs import Done, Job, StoreUnreachable, first_job
from mousetrap.run_store import Granted, RunStore, StoredRun, notifications, open_store
from mousetrap.run_store.endings import Outage
from mousetrap.shapes import Event, Progress, RunState
from support.inbox import eventually
from support.ports import closed_port
from support.proxy import Proxy, open_door
from support.valkey import administrator

RESULT = Done(msgspec.Raw(b"2"))
WITHIN_S = 60.0


@pytest.fixture
def impatient(patient_clients: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients as they are, for a server that does not answer."""
    monkeypatch.setattr("mousetrap.store_client.opening._CONNECT_TIMEOUT_S", 1.0)
    monkeypatch.setattr("mousetrap.store_client.opening._REPLY_TIMEOUT_S", 1.5)


@pytest.fixture
def store(store_url: str) -> AbstractAsyncContextManager[RunStore]:
    return open_store(store_url, retention=600)


@pytest.fixture
def proxy(store_url: str) -> Iterator[Proxy]:
    with open_door(store_url) as proxy:
        yield proxy


async def test_a_wait_gives_the_run_with_its_result_when_it_has_ended(store: RunStore) -> None:
    job = await begun(store, "r1")
    waiting = await wait_begun(store, "r1")

    await complete(store, job)

    run = await waiting
    assert run is not None
    assert (run.state, run.result, run.timeline[-1].kind) == (RunState.COMPLETED, 2, "completed")


async def test_a_run_that_has_ended_is_there_at_once_and_an_unknown_one_is_none(store: RunStore) -> None:
    await complete(store, await begun(store, "r1"))

    run = await store.wait_ended("r1", 0)

    assert run is not None
    assert run.state == RunState.COMPLETED
    assert await store.wait_ended("r2", math.inf) is None


async def test_a_wait_ends_without_the_run_when_its_time_is_over(store: RunStore) -> None:
    await begun(store, "r1")

    assert await store.wait_ended("r1", 0.05) is None


async def test_a_cancelled_run_has_ended_too(store: RunStore) -> None:
    await begun(store, "r1")
    waiting = await wait_begun(store, "r1")

    await store.cancel("r1")

    run = await waiting
    assert run is not None
    assert run.state == RunState.CANCELLED


async def test_a_store_that_is_away_at_the_start_is_an_error_and_not_a_wait() -> None:
    async with open_store(f"valkey://127.0.0.1:{closed_port()}", retention=600) as store:
        with pytest.raises(StoreUnreachable):
            await store.wait_ended("r1", 60)


async def test_a_thousand_waits_cost_a_look_and_a_read_each_and_nothing_while_they_wait(
    store_url: str, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Long enough that a busy machine's store is not silent for it: a subscription that is lost costs a look of each wait.
    monkeypatch.setattr(notifications, "_CHECK_EVERY_S", 1.0)
    await complete(
        store, await begun(store, "first")
    )  # what a server without our functions notifies of comes early
    run_ids = [f"r{number}" for number in range(1_000)]
    jobs = await asyncio.gather(*(begun(store, run_id) for run_id in run_ids))
    watched = administrator(store_url)  # another user than `store` is, so that its commands can be counted
    if watched == store_url:
        pytest.skip("the server that was given has one user for all")
    with commands_of(urlsplit(watched).username or "", watched) as commands:
        async with open_store(watched, retention=600) as waiter:
            waits = [asyncio.create_task(waiter.wait_ended(run_id, WITHIN_S)) for run_id in run_ids]
            await eventually(lambda: number_of(commands, "PING", at_least=2), True)

            await asyncio.gather(*(complete(store, job) for job in jobs))
            runs = await asyncio.gather(*waits)
            sent = Counter(commands())

    assert {run.state for run in runs if run} == {RunState.COMPLETED}
    # One subscription for all. A machine that stops for a tenth of a second costs it a check, and so another one.
    subscriptions = sent.pop("SUBSCRIBE")
    assert subscriptions <= 5
    # All look once for each subscription, without a call of a function, and read once.
    assert sent.pop("GETRANGE") <= (subscriptions + 1) * 1_000
    # A run of either family is read in one round trip, and what its job recorded in another.
    assert [sent.pop(name) for name in ("HGETALL", "HGET", "MULTI", "EXEC", "XREVRANGE")] == [1_000] * 5
    assert [sent.pop(name) for name in ("XRANGE", "GET")] == [2_000] * 2
    # One for the whole process while nothing comes, and how a client names itself on each of its few connections.
    assert sent.pop("PING") < 200
    assert set(sent) <= {"AUTH", "HELLO", "CLIENT", "FUNCTION", "SELECT", "TIME"}


async def test_an_end_during_an_outage_of_the_store_is_found_when_it_is_back(
    store: RunStore, proxy: Proxy
) -> None:
    async with open_store(proxy.url, retention=600) as waiter:
        job = await begun(store, "r1")
        waiting = await wait_begun(waiter, "r1")

        proxy.hold()
        proxy.cut()
        await complete(store, job)
        proxy.release()

        run = await waiting
    assert run is not None
    assert run.state == RunState.COMPLETED


@pytest.mark.usefixtures("impatient")
async def test_a_wait_without_a_limit_ends_when_the_store_stays_away(store: RunStore, proxy: Proxy) -> None:
    async with open_store(proxy.url, retention=600) as waiter:
        await begun(store, "r1")
        waiting = await wait_begun(waiter, "r1", within=math.inf, outage=0.2)

        proxy.hold()
        proxy.cut()

        with pytest.raises(StoreUnreachable):
            await asyncio.wait_for(waiting, WITHIN_S)
        proxy.release()


async def test_a_wait_without_a_limit_ends_where_the_store_refuses_to_notify(
    store: RunStore, store_url: str
) -> None:
    """A user of a server has no rights to channels unless they are given."""
    place = urlsplit(store_url)
    with Redis.from_url(administrator(store_url)) as server:
        server.acl_setuser(
            "deaf", enabled=True, passwords=["+word"], keys=["*"], commands=["+@all"], reset=True
        )
    async with open_store(
        f"valkey://deaf:word@{place.hostname}:{place.port}{place.path}", retention=600
    ) as waiter:
        await begun(store, "r1")
        waiting = asyncio.create_task(waiter.wait_ended("r1", math.inf, outage=0.2))

        with pytest.raises(StoreUnreachable, match="NOPERM"):
            await asyncio.wait_for(waiting, WITHIN_S)


def test_an_outage_is_counted_from_its_start_and_ends_with_an_answer() -> None:
    outage, error = Outage(60), StoreUnreachable("away")
    outage.check(100, error)
    outage.check(159, error)
    outage.over()
    outage.check(159, error)
    outage.check(218, error)

    with pytest.raises(StoreUnreachable, match="away"):
        outage.check(219, error)


@pytest.mark.usefixtures("impatient")
async def test_a_connection_that_is_half_open_is_noticed_and_replaced(
    store: RunStore, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "_CHECK_EVERY_S", 0.2)
    async with open_store(proxy.url, retention=600) as waiter:
        job = await begun(store, "r1")
        waiting = await wait_begun(waiter, "r1")

        proxy.stall()
        await complete(store, job)

        run = await waiting
    assert run is not None
    assert run.state == RunState.COMPLETED


@pytest.mark.parametrize("channel", [notifications.ENDS, notifications.CHANGES])
async def test_a_notification_of_another_version_does_no_harm(
    store_url: str, store: RunStore, channel: str
) -> None:
    job = await begun(store, "r1")
    waiting = await wait_begun(store, "r1")
    watching = asyncio.create_task(all_of(store.watch("r1")))
    async with AsyncRedis.from_url(administrator(store_url)) as other:
        for payload in (b"r1 ended", b"\xff", b"", b'{"run":"r1"}', b"r1"):
            await other.publish(channel, payload)

        await complete(store, job)

    run = await waiting
    assert run is not None
    assert run.state == RunState.COMPLETED
    assert getattr((await asyncio.wait_for(watching, WITHIN_S))[-1], "kind", "") == "completed"


async def test_an_earlier_version_that_notifies_of_changes_as_of_ends_costs_a_read_and_no_more(
    store_url: str, store: RunStore
) -> None:
    job = await begun(store, "r1")
    waiting = await wait_begun(store, "r1")
    async with AsyncRedis.from_url(administrator(store_url)) as other:
        for _ in range(3):
            await other.publish(notifications.ENDS, b"r1")
    assert not waiting.done()

    await complete(store, job)

    assert await waiting is not None


async def begun(store: RunStore, run_id: str) -> Job:
    """A run that a worker has, by its first job."""
    opened = await store.open_run(run_id, "sums", "add", b"1")
    return first_job(
        run_id=run_id, pipeline="sums", stage="add", payload=b"1", accepted_ms=opened.accepted_ms
    )


async def complete(store: RunStore, job: Job) -> None:
    claim = await store.claim(job, worker="w1", redelivered=False, lease=60)
    assert isinstance(claim, Granted)
    assert await store.decide(job, RESULT, fence=claim.fence, worker="w1", last=True) == "recorded"


async def wait_begun(
    store: RunStore, run_id: str, within: float = WITHIN_S, outage: float = 60
) -> "asyncio.Task[Any]":
    """A wait that has looked, and is notified of from now on."""
    looked = asyncio.Event()
    go_on = store._until_ended

    async def until_ended(*args: Any) -> StoredRun | None:
        looked.set()
        return await go_on(*args)

    store._until_ended = until_ended  # type: ignore[method-assign, assignment]
    waiting = asyncio.create_task(store.wait_ended(run_id, within, outage))
    await looked.wait()
    return waiting


async def all_of(news: AsyncIterator[Event | Progress]) -> list[Event | Progress]:
    return [each async for each in news]


@contextmanager
def commands_of(user: str, url: str) -> Iterator[Callable[[], list[str]]]:
    """The names of the commands that clients of this user have sent, but those of scripts and this look's own."""
    seen: list[tuple[str, str]] = []
    ports: set[str] = set()
    with Redis.from_url(url) as own, own.monitor() as monitor:
        mine = str(own.client_info()["addr"])

        def commands() -> list[str]:
            ports.update(client["addr"] for client in own.client_list() if client["user"] == user)
            mark = uuid4().hex
            own.echo(mark)
            while mark not in (command := monitor.next_command())["command"]:
                if command["client_type"] != "lua":
                    where = f"{command['client_address']}:{command['client_port']}"
                    seen.append((where, command["command"].split()[0].upper()))
            return [name for where, name in seen if where in ports and where != mine]

        yield commands


async def number_of(commands: Callable[[], list[str]], name: str, *, at_least: int) -> bool:
    return commands().count(name) >= at_least
