"""Lists the jobs of graphs that Hypothesis draws, after workers did them."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from inspect import iscoroutinefunction
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mousetrap.handlers import Binding
from mousetrap.run_store import JobFilter, JobPlace, RunStore, StoredRun
from mousetrap.shapes import JobLine, JobState, RunState
from support.graphs import Lost, bindings, parts, result
from support.workbench import on_streams, workbench_for

pytestmark = pytest.mark.own_queues


def counted(binding: Binding, calls: Counter[tuple[str, bool]]) -> Binding:
    """The binding with a handler that counts its calls, and whether they failed."""
    handler: Callable[[Any], Any] = binding.handler

    @contextmanager
    def counting() -> Iterator[None]:
        try:
            yield
        except Lost:
            calls[binding.stage.name, False] += 1
            raise
        calls[binding.stage.name, True] += 1

    def sync(given: Any) -> Any:
        with counting():
            return handler(given)

    async def waits(given: Any) -> Any:
        with counting():
            return await handler(given)

    return replace(binding, handler=waits if iscoroutinefunction(handler) else sync)


async def listed(store: RunStore, run: StoredRun, first: Binding, limit: int) -> list[JobLine]:
    """All pages."""
    page = await store.jobs(run, first.pipeline, JobFilter(limit=limit))
    lines = list(page.jobs)
    while page.next:
        wanted = JobFilter(limit=limit, place=JobPlace.read(page.next))
        page = await store.jobs(run, first.pipeline, wanted)
        lines += page.jobs
    return lines


async def check(part: Any, n: int, url: str) -> None:
    calls = Counter[tuple[str, bool]]()
    bound = [counted(it, calls) for it in bindings(part, f"drawn_{uuid4().hex[:8]}")]
    async with workbench_for(bound[0].pipeline, url, url) as bench:
        async with bench.working(*bound):
            run = await bench.ended(await bench.submit(b"%d" % n))
        lines = await listed(bench.store, run, bound[0], 200)
        assert await listed(bench.store, run, bound[0], 3) == lines

    ended = Counter((it.stage, it.state is JobState.DONE) for it in lines if it.attempt)
    assert ended == calls
    assert len({it.id for it in lines}) == len(lines)
    assert not any(it.unreadable for it in lines)
    if run.state is RunState.COMPLETED:
        assert run.result == result(part, n)
        assert lines[-1].output == run.result


@on_streams
def test_every_job_that_was_done_is_listed_once(queue_url: str, store_url: str) -> None:
    @given(parts(2), st.integers(0, 50))
    # To make an example smaller, or to explain one, takes a worker for each try.
    @settings(
        max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
    )
    def check_drawn(part: Any, n: int) -> None:
        asyncio.run(check(part, n, store_url))

    check_drawn()
