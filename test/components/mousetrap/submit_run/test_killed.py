"""Kills a submitter at each step of a batch."""

from collections import Counter
from uuid import uuid4

import pytest

from mousetrap.handlers import Binding
from mousetrap.shapes import RunState
from mousetrap.submit_run import Accepted
from support.dying_submitter import STEPS, batch, dies, pipeline_named
from support.workbench import workbench_for

pytestmark = pytest.mark.own_queues

RUNS, DELAY_S = 60, 1.5


@pytest.mark.parametrize("step", STEPS)
async def test_a_submitter_killed_in_the_middle_of_a_batch_loses_and_doubles_no_run(
    queue_url: str, store_url: str, step: str
) -> None:
    done: Counter[str] = Counter()

    def count(number: int) -> int:
        done[f"r{number}"] += 1
        return number

    pipeline = pipeline_named(f"batch_{uuid4().hex[:8]}")
    async with workbench_for(pipeline, queue_url, store_url) as bench:
        await dies(step, queue_url, store_url, pipeline.name, runs=RUNS, delay=DELAY_S)
        recorded = [run.id for run in (await bench.store.page(limit=RUNS)).runs]
        await bench.submitter.republish(age=0.0)
        async with bench.working(Binding(pipeline=pipeline, stage="only", handler=count)):
            runs = [await bench.ended(run_id) for run_id in recorded]
            assert done == Counter(recorded)
            # Its caller had no answer, and asks again for all.
            reports = await bench.submitter.submit_many(batch(pipeline, DELAY_S, RUNS))
            runs += [await bench.ended(f"r{number}") for number in range(RUNS)]

    assert [isinstance(report, Accepted) for report in reports] == [True] * RUNS
    assert done == Counter(f"r{number}" for number in range(RUNS))
    assert {run.state for run in runs} == {RunState.COMPLETED}
    for run in runs:
        (began,) = [event.at_ms for event in run.timeline if event.kind == "started"]
        assert began >= (run.due_ms or run.accepted_ms)
