"""Sees and repairs a run with a fan-out over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest

from mousetrap.api import create_app
from mousetrap.pipeline import All, Each, Gathered, Keyed, Many, Pipeline, Stage
from mousetrap.retry import RetryPolicy
from mousetrap.settings import Settings
from support.api_server import serving
from support.clients import http_client
from support.operations import ended
from support.workbench import TIMEOUT_S, Workbench, on_streams, workbench_for

pytestmark = pytest.mark.own_queues


async def find(words: str) -> AsyncIterator[Keyed[str]]:
    for word in words.split():
        yield Keyed(word, word)


async def read(word: str) -> int:
    return int(word)


async def add_up(numbers: Gathered[int]) -> list[int]:
    return [number async for _, number in numbers]


def papers() -> Pipeline:
    mark = uuid4().hex[:8]

    def stage(name: str, takes: Any, gives: Any, **more: Any) -> Stage:
        policy = RetryPolicy(attempts=1)
        return Stage(name=name, queue=f"{name}_{mark}", input=takes, output=gives, retry=policy, **more)

    return Pipeline(
        name=f"papers_{mark}",
        description="Reads what was found.",
        stages=(
            stage("find", str, Many[str]),
            stage("read", str, int, after=Each("find")),
            stage("sum", Gathered[int], list[int], after=All("read", need=0.8)),
        ),
    )


class Caller:
    """Calls the API beside the worker, which is in this thread."""

    def __init__(self, client: httpx.Client, bench: Workbench) -> None:
        self._client = client
        self.bench = bench

    async def get(self, path: str, **params: Any) -> Any:
        answer = await asyncio.to_thread(self._client.get, path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Any, status: int = 200) -> Any:
        answer = await asyncio.to_thread(self._client.post, path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def delete(self, path: str, status: int = 200) -> Any:
        answer = await asyncio.to_thread(self._client.delete, path)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def redriven(self, run_id: str) -> Any:
        """The operation that redrives what the run has lost, once it has ended."""
        begun = await asyncio.to_thread(self._client.post, "/dead/redrive", json={"run": run_id})
        return await asyncio.to_thread(ended, self._client, begun)

    async def finished(self, words: str) -> str:
        """A run that has ended."""
        path = f"/pipelines/{self.bench.pipeline.name}/runs"
        run_id: str = (await self.post(path, words, 202))["run_id"]
        await self.bench.ended(run_id)
        return run_id


@asynccontextmanager
async def served(queue_url: str, store_url: str, reader: Any = read) -> AsyncIterator[Caller]:
    async with workbench_for(papers(), queue_url, store_url) as bench:
        handlers = {"find": find, "read": reader, "sum": add_up}
        settings = Settings(
            broker_url=queue_url, store_url=store_url, signing_keys="test:a-secret-for-the-tests"
        )
        app = create_app(settings, {bench.pipeline.name: bench.pipeline})
        starting = serving(settings, app)
        url = await asyncio.to_thread(starting.__enter__)
        try:
            with http_client(url) as client:
                async with bench.working(*(bench.bind(name, it) for name, it in handlers.items())):
                    yield Caller(client, bench)
        finally:
            await asyncio.to_thread(starting.__exit__, None, None, None)


async def test_what_was_lost_is_seen_edited_and_redriven_and_the_join_follows(
    queue_url: str, store_url: str
) -> None:
    async with served(queue_url, store_url) as api:
        run_id = await api.finished("1 2 x 4 y 6")
        run = await api.get(f"/runs/{run_id}")
        failed = (await api.get(f"/runs/{run_id}/jobs", state="failed"))["jobs"]
        letter = await api.get(failed[0]["letter"])
        edited = await api.post(f"{failed[0]['letter']}/redrive", {"input": "3"})
        again = await api.bench.ended(run_id)
        done = (await api.get(f"/runs/{run_id}/jobs", stage="read"))["jobs"]

    assert (run["state"], run["failure"]["text"][:7]) == ("failed", "invalid")
    fan = {"stage": "find", "state": "closed", "opened": 6, "total": 6, "done": 4, "lost": 2, "needs": 5}
    assert [{name: it[name] for name in fan} for it in run["fans"]] == [fan]
    assert [(job["index"], job["key"], job["stage"]) for job in failed] == [
        ([2], "x", "read"),
        ([4], "y", "read"),
    ]
    assert (letter["payload"], edited["redriven"]) == ("x", 1)
    assert (again.state, again.result) == ("completed", [1, 2, 3, 4, 6])
    assert [job["output"] for job in done] == [1, 2, 3, 4, None, 6]


async def test_one_call_redrives_what_a_run_has_lost_and_the_join_follows(
    queue_url: str, store_url: str
) -> None:
    numbers: dict[str, int] = {}

    async def read_by_name(word: str) -> int:
        return numbers.get(word) or int(word)

    async with served(queue_url, store_url, read_by_name) as api:
        other = await api.finished("u v")
        run_id = await api.finished("1 two three 4")
        numbers.update(two=2, three=3)
        redriven = await api.redriven(run_id)
        again = await api.bench.ended(run_id)
        left = await api.get("/dead", run=other)

    assert (redriven["done"], redriven["left"], left["matched"]) == (2, 0, 2)
    assert (again.state, again.result) == ("completed", [1, 2, 3, 4])


@on_streams
async def test_a_run_that_has_failed_is_cancelled_while_its_other_children_go_on(
    queue_url: str, store_url: str
) -> None:
    begun = asyncio.Event()

    async def reads_on(word: str) -> int:
        if word == "long":
            begun.set()
            await asyncio.Event().wait()
        return int(word)

    async with served(queue_url, store_url, reads_on) as api:
        over = await api.finished("x y")
        await api.delete(f"/runs/{over}", 409)
        run_id = await api.finished("x long")
        await asyncio.wait_for(begun.wait(), TIMEOUT_S)
        cancelled = await api.delete(f"/runs/{run_id}")
        run = await api.get(f"/runs/{run_id}")
        redriven = await api.redriven(run_id)

    assert (cancelled["state"], run["state"]) == ("cancelled", "cancelled")
    assert (redriven["done"], redriven["stale"]) == (0, 1)


async def test_a_run_is_repeated_from_its_join(queue_url: str, store_url: str) -> None:
    async with served(queue_url, store_url) as api:
        run_id = await api.finished("1 2 3 4 5")
        accepted = await api.post(f"/runs/{run_id}/rerun", {"from": "sum"}, 202)
        again = await api.bench.ended(accepted["run_id"])
        refused = await api.post(f"/runs/{run_id}/rerun", {"from": "read"}, 409)

    assert (again.rerun_of, again.result) == (run_id, [1, 2, 3, 4, 5])
    assert refused["type"] == "urn:mousetrap:problem:rerun-impossible"
    assert "begin at 'find'" in refused["detail"]


@on_streams
async def test_a_pipeline_is_shown_as_its_picture_needs_it(queue_url: str, store_url: str) -> None:
    async with served(queue_url, store_url) as api:
        shown = await api.get(f"/pipelines/{api.bench.pipeline.name}")

    assert shown["arrows"] == [
        {"source": "find", "target": "read", "kind": "each"},
        {"source": "read", "target": "sum", "kind": "gather"},
    ]
    assert [(stage["name"], stage["edge"], stage["need"], stage["inside"]) for stage in shown["stages"]] == [
        ("find", "one", None, []),
        ("read", "each", None, ["find"]),
        ("sum", "gather", 0.8, []),
    ]
