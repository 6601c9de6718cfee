"""Tests the store's client against a real server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mousetrap.embedded_valkey import EmbeddedValkey
from mousetrap.jobs import StoreUnreachable
from mousetrap.store_client import ReplyError, StoreClient, open_client, reaching


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[StoreClient]:
    client = open_client(url, None)
    try:
        yield client
    finally:
        await client.close()


async def test_a_call_has_its_reply_and_raises_its_refusal(store_url: str) -> None:
    async with opened(store_url) as client:
        assert await client.call("GET", "mousetrap:a") is None
        assert await client.call("SET", "mousetrap:a", memoryview(b"\xff\0\r\n")) == b"OK"
        assert await client.call("GET", b"mousetrap:a") == b"\xff\0\r\n"
        assert await client.call("INCRBY", "mousetrap:n", 5) == 5
        assert await client.call("HMGET", "mousetrap:h", "x", "y") == [None, None]
        with pytest.raises(ReplyError, match=r"^WRONGTYPE ") as refused:
            await client.call("HGET", "mousetrap:a", "x")
        assert refused.value.code == "WRONGTYPE"


async def test_in_a_pipeline_an_error_is_a_value_in_its_place(store_url: str) -> None:
    async with opened(store_url) as client:
        assert await client.pipeline([]) == []
        first, error, last = await client.pipeline(
            [("SET", "mousetrap:a", 1), ("LPUSH", "mousetrap:a", 1), ("GET", "mousetrap:a")]
        )

    assert (first, last) == (b"OK", b"1")
    assert isinstance(error, ReplyError)


async def test_a_transaction_happens_as_a_whole(store_url: str) -> None:
    async with opened(store_url) as client:
        assert await client.transaction([("INCR", "mousetrap:n"), ("INCR", "mousetrap:n")]) == [1, 2]
        with pytest.raises(ReplyError, match="unknown command"):
            await client.transaction([("INCR", "mousetrap:n"), ("NOSUCHCOMMAND",)])
        assert await client.call("GET", "mousetrap:n") == b"2"
        with pytest.raises(ReplyError, match="WRONGTYPE"):
            await client.transaction([("LPUSH", "mousetrap:n", 1)])


async def test_many_calls_at_once_get_their_own_replies(store_url: str) -> None:
    async def ask(client: StoreClient, number: int) -> Any:
        size = number % 7 * 10_000
        return await client.pipeline([("ECHO", f"{number}"), ("ECHO", "x" * size)]) == [
            b"%d" % number,
            b"x" * size,
        ]

    async with opened(store_url) as client:
        assert all(await asyncio.gather(*(ask(client, number) for number in range(300))))


async def test_what_cannot_be_sent_harms_no_other_call(store_url: str) -> None:
    async with opened(store_url) as client:
        with pytest.raises(UnicodeEncodeError):
            await client.call("ECHO", "\ud800")
        with pytest.raises(TypeError):
            await client.call("ECHO", None)
        assert await client.call("ECHO", "a") == b"a"


async def test_connections_that_were_lost_while_idle_cost_no_call(own_valkey: EmbeddedValkey) -> None:
    async with opened(own_valkey.url) as client:
        # At once, so that each has a connection of its own, which the server's end breaks.
        await asyncio.gather(*(client.call("GET", f"mousetrap:{n}") for n in range(8)))
        await asyncio.to_thread(own_valkey.kill)
        await asyncio.to_thread(own_valkey.start)

        again = await asyncio.gather(*(client.call("GET", f"mousetrap:{n}") for n in range(8)))
        assert again == [None] * 8


async def test_a_wrong_password_is_an_absent_store_and_is_in_no_error(own_valkey: EmbeddedValkey) -> None:
    name, _, place = own_valkey.url.rpartition("@")
    url = f"{name.rpartition(':')[0]}:hunter2-hunter2@{place}"
    async with opened(url) as client:
        with pytest.raises(StoreUnreachable, match="WRONGPASS") as refused, reaching("h:1"):
            await client.call("PING")

    error: BaseException | None = refused.value
    while error is not None:
        assert "hunter2" not in repr(error)
        error = error.__cause__ or error.__context__


def test_a_client_serves_one_event_loop_after_another(store_url: str) -> None:
    client = open_client(store_url, None)

    async def use(close: bool) -> Any:
        reply = await client.call("ECHO", "a")
        if close:
            await client.close()
        return reply

    async def leave_open() -> Any:
        try:
            return await use(close=False)
        finally:
            for slot in client._slots:
                await slot.close()

    assert [asyncio.run(leave_open()), asyncio.run(use(close=True))] == [b"a", b"a"]


async def test_a_subscription_gets_what_is_published(store_url: str) -> None:
    came: asyncio.Queue[list[Any]] = asyncio.Queue()
    async with opened(store_url) as client:
        listening = asyncio.create_task(
            client.subscribe(["mousetrap:a", "mousetrap:b"], came.put_nowait, silence_s=0.05)
        )
        assert [await came.get() for _ in range(2)] == [
            [b"subscribe", b"mousetrap:a", 1],
            [b"subscribe", b"mousetrap:b", 2],
        ]
        assert await came.get() == [b"pong", b""]  # it was silent, and was asked
        await client.call("PUBLISH", "mousetrap:b", "news")
        while (reply := await came.get()) == [b"pong", b""]:
            pass
        assert reply == [b"message", b"mousetrap:b", b"news"]
        listening.cancel()
        await asyncio.wait([listening])
