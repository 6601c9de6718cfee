"""Tests a connection and its client against a server that misbehaves."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import hiredis
import pytest

from mousetrap.store_client import Address, ConnectionLost, Server, StoreClient, connection, packed

#: Shorter than a test, longer than a busy machine needs for a reply on loopback.
SHORT_S = 1.0


class Fake:
    """A server that answers each command as the test wants: bytes to send, None for silence, or an empty text to hang up."""

    def __init__(self, answer: Callable[[list[bytes]], bytes | None], hang_up: bool = False) -> None:
        self._answer = answer
        self._hang_up = hang_up
        self.commands: list[list[bytes]] = []
        self.connections = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        parser = hiredis.Reader()
        try:
            while data := await reader.read(65_536):
                parser.feed(data)
                while (command := parser.gets()) is not False:
                    self.commands.append(command)
                    answer = self._answer(command)
                    if answer == b"":
                        return
                    writer.write(answer or b"")
                    if self._hang_up:
                        return
        finally:
            writer.close()

    def server(self, timeout_s: float | None = None) -> Server:
        return Server(Address("127.0.0.1", self.port), None, "", 5.0, timeout_s)

    @asynccontextmanager
    async def client(self, timeout_s: float | None = None) -> AsyncIterator[StoreClient]:
        client = StoreClient(self.server(timeout_s))
        try:
            yield client
        finally:
            await client.close()


@asynccontextmanager
async def serving(
    answer: Callable[[list[bytes]], bytes | None], *, hang_up: bool = False
) -> AsyncIterator[Fake]:
    """`hang_up`: after the first answer on each connection."""
    fake = Fake(answer, hang_up)
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.port = server.sockets[0].getsockname()[1]
    try:
        yield fake
    finally:
        server.close()


def in_turn(answers: Sequence[bytes | None]) -> Callable[[list[bytes]], bytes | None]:
    left = iter(answers)
    return lambda _: next(left)


async def test_a_call_whose_connection_is_lost_is_sent_once_more() -> None:
    async with serving(in_turn([b"", b"+OK\r\n", b"", b""])) as fake, fake.client() as client:
        assert await client.call("FIRST") == b"OK"
        with pytest.raises(ConnectionLost):
            await client.call("SECOND")

    assert [name for (name,) in fake.commands] == [b"FIRST", b"FIRST", b"SECOND", b"SECOND"]


async def test_a_call_that_timed_out_is_not_sent_again_and_its_connection_is_left() -> None:
    def answer(command: list[bytes]) -> bytes | None:
        return None if command == [b"SLOW"] else b"+%b\r\n" % command[0]

    async with serving(answer) as fake, fake.client(SHORT_S) as client:
        assert await client.call("FIRST") == b"FIRST"
        with pytest.raises(TimeoutError, match="does not answer"):
            await client.call("SLOW")
        assert await client.call("LAST") == b"LAST"

    assert fake.commands == [[b"FIRST"], [b"SLOW"], [b"LAST"]]
    assert fake.connections == 2


async def test_a_caller_that_leaves_shifts_no_reply() -> None:
    async with serving(lambda it: None if it == [b"HELD"] else b"+held\r\n+%b\r\n" % it[0]) as fake:
        link = await fake.server().connect()
        left = asyncio.ensure_future(link.exchange(packed([("HELD",)])))
        left.cancel()
        assert await link.exchange(packed([("NEXT",)])) == [b"NEXT"]
        link.close()
        await link.ended


async def test_calls_at_once_share_a_few_connections() -> None:
    async with serving(lambda it: b"+%b\r\n" % it[1]) as fake, fake.client() as client:
        replies = await asyncio.gather(*(client.call("ECHO", str(number)) for number in range(50)))

    assert replies == [b"%d" % number for number in range(50)]
    assert fake.connections == 4


@pytest.mark.parametrize(
    "reply",
    [b"HTTP/1.1 400 Bad Request\r\n", b"+OK\r\n+more\r\n", b"*1000000000000\r\n", b"$-7\r\nabc"],
    ids=["http", "unasked", "array", "length"],
)
async def test_what_is_no_reply_ends_the_connection(reply: bytes) -> None:
    async with serving(in_turn([reply, b"+OK\r\n"])) as fake:
        link = await fake.server(SHORT_S).connect()
        with suppress(ConnectionError):  # unasked ones may come after the one that was asked for
            assert await link.exchange(packed([("GET", "a")])) == [b"OK"]
        await link.ended

    assert not link.usable


async def test_a_reply_without_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_LARGEST_REPLY", 100_000)
    async with serving(lambda _: b"$50000000\r\n" + b"x" * 200_000) as fake, fake.client() as client:
        with pytest.raises(ConnectionError, match="larger"):
            await client.call("GET", "a")

    assert len(fake.commands) == 1


async def test_a_replica_is_left_for_the_server_that_the_address_leads_to_then() -> None:
    answers = in_turn([b"-READONLY no writes here\r\n", b"+OK\r\n"])
    async with serving(answers) as fake, fake.client() as client:
        with pytest.raises(ConnectionError, match="READONLY"):
            await client.call("SET", "a", "b")
        assert await client.call("SET", "a", "b") == b"OK"

    assert fake.connections == 2


async def test_a_server_that_loads_its_data_is_away() -> None:
    loading, ready = b"-LOADING the dataset\r\n", b"+OK\r\n"
    async with serving(in_turn([loading, loading, ready, ready])) as fake, fake.client() as client:
        with pytest.raises(ConnectionError, match="LOADING"):
            await client.pipeline([("A",), ("B",)])
        assert await client.pipeline([("A",), ("B",)]) == [b"OK", b"OK"]

    assert fake.connections == 1


async def test_nothing_is_written_to_a_socket_that_has_failed_in_this_turn() -> None:
    """The event loop reports a failed write in its next turn: what was written before that would be lost, and logged."""
    async with serving(lambda it: b"+%b\r\n" % it[0]) as fake, fake.client() as client:
        assert await client.call("FIRST") == b"FIRST"
        link = client._slots[0]._connection
        assert link is not None
        assert link._transport is not None
        link._transport.abort()  # as the event loop does after a failed write
        assert not link.usable
        assert await client.call("SECOND") == b"SECOND"

    assert fake.commands == [[b"FIRST"], [b"SECOND"]]
    assert fake.connections == 2


async def test_a_silent_subscription_is_lost() -> None:
    def answer(command: list[bytes]) -> bytes | None:
        return b"*3\r\n+subscribe\r\n+a\r\n:1\r\n" if command[0] == b"SUBSCRIBE" else None

    async with serving(answer) as fake, fake.client() as client:
        with pytest.raises(TimeoutError):
            await client.subscribe(["a"], lambda _: None, silence_s=0.05)

    first, *others = fake.commands
    assert first == [b"SUBSCRIBE", b"a"]
    assert others
    assert all(other == [b"PING"] for other in others)


async def test_a_subscription_that_the_server_ends_is_lost() -> None:
    async with serving(lambda _: b"") as fake, fake.client() as client:
        with pytest.raises(ConnectionLost):
            await client.subscribe(["a"], lambda _: None, silence_s=60.0)


async def test_a_subscription_that_is_refused_ends_with_the_refusal() -> None:
    """A user of a server may have rights to keys and none to channels: then nothing would ever come."""

    def answer(command: list[bytes]) -> bytes:
        return b"+PONG\r\n" if command == [b"PING"] else b"-NOPERM no permissions to access a channel\r\n"

    async with serving(answer) as fake, fake.client() as client, asyncio.timeout(60.0):
        with pytest.raises(ConnectionError, match="NOPERM"):
            await client.subscribe(["a"], lambda _: None, silence_s=0.05)


@pytest.mark.parametrize("commands", [[("A",)], [("A",), ("B",)]], ids=["call", "pipeline"])
async def test_a_server_with_too_many_clients_is_away_and_named_so(commands: list[tuple[str]]) -> None:
    refused = b"-ERR max number of clients reached\r\n"
    async with serving(lambda _: refused, hang_up=True) as fake, fake.client() as client:
        with pytest.raises(ConnectionError, match="max number of clients"):
            await client.pipeline(commands)


async def test_a_server_without_the_login_command_gets_no_password_into_an_error() -> None:
    refused = b"-ERR unknown command 'AUTH', with args beginning with: 'me' 'hunter2' \r\n"
    async with serving(lambda _: refused) as fake:
        at = Address("127.0.0.1", fake.port, user="me", password="hunter2")
        with pytest.raises(ConnectionError, match=r"^unknown command 'AUTH'$"):
            await Server(at).connect()


@pytest.mark.parametrize("turns", range(12))
async def test_no_call_under_way_opens_a_connection_after_the_client_was_closed(turns: int) -> None:
    async with serving(lambda it: b"+%b\r\n" % it[0]) as fake:
        client = StoreClient(fake.server())
        calls = [asyncio.create_task(client.call("GET")) for _ in range(4)]
        for _ in range(turns + 1):
            await asyncio.sleep(0)
        await client.close()
        ends = await asyncio.gather(*calls, return_exceptions=True)

    assert all(end == b"GET" or isinstance(end, ConnectionError) for end in ends)
    assert not client._slots


async def test_closing_ends_calls_under_way() -> None:
    arrived = asyncio.Event()

    def answer(_: list[bytes]) -> None:
        arrived.set()

    async with serving(answer) as fake:
        client = StoreClient(fake.server())
        call = asyncio.create_task(client.call("GET", "a"))
        await arrived.wait()
        await client.close()
        with pytest.raises(ConnectionError, match="closed"):
            await call


async def test_closing_ends_calls_that_wait_for_a_connection() -> None:
    arrived = asyncio.Event()

    def answer(command: list[bytes]) -> None:
        assert command[0] == b"AUTH"
        arrived.set()

    async with serving(answer) as fake:
        client = StoreClient(Server(Address("127.0.0.1", fake.port, password="word")))
        calls = [asyncio.create_task(client.call("GET", "a")) for _ in range(3)]
        await arrived.wait()
        calls[0].cancel()
        await client.close()
        ends = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(end) for end in ends] == [asyncio.CancelledError, ConnectionError, ConnectionError]


async def test_all_that_wait_for_a_server_that_refuses_fail_at_once() -> None:
    async with serving(lambda _: b"") as fake:
        port = fake.port
    client = StoreClient(Server(Address("127.0.0.1", port), None, "", 5.0, 5.0))
    failed = await asyncio.gather(*(client.call("GET", "a") for _ in range(20)), return_exceptions=True)
    assert {str(error) for error in failed} == {"Connection refused"}
    await client.close()


async def test_a_unix_socket_is_used(tmp_path: Path) -> None:
    fake = Fake(lambda _: b"+OK\r\n")
    path = str(tmp_path / "s")
    server = await asyncio.start_unix_server(fake.serve, path)
    client = StoreClient(Server(Address.parse(f"unix://me:word@{path}?db=3"), None, "w1"))
    assert await client.call("GET", "a") == b"OK"
    await client.close()
    server.close()

    login = [[b"AUTH", b"me", b"word"], [b"SELECT", b"3"], [b"CLIENT", b"SETNAME", b"w1"]]
    assert fake.commands == [*login, [b"GET", b"a"]]
