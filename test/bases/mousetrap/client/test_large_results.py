"""A result that is too large for an answer of the API."""

from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from uuid import uuid4

import httpx
import pytest

from mousetrap.api import create_app
from mousetrap.client import AsyncClient, ResultLeftOut
from mousetrap.jobs import LARGEST_INLINE
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.run_store import StoredRun
from mousetrap.settings import Settings
from mousetrap.shapes import Reference, RunState
from support.api_server import serving
from support.workbench import Workbench, workbench_for

KEYS = "test:a-secret-for-the-tests"
#: In JSON one byte more than an answer has.
LENGTH = LARGEST_INLINE - 1
WITHIN_S = 60


@pytest.fixture
def bench(queue_url: str, store_url: str) -> AbstractAsyncContextManager[Workbench]:
    mark = uuid4().hex[:8]
    stage = Stage(name="stretch", queue=f"stretch_{mark}", input=int, output=str)
    pipeline = Pipeline(name=f"long_{mark}", description="Stretches.", stages=(stage,))
    return workbench_for(pipeline, queue_url, store_url)


def stretch(length: int) -> str:
    return "x" * length


async def test_over_the_broker_it_comes_back_and_over_http_is_an_error_with_its_size_and_key(
    bench: Workbench, queue_url: str, store_url: str
) -> None:
    settings = Settings(broker_url=queue_url, store_url=store_url, signing_keys=KEYS)
    async with (
        AsyncClient(via="broker", settings=settings) as client,
        bench.working(bench.bind("stretch", stretch)),
    ):
        run = await client.submit(bench.pipeline, LENGTH)
        assert await run.wait(WITHIN_S) == "x" * LENGTH
        assert await client.run(run.id).wait(WITHIN_S) == "x" * LENGTH

    app = create_app(settings, {bench.pipeline.name: bench.pipeline})
    with serving(settings, app) as url:
        async with AsyncClient(via="http", settings=Settings(api_url=url)) as client:
            with pytest.raises(ResultLeftOut, match=rf"{LENGTH + 2} bytes .* as {run.id}/\w+") as left_out:
                await client.run(run.id).wait(WITHIN_S)
        async with httpx.AsyncClient(base_url=url, timeout=WITHIN_S) as api:
            answer = await api.get(f"/pipelines/{bench.pipeline.name}/latest")

    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:mousetrap:problem:result-left-out"
    for part in (run.id, f"{LENGTH + 2} bytes", left_out.value.reference.key):
        assert part in answer.json()["detail"]


def test_a_null_that_is_kept_by_reference_is_a_result() -> None:
    run = StoredRun(id="r", pipeline="p", state=RunState.COMPLETED, stage="s", accepted_ms=1, updated_ms=1)
    at = Reference(key="r/name", sha256="0" * 64, size=4)

    assert replace(run, result_reference=at).left_out is None
    assert replace(run, result_reference=(longer := replace(at, size=5))).left_out == longer
