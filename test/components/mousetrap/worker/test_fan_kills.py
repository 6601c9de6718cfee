"""Kills a worker at each step of a fan-out and its join."""

from pathlib import Path
from uuid import uuid4

import pytest

from chaos.effects import Effects
from mousetrap.shapes import RunState
from mousetrap.worker import fan_out
from support.dying_fan import CHILDREN, WINDOW, a_fan, bindings, dies
from support.workbench import workbench_for

pytestmark = [pytest.mark.own_queues, pytest.mark.slow]

#: Each step of the worker, and which passing of it: at each window's first child, last, and one within.
STEPS = [
    *(("opening", window) for window in (1, 2, 3)),
    *(("opened", window) for window in (1, 2, 3)),
    *((f"read {what}", child) for what in ("posting", "posted") for child in (1, 7, 20, 21, 40, 41, 50)),
    ("find deciding", 1),
    ("find decided", 1),
    *((f"read {what}", child) for what in ("deciding", "decided") for child in (1, 25, 49, 50)),
    ("fired", 1),
    ("sum posting", 1),
    ("sum posted", 1),
    ("page asked", 1),
    ("page read", 1),
    ("sum deciding", 1),
    ("sum decided", 1),
]


@pytest.mark.parametrize(("step", "count"), STEPS, ids=[f"{step} {count}" for step, count in STEPS])
async def test_a_worker_is_killed_at_a_step_and_another_one_goes_on(
    queue_url: str, store_url: str, step: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each job has its effect under one key: no child and no join is another job than it was."""
    monkeypatch.setattr(fan_out, "WINDOW", WINDOW)
    mark = uuid4().hex[:8]
    pipeline, effects = a_fan(mark), Effects.made(tmp_path / "effects.db")
    async with workbench_for(pipeline, queue_url, store_url) as bench:
        run_id = await bench.submit(b"%d" % CHILDREN)
        await dies(step, count, queue_url, store_url, mark, str(tmp_path / "effects.db"))
        async with bench.working(*bindings(pipeline, effects)):
            run = await bench.ended(run_id)
        letters = [await bench.queue.count_ready(f"{stage.queue}.dead") for stage in pipeline.stages]

    assert (run.state, run.result) == (RunState.COMPLETED, [CHILDREN, 10 * sum(range(CHILDREN))])
    had = sorted(effect.stage for effect in effects.all())
    assert had == sorted(["find", "sum", *(f"read {number}" for number in range(CHILDREN))])
    assert letters == [0, 0, 0]
