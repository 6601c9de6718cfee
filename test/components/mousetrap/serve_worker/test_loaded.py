"""Tests what libraries a worker at work has loaded."""

import asyncio
from collections.abc import Callable

import pytest

from mousetrap.job_queue import connect
from mousetrap.run_store import open_store
from mousetrap.shapes import Run
from mousetrap.signing import Keyring
from support import listing_worker
from support.listing_worker import LISTING
from support.processes import Process
from support.stack import SIGNING_KEYS
from support.workbench import Workbench

pytestmark = pytest.mark.servers

#: Client libraries that the bricks do without, and what only other edges need.
HEAVY = {
    "redis",
    "valkey",
    "opentelemetry",
    "fastapi",
    "httpx",
    "polars",
    "prometheus_client",
    "pydantic",
    "sqlalchemy",
}
#: Of Python's own, what only a health port, an isolated handler, a wrong setting or a list of packages needs: 3 MiB together.
UNUSED = {"http", "email", "html", "zipfile", "tempfile", "pickle", "difflib"}


def test_a_worker_at_work_has_loaded_no_heavy_library(
    start_worker: Callable[..., Process], queue_url: str, store_url: str
) -> None:
    start_worker(program=listing_worker, MOUSETRAP_BROKER_URL=queue_url)

    async def loaded() -> Run:
        keyring = Keyring.parse(SIGNING_KEYS)
        async with (
            connect(queue_url, ["test_listing"], name="test") as queue,
            open_store(store_url, retention=3600, keyring=keyring) as store,
        ):
            bench = Workbench(queue, store, LISTING)
            return await bench.ended(await bench.submit(b"1"))

    run = asyncio.run(loaded())

    assert {"mousetrap", "hiredis"} <= set(run.result)
    assert not (HEAVY | UNUSED) & set(run.result)
