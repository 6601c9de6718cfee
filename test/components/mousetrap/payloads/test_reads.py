"""Tests that payloads of one moment are read together."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from mousetrap.jobs import Reference, StoreUnreachable
from mousetrap.payloads import StoreBackend
from mousetrap.store_client import Command, ReplyError

KIB = 1024


class Server:
    """Replies with the field's name as its value, and counts the calls."""

    is_cluster = False

    def __init__(self, *failures: Exception) -> None:
        self.calls: list[Sequence[Command]] = []
        self.failures = list(failures)
        self.refused: dict[str, ReplyError] = {}
        self.held: asyncio.Event | None = None

    async def pipeline(self, commands: Sequence[Command]) -> list[Any]:
        self.calls.append(commands)
        if self.held is not None:
            await self.held.wait()
        if self.failures:
            raise self.failures.pop()
        return [self.refused.get(str(field), str(field).encode()) for _, _, field in commands]


def reference(name: str, size: int = 64 * KIB) -> Reference:
    return Reference(key=f"run/{name}", sha256="", size=size)


def read_all(server: Server, *wanted: Reference) -> list[Any]:
    async def reading() -> list[Any]:
        backend = StoreBackend(server, "here", 3600)  # type: ignore[arg-type]
        return await asyncio.gather(*(backend.read(it) for it in wanted), return_exceptions=True)

    return asyncio.run(reading())


def test_small_payloads_of_one_moment_share_calls_of_a_mebibyte() -> None:
    server = Server()

    found = read_all(server, *(reference(f"p{number}") for number in range(20)))

    assert found == [f"p{number}".encode() for number in range(20)]
    assert [len(call) for call in server.calls] == [16, 4]


def test_a_large_payload_goes_alone_and_part_by_part() -> None:
    server = Server()

    found = read_all(server, reference("large", 2_500 * KIB), reference("small"))

    assert found == [b"largelarge.1large.2", b"small"]
    assert len(server.calls) == 4


def test_what_the_server_refuses_is_the_error_of_its_own_read() -> None:
    server = Server()
    server.refused["b"] = ReplyError("WRONGTYPE no hash")

    first, second = read_all(server, reference("a"), reference("b"))

    assert first == b"a"
    assert isinstance(second, StoreUnreachable)


def test_a_lost_call_is_the_error_of_all_that_shared_it() -> None:
    server = Server(ConnectionError("lost"))

    found = read_all(server, reference("a"), reference("b"))

    assert [type(it) for it in found] == [StoreUnreachable, StoreUnreachable]


@pytest.mark.parametrize("turns", [0, 1, 3])
def test_a_call_that_others_cancel_leaves_no_reader_waiting(turns: int) -> None:
    server = Server()

    async def reading() -> list[Any]:
        server.held = asyncio.Event()
        backend = StoreBackend(server, "here", 3600)  # type: ignore[arg-type]
        readers = [asyncio.create_task(backend.read(reference(name))) for name in "ab"]
        await asyncio.sleep(0)  # both have asked
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in asyncio.all_tasks() - {asyncio.current_task(), *readers}:
            task.cancel()
        server.held.set()
        return await asyncio.gather(*readers, return_exceptions=True)

    found = asyncio.run(reading())

    assert all(isinstance(it, bytes | StoreUnreachable) for it in found)


def test_a_reader_that_leaves_takes_nothing_from_the_others() -> None:
    server = Server()

    async def reading() -> tuple[Any, Any]:
        server.held = asyncio.Event()
        backend = StoreBackend(server, "here", 3600)  # type: ignore[arg-type]
        leaves, stays = (asyncio.create_task(backend.read(reference(name))) for name in "ab")
        await asyncio.sleep(0)
        leaves.cancel()
        server.held.set()
        return await asyncio.gather(leaves, stays, return_exceptions=True)

    left, stayed = asyncio.run(reading())

    assert isinstance(left, asyncio.CancelledError)
    assert stayed == b"b"
