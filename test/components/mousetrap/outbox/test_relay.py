"""Tests the relay on a real database, with submissions in memory."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text

from mousetrap.jobs import QueueFull, QueueUnreachable
from mousetrap.outbox import (
    DEFAULT_TABLE,
    Entry,
    PipelineUnknown,
    Relay,
    Status,
    list_set_aside,
    open_engine,
    open_rows,
)
from mousetrap.pipeline import ContractBroken
from support.outbox import make_outbox, write_rows
from support.postgres import PostgresServer
from support.waiting import until

SECONDS = 60.0


class Runs:
    """Accepts runs as a submitter does, but for what a test puts in its way."""

    def __init__(self) -> None:
        self.accepted: list[Entry] = []
        self.tries = 0
        #: Called before an entry is accepted.
        self.before: Callable[[Entry], Awaitable[None] | None] = lambda _: None
        self._news = asyncio.Event()

    async def submit(self, entry: Entry) -> None:
        self.tries += 1
        if waiting := self.before(entry):
            await waiting
        await asyncio.sleep(0)  # others may overtake it here
        self.accepted.append(entry)
        self._news.set()

    @property
    def ids(self) -> list[str]:
        return [entry.run_id for entry in self.accepted]

    async def until(self, count: int) -> None:
        async with asyncio.timeout(SECONDS):
            while len(self.accepted) < count:
                self._news.clear()
                await self._news.wait()

    def of_another_relay(self) -> "Runs":
        """Others, in one list with these."""
        others = Runs()
        others.accepted, others._news = self.accepted, self._news
        return others

    def of_key(self, key: str) -> list[str]:
        return [entry.run_id for entry in self.accepted if entry.key == key]


def meeting_once(others: asyncio.Barrier) -> Callable[[Entry], Awaitable[None]]:
    """Holds the first entry until all others hold one."""
    entries = 0

    async def meet(_: Entry) -> None:
        nonlocal entries
        entries += 1
        if entries == 1:
            await others.wait()

    return meet


@pytest.fixture
def url(database_url: str) -> str:
    make_outbox(database_url)
    return database_url


@pytest.fixture
def runs() -> Runs:
    return Runs()


@asynccontextmanager
async def relaying(url: str, runs: Runs) -> AsyncIterator[Relay]:
    """A relay, until the block ends; then it is asked to stop."""
    stop = asyncio.Event()
    with open_rows(url, DEFAULT_TABLE) as rows:
        relay = Relay(rows, runs.submit)
        task = asyncio.create_task(relay.run(stop))
        try:
            yield relay
        finally:
            stop.set()
            await asyncio.wait_for(task, SECONDS)


def status(url: str) -> Status:
    with open_rows(url, DEFAULT_TABLE) as rows:
        return rows.status()


def refused(url: str) -> dict[str, str]:
    with open_engine(url) as engine:
        return {row.run_id: row.error for row in list_set_aside(engine, DEFAULT_TABLE, limit=100)}


async def test_every_row_is_submitted_once_and_each_key_in_order(url: str, runs: Runs) -> None:
    keys = [f"key-{number % 7}" if number % 3 else "" for number in range(450)]
    written = write_rows(url, *keys)

    async with relaying(url, runs) as relay:
        await runs.until(450)

    assert sorted(runs.ids) == sorted(written)
    for key in set(keys) - {""}:
        assert runs.of_key(key) == [run for run, its in zip(written, keys, strict=True) if its == key]
    assert status(url) == Status(0, None, 0, 0)
    assert relay.submitted == 450


async def test_a_row_that_comes_later_is_noticed_soon(url: str, runs: Runs) -> None:
    async with relaying(url, runs):
        await asyncio.to_thread(write_rows, url, "")
        await runs.until(1)
        await asyncio.to_thread(write_rows, url, "")
        await runs.until(2)


async def test_an_outage_is_waited_out_and_logged_once(
    url: str, runs: Runs, caplog: pytest.LogCaptureFixture
) -> None:
    written = write_rows(url, "k", "k", "k")

    def away(entry: Entry) -> None:
        if runs.tries < 5:
            raise QueueUnreachable("the broker at 127.0.0.1:1 is away")

    runs.before = away
    with caplog.at_level(logging.INFO, "mousetrap.outbox"):
        async with relaying(url, runs):
            await runs.until(3)

    assert runs.ids == written
    assert status(url) == Status(0, None, 0, 0)
    logged = [record.message for record in caplog.records if "run" in record.message]
    assert [line for line in logged if "waiting" in line] == [
        "waiting: no run is accepted: the broker at 127.0.0.1:1 is away"
    ]
    assert "runs are accepted again" in logged


async def test_what_was_accepted_before_an_outage_is_not_submitted_again(url: str, runs: Runs) -> None:
    written = write_rows(url, "k", "k", "k")
    failed: list[Entry] = []

    def away_once(entry: Entry) -> None:
        if entry.run_id == written[1] and not failed:
            failed.append(entry)
            raise QueueUnreachable("away")

    runs.before = away_once
    async with relaying(url, runs):
        await runs.until(3)

    assert runs.ids == written
    assert runs.tries == 4


async def test_a_refused_row_is_set_aside_with_its_error_and_blocks_its_key_alone(
    url: str, runs: Runs, caplog: pytest.LogCaptureFixture
) -> None:
    bad, behind, other, lone = write_rows(url, "k", "k", "other", "")

    def refuse(entry: Entry) -> None:
        if entry.run_id == bad:
            raise ContractBroken("Expected `int`, got `str`, of https://user:secret@host/x?token=abc")

    runs.before = refuse
    with caplog.at_level(logging.INFO, "mousetrap.outbox"):
        async with relaying(url, runs):
            await runs.until(2)

    assert sorted(runs.ids) == sorted([other, lone])
    assert list(refused(url)) == [bad]
    assert "Expected `int`" in refused(url)[bad] and "secret" not in refused(url)[bad]
    assert "secret" not in caplog.text
    now = status(url)
    assert (now.waiting, now.set_aside, now.blocked) == (1, 1, 1)
    assert behind not in runs.ids


async def test_a_row_that_cannot_be_read_is_set_aside_with_the_column(url: str, runs: Runs) -> None:
    bad, good = write_rows(url, "", "")
    with open_engine(url) as engine, engine.begin() as connection:
        connection.execute(text("UPDATE mousetrap_outbox SET tags = '{' WHERE run_id = :run"), {"run": bad})

    async with relaying(url, runs):
        await runs.until(1)

    assert runs.ids == [good]
    assert refused(url)[bad].startswith("tags: ")


async def test_a_pipeline_whose_queue_is_full_holds_no_other_up(
    url: str, runs: Runs, caplog: pytest.LogCaptureFixture
) -> None:
    full = write_rows(url, "k", "", pipeline="full")
    behind, *free = write_rows(url, "k", "", "x", pipeline="free")
    room = asyncio.Event()

    def refuse(entry: Entry) -> None:
        if entry.pipeline == "full" and not room.is_set():
            raise QueueFull("the queue is full")

    runs.before = refuse
    with caplog.at_level(logging.INFO, "mousetrap.outbox"):
        async with relaying(url, runs):
            await runs.until(2)
            assert sorted(runs.ids) == sorted(free)
            room.set()
            await runs.until(5)

    assert sorted(runs.ids) == sorted([*full, behind, *free])
    assert runs.of_key("k") == [full[0], behind]
    lines = [record.message for record in caplog.records]
    assert lines.count("keeps the rows of pipeline full for later: the queue is full") == 1
    assert "runs of pipeline full are accepted again" in lines
    assert refused(url) == {}


async def test_a_pipeline_that_stays_unknown_is_set_aside(
    url: str, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    (unknown,) = write_rows(url, "", pipeline="misspelt")

    def refuse(entry: Entry) -> None:
        raise PipelineUnknown("no worker has it")

    runs.before = refuse
    monkeypatch.setattr("mousetrap.outbox.batch.UNKNOWN_S", 0.5)
    async with relaying(url, runs):
        await asyncio.to_thread(until, lambda: refused(url), "its row is set aside", SECONDS)

    assert refused(url) == {unknown: "no worker has it"}
    assert runs.tries == 2  # not at once: its worker may be about to start


async def test_two_relays_share_the_work_and_keep_each_key_in_order(url: str, runs: Runs) -> None:
    keys = [f"key-{number % 20}" if number % 2 else "" for number in range(900)]
    written = write_rows(url, *keys)
    its = runs.of_another_relay()
    if url.startswith("postgresql"):
        both_have_some = asyncio.Barrier(2)
        runs.before, its.before = meeting_once(both_have_some), meeting_once(both_have_some)

    async with relaying(url, runs) as one, relaying(url, its) as other:
        await runs.until(900)

    assert sorted(runs.ids) == sorted(written)
    for key in set(keys) - {""}:
        assert runs.of_key(key) == [run for run, its in zip(written, keys, strict=True) if its == key]
    assert one.submitted + other.submitted == 900
    assert status(url) == Status(0, None, 0, 0)
    if url.startswith("postgresql"):
        assert min(one.submitted, other.submitted) > 0


async def test_a_stop_finishes_the_batch_under_way(url: str, runs: Runs) -> None:
    write_rows(url, *[""] * 50)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def hang(_: Entry) -> None:
        begun.set()
        await go_on.wait()

    runs.before = hang
    stop = asyncio.Event()
    with open_rows(url, DEFAULT_TABLE) as rows:
        task = asyncio.create_task(Relay(rows, runs.submit).run(stop))
        await asyncio.wait_for(begun.wait(), SECONDS)
        stop.set()
        go_on.set()
        await asyncio.wait_for(task, SECONDS)

    assert len(runs.accepted) == 50
    assert status(url) == Status(0, None, 0, 0)


async def test_a_cancelled_relay_settles_what_was_accepted(url: str, runs: Runs) -> None:
    first, _ = write_rows(url, "k", "k")
    hanging = asyncio.Event()

    async def hang_at_second(entry: Entry) -> None:
        if entry.run_id != first:
            hanging.set()
            await asyncio.Event().wait()

    runs.before = hang_at_second
    with open_rows(url, DEFAULT_TABLE) as rows:
        task = asyncio.create_task(Relay(rows, runs.submit).run(asyncio.Event()))
        await asyncio.wait_for(hanging.wait(), SECONDS)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert runs.ids == [first]
    assert status(url).waiting == 1


@pytest.mark.servers
async def test_a_database_that_comes_back_is_waited_for(runs: Runs, caplog: pytest.LogCaptureFixture) -> None:
    server = await asyncio.to_thread(PostgresServer)
    try:
        await asyncio.to_thread(make_outbox, server.url())
        with caplog.at_level(logging.INFO, "mousetrap.outbox"):
            async with relaying(server.url(), runs):
                await asyncio.to_thread(write_rows, server.url(), "")
                await runs.until(1)
                await asyncio.to_thread(server.stop)
                await asyncio.to_thread(until, lambda: "waiting for" in caplog.text, "it waits", SECONDS)
                await asyncio.to_thread(server.start)
                await asyncio.to_thread(write_rows, server.url(), "")
                await runs.until(2)
    finally:
        await asyncio.to_thread(server.remove)

    lines = [record.message for record in caplog.records]
    assert len([line for line in lines if line.startswith("waiting for the outbox's database")]) == 1
    assert "the outbox's database serves again" in lines
