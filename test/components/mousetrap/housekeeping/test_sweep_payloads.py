"""Payloads of forgotten runs are removed once they are old."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from mousetrap.housekeeping import sweep_duty
from mousetrap.payloads import Payloads, StoreBackend
from mousetrap.store_client import open_client
from support.workbench import Workbench, on_streams

HOUR, DAY = 3_600.0, 86_400.0


@pytest.mark.parametrize(
    ("retention", "age", "stays"),
    [
        (60.0, HOUR - 60, True),  # an hour at least: a submitter may be about to open the run
        (60.0, HOUR + 60, False),
        (7_200.0, 7_140.0, True),
        (7_200.0, 7_260.0, False),
        (7 * DAY, DAY - 60, True),
        (7 * DAY, DAY + 60, False),  # a day at most
    ],
)
@on_streams
async def test_payloads_of_unknown_runs_go_after_the_retention_an_hour_at_least_and_a_day_at_most(
    bench: Workbench,
    store_url: str,
    caplog: pytest.LogCaptureFixture,
    retention: float,
    age: float,
    stays: bool,
) -> None:
    known = await bench.submit()
    client = open_client(store_url, None)
    old = _payloads(client, lambda: time.time() - age)
    references = [await old.put(run_id, b"x" * 100) for run_id in (known, "orphan")]

    with caplog.at_level("INFO"):
        await sweep_duty(bench.store, retention).act()

    kept = [await client.call("EXISTS", f"mousetrap:payloads:{reference.run_id}") for reference in references]
    await client.close()
    assert kept == [1, int(stays)]
    assert ("removed the payloads of 1 forgotten runs" in caplog.text) is not stays


def _payloads(client: Any, now: Callable[[], float]) -> Payloads:
    return Payloads(StoreBackend(client, "the store", DAY, now), inline=10, now=now)
