"""Lines of handlers are kept with their run, and read by page."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from mousetrap.handlers import Context
from mousetrap.jobs import StoreUnreachable
from mousetrap.run_logs import RunLogs, kept_lines, open_log_reader
from mousetrap.run_logs import keeper as keeper_module
from mousetrap.run_logs.keys import facts_key, lines_key
from mousetrap.settings import Settings
from mousetrap.shapes import LogPage
from mousetrap.store_client import open_client
from mousetrap.telemetry import AttemptFacts, KeptLine, LineKeeper, belongs_to
from support import isolated_handlers
from support.ports import closed_port
from support.valkey_cluster import ValkeyCluster
from support.workbench import TIMEOUT_S, Workbench

LIBRARY = logging.getLogger("a.library")


@pytest.fixture(autouse=True)
def all_is_logged() -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.DEBUG)
    yield
    root.setLevel(level)


def line(run: str, message: str, level: str = "INFO", **more: Any) -> KeptLine:
    facts = AttemptFacts(run, "sums", "add", "j1", 1, "w1")
    return KeptLine(
        **{"facts": facts, "at_ms": 5, "level": level, "logger": "app", "message": message, **more}
    )


@asynccontextmanager
async def logs_at(url: str) -> AsyncIterator[RunLogs]:
    client = open_client(url, None)
    try:
        yield RunLogs(client, "store", 3600)
    finally:
        await client.close()


async def page_of(url: str, run: str, **asked: Any) -> LogPage:
    async with open_log_reader(url) as reader:
        return await reader.page(run, **{"limit": 1_000, **asked})


async def ask(url: str, *command: Any) -> Any:
    client = open_client(url, None)
    try:
        return await client.call(*command)
    finally:
        await client.close()


def a_run() -> str:
    return uuid4().hex


async def test_lines_are_read_by_page_and_level(store_url: str) -> None:
    run = a_run()
    async with logs_at(store_url) as logs:
        for number in range(5):
            logs.add(line(run, f"line {number}", "ERROR" if number == 3 else "INFO"))
        logs.add(line(a_run(), "another run's"))
        await logs.write_all()

    first = await page_of(store_url, run, limit=2)
    rest = await page_of(store_url, run, after=first.next)
    errors = await page_of(store_url, run, level="WARNING")

    assert [(it.number, it.message) for it in first.lines] == [(1, "line 0"), (2, "line 1")]
    assert ([it.message for it in rest.lines], rest.next) == (["line 2", "line 3", "line 4"], None)
    assert [it.number for it in errors.lines] == [4]
    one = first.lines[0]
    assert (one.stage, one.job, one.attempt, one.worker, one.logger) == ("add", "j1", 1, "w1", "app")
    assert (await page_of(store_url, run, after=99)).lines == ()
    assert await page_of(store_url, a_run()) == LogPage(lines=(), next=None)


async def test_lines_of_many_runs_are_kept_on_a_cluster(valkey_cluster: ValkeyCluster) -> None:
    runs = [a_run() for _ in range(150)]
    async with logs_at(valkey_cluster.url) as logs:
        for run in runs:
            logs.add(line(run, f"of {run}"))
        await logs.write_all()

    pages = [await page_of(valkey_cluster.url, run) for run in runs]
    assert [[it.message for it in page.lines] for page in pages] == [[f"of {run}"] for run in runs]


async def test_the_newest_lines_of_a_run_stay_whatever_is_logged(store_url: str) -> None:
    many, large, at_once = a_run(), a_run(), a_run()
    async with logs_at(store_url) as logs:
        for number in range(1_200):
            logs.add(line(many, f"{number}"))
            if number == 700:
                await logs.write_all()
        for number in range(1_300):
            logs.add(line(at_once, f"{number}"))
        for number in range(100):
            logs.add(line(large, f"{number} " + "x" * 3_000))
        await logs.write_all()

    kept, bulky = await page_of(store_url, many), await page_of(store_url, large)
    assert len(kept.lines) + kept.dropped == 1_200
    assert (kept.lines[-1].number, kept.lines[-1].message, kept.missed) == (1_200, "1199", 0)
    flood = await page_of(store_url, at_once)
    assert (len(flood.lines) + flood.dropped, flood.missed, flood.lines[-1].message) == (1_300, 0, "1299")
    assert 1 < len(bulky.lines) <= 64_000 // 3_000
    assert bulky.lines[-1].message.startswith("99 ")
    assert bulky.lines[-1].number == 100
    for run in (many, large, at_once):
        texts = await ask(store_url, "LRANGE", lines_key(run), 0, -1)
        assert len(texts) <= 1_000 and sum(map(len, texts)) <= 64_000
        for key in (lines_key(run), facts_key(run)):
            assert 0 < await ask(store_url, "PTTL", key) <= 3_600_000


async def test_a_batch_that_is_sent_twice_is_kept_once(store_url: str) -> None:
    run = a_run()
    async with logs_at(store_url) as logs:
        logs._batch = 1
        command = logs._command(run, [line(run, "once")], 0)
        await logs._send([command])
        await logs._send([command])

    assert len((await page_of(store_url, run)).lines) == 1


async def test_a_batch_whose_reply_is_lost_is_kept_once(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run()
    async with logs_at(store_url) as logs:
        logs.add(line(run, "before"))
        await logs.write_all()
        send = logs._client.pipeline

        async def lost(commands: Any) -> Any:
            await send(commands)
            raise ConnectionError("the reply is lost")

        with monkeypatch.context() as patched, pytest.raises(StoreUnreachable):
            patched.setattr(logs._client, "pipeline", lost)
            logs.add(line(run, "once"))
            await logs.write_all()
        logs.add(line(run, "after"))
        await logs.write_all()

    assert [it.message for it in (await page_of(store_url, run)).lines] == ["before", "once", "after"]


async def test_missed_lines_of_runs_that_have_no_others_are_counted_and_make_room_for_the_next(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "_MOST_WAITING", 1)
    monkeypatch.setattr(keeper_module, "_MOST_COUNTED", 2)
    async with logs_at(store_url) as logs:
        for _ in range(2):
            some = [a_run() for _ in range(3)]
            for run in some:
                logs.add(line(run, "one"))
            await logs.write_all()

            found = [await page_of(store_url, run) for run in some]
            assert [(len(page.lines), page.missed) for page in found] == [(0, 1), (0, 1), (1, 0)]


async def test_while_the_store_is_away_lines_wait_and_the_oldest_are_missed(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "_MOST_WAITING", 10)
    run = a_run()
    async with logs_at(f"valkey://127.0.0.1:{closed_port()}/0") as away, logs_at(store_url) as back:
        for number in range(13):
            away.add(line(run, f"{number}"))
        with pytest.raises(StoreUnreachable):
            await away.write_all()
        away._client = back._client
        await away.write_all()

    page = await page_of(store_url, run)
    assert ([it.message for it in page.lines], page.missed) == ([f"{number}" for number in range(3, 13)], 3)


async def test_lines_of_many_threads_stay_with_their_runs(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "_MOST_WAITING", 20)
    runs = [a_run() for _ in range(4)]

    def add_many(logs: RunLogs, run: str) -> None:
        for number in range(3_000):
            logs.add(line(run, f"{run} {number}"))

    async with logs_at(store_url) as logs:
        adding = [asyncio.create_task(asyncio.to_thread(add_many, logs, run)) for run in runs]
        while not all(task.done() for task in adding):
            await logs.write_all()
            await asyncio.sleep(0)
        await logs.write_all()

    for run in runs:
        page = await page_of(store_url, run)
        numbers = [int(it.message.removeprefix(f"{run} ")) for it in page.lines]
        assert numbers == sorted(set(numbers))


async def test_what_is_no_line_is_left_out(store_url: str) -> None:
    run = a_run()
    await ask(store_url, "RPUSH", lines_key(run), b"\xff", b"{}", b"[1]")
    await ask(store_url, "HSET", facts_key(run), "dropped", b"many")
    assert await page_of(store_url, run) == LogPage(lines=(), next=None)
    await ask(store_url, "SET", lines_key(run), b"text")
    assert await page_of(store_url, run) == LogPage(lines=(), next=None)


def kept(*texts: Any, **more: Any) -> list[KeptLine]:
    found: list[KeptLine] = []
    keeper = LineKeeper(found.append, "INFO")
    logger = logging.getLogger("kept")
    logger.addHandler(keeper)
    belongs_to(line("r", "").facts)
    try:
        logger.warning(*texts, **more)
    finally:
        belongs_to(None)
        logger.removeHandler(keeper)
    return found


def test_a_line_has_its_facts_and_its_traceback_and_no_secret() -> None:
    try:
        raise ConnectionError("amqp://me:sesame@host is away")
    except ConnectionError:
        [one] = kept("lost %s", "amqp://me:sesame@host", extra={"took": 3, "run": "r"}, exc_info=True)

    assert one.message.startswith("lost amqp://") and " took=3\nTraceback" in one.message
    assert one.message.rstrip().endswith("is away")
    assert "sesame" not in one.message and "run=" not in one.message


def test_a_line_is_cut_in_its_middle_and_can_be_encoded() -> None:
    [long] = kept("begin " + "x" * 10_000 + " end")
    [odd] = kept("half a pair \ud800")

    assert len(long.message) < 3_100
    assert long.message.startswith("begin ") and long.message.endswith(" end")
    assert odd.message == "half a pair \\ud800"


async def logs_a_lot(number: int) -> int:
    LIBRARY.debug("too fine")
    LIBRARY.info("from a library")
    await asyncio.to_thread(LIBRARY.warning, "from a thread")
    return number


def in_a_thread(number: int, context: Context[None]) -> int:
    context.log.info("from the context")
    return number


@pytest.mark.own_queues
async def test_the_lines_of_a_run_s_handlers_are_kept_with_it(bench: Workbench, store_url: str) -> None:
    settings = Settings(store_url=store_url)
    async with (
        kept_lines(settings),
        bench.working(bench.bind("add", logs_a_lot), bench.bind("double", in_a_thread)) as worker,
    ):
        run = await bench.ended(await bench.submit())
        other = await bench.ended(await bench.submit())
    LIBRARY.info("outside of any run")

    page = await page_of(store_url, run.id)
    assert [(it.stage, it.level, it.message) for it in page.lines] == [
        ("add", "INFO", "from a library"),
        ("add", "WARNING", "from a thread"),
        ("double", "INFO", "from the context"),
    ]
    assert {it.worker for it in page.lines} == {worker.name}
    assert len((await page_of(store_url, other.id)).lines) == 3


@pytest.mark.own_queues
async def test_no_line_is_kept_where_the_setting_is_off(bench: Workbench, store_url: str) -> None:
    async with (
        kept_lines(Settings(store_url=store_url, run_logs="OFF")),
        bench.working(bench.bind("add", logs_a_lot), bench.bind("double", in_a_thread)),
    ):
        run = await bench.ended(await bench.submit())

    assert (await page_of(store_url, run.id)).lines == ()


@pytest.mark.slow
@pytest.mark.own_queues
async def test_the_lines_of_a_handler_s_own_process_are_kept_too(bench: Workbench, store_url: str) -> None:
    async with (
        kept_lines(Settings(store_url=store_url)),
        bench.working(
            bench.bind("add", isolated_handlers.log, isolated=True), bench.bind("double", in_a_thread)
        ),
    ):
        run = await bench.ended(await bench.submit())

    page = await page_of(store_url, run.id)
    found = [it.message for it in page.lines if it.stage == "add" and it.level == "INFO"]
    assert found == ["from the handler", "from elsewhere"]


async def test_of_a_flood_in_a_handler_s_own_process_the_end_is_kept(
    bench: Workbench, store_url: str
) -> None:
    async with (
        kept_lines(Settings(store_url=store_url)),
        bench.working(
            bench.bind("add", isolated_handlers.flood, isolated=True), bench.bind("double", in_a_thread)
        ),
    ):
        run = await bench.ended(await bench.submit())

    page = await page_of(store_url, run.id)
    found = [it.message for it in page.lines if it.stage == "add" and it.logger == "handlers"]
    assert found[-1] == "4999"
    assert found == [str(number) for number in range(5_000 - len(found), 5_000)]
    others = len(page.lines) - len(found)
    assert len(page.lines) + page.dropped - others >= 5_000


class Seen(logging.Filter):
    """Notes the first record of a logger."""

    def __init__(self, logger: str) -> None:
        super().__init__()
        self.logger = logger
        self.at = asyncio.Event()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == self.logger:
            self.at.set()
        return True


async def test_a_store_that_is_away_holds_up_no_handler_and_is_reported_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen = Seen("mousetrap.run_logs")
    with caplog.filtering(seen):
        async with kept_lines(Settings(store_url=f"valkey://127.0.0.1:{closed_port()}/0")) as logs:
            assert logs is not None
            logs.add(line("r", "waits"))
            await asyncio.wait_for(seen.at.wait(), TIMEOUT_S)

    assert caplog.text.count("log lines of runs wait for the store") == 1
