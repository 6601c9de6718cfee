"""Tests that a relay killed at any of its points costs nothing."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from chaos.outbox_points import OutboxPoint
from chaos.relay import PIPELINE
from mousetrap.handlers import Binding, Context
from mousetrap.outbox import DEFAULT_TABLE, Status, open_rows
from mousetrap.shapes import RunState
from support.outbox import make_outbox, write_rows
from support.processes import Process, clean_environment
from support.waiting import until
from support.workbench import workbench_for

pytestmark = pytest.mark.slow

KEYS = [f"key-{number % 4}" if number % 3 else "" for number in range(330)]
#: A relay takes 200 rows at once, and submits them one by one: of the latter, at a passing in the middle.
TRAPS = {
    OutboxPoint.TAKEN: 1,
    OutboxPoint.RECORDED: 25,
    OutboxPoint.PUBLISH_SENT: 50,
    OutboxPoint.PUBLISHED: 75,
    OutboxPoint.SETTLE_BEGUN: 1,
    OutboxPoint.DELETED: 1,
    OutboxPoint.SETTLED: 1,
}


@pytest.mark.parametrize(
    ("database_url", "queue_url"), [("sqlite", "streams"), ("postgresql", "rabbitmq")], indirect=True
)
@pytest.mark.test_timeout(200)
async def test_a_relay_is_killed_at_each_point_and_nothing_is_lost_doubled_or_out_of_order(
    database_url: str, queue_url: str, store_url: str, tmp_path: Path
) -> None:
    await asyncio.to_thread(make_outbox, database_url)
    written = await asyncio.to_thread(write_rows, database_url, *KEYS, pipeline="relayed")
    servers = [queue_url, store_url, database_url]
    await asyncio.to_thread(_relay_with_kills, tmp_path, servers)

    assert list(TRAPS) == list(OutboxPoint)
    await _assert_each_is_done_once(queue_url, store_url, written)


def _relay_with_kills(folder: Path, servers: list[str]) -> None:
    traps = [f"{point}:{count}" for point, count in TRAPS.items()]
    environment = clean_environment(PYTHONPATH=":".join(sys.path))
    with Process([sys.executable, "-m", "chaos.relay", str(folder), *servers, *traps], environment) as relays:
        relays.wait_for_line("two relays are up", 80)
        for point in OutboxPoint:
            assert f"trap sprung at {point}\nended at {point}: {-signal.SIGKILL}" in relays.output
        with open_rows(servers[2], DEFAULT_TABLE) as rows:
            until(lambda: rows.status() == Status(0, None, 0, 0), "all rows are relayed", 60)
        assert relays.terminate() == 0, relays.output


async def _assert_each_is_done_once(queue_url: str, store_url: str, written: list[str]) -> None:
    begun: list[str] = []

    async def take(number: int, context: Context[None]) -> int:
        begun.append(context.run_id)
        return number

    async with workbench_for(PIPELINE, queue_url, store_url) as bench:
        binding = Binding(pipeline=PIPELINE, stage="take", handler=take)
        async with bench.working(binding, concurrency=1, prefetch=50):
            for run_id in written:
                assert (await bench.ended(run_id)).state == RunState.COMPLETED
    assert sorted(begun) == sorted(written)
    for key in set(KEYS) - {""}:
        in_order = [run_id for run_id, its in zip(written, KEYS, strict=True) if its == key]
        assert [run_id for run_id in begun if run_id in set(in_order)] == in_order
