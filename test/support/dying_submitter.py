"""Submits a batch as a process that kills itself at a step.

`python -m support.dying_submitter STEP COUNT QUEUE_URL STORE_URL PIPELINE DELAY RUNS NEW_RUNS`: at the COUNT-th passing of
STEP; runs of format 5 without a delay have new ids.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable
from typing import Any

from mousetrap.job_queue import connect
from mousetrap.jobs import Message, Queue, job
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.run_store import Opened, RunStore, open_store
from mousetrap.run_store.records import packs_new_runs
from mousetrap.submit_run import Submission, SubmitOptions, Submitter
from support.workbench import KEYRING

#: What a submitter does for each run, in this order.
STEPS = ("before the record", "recorded", "publish sent", "published", "noted")


_TIMEOUT_S = 60.0


class Trap:
    """Kills the process at one passing of a step."""

    def __init__(self, step: str, count: int) -> None:
        self._step, self._left = step, count

    def passing(self, step: str) -> None:
        if step == self._step:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class DyingQueue:
    """A real queue, with the trap around its publish."""

    def __init__(self, inner: Queue, trap: Trap) -> None:
        self._inner, self._trap = inner, trap

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        sending = asyncio.ensure_future(self._inner.publish(queue, message, after=after))
        for _ in range(3):  # what was begun leaves the process
            await asyncio.sleep(0)
        self._trap.passing("publish sent")
        await sending
        self._trap.passing("published")


class DyingStore(RunStore):
    """A real store, with the trap around what a submitter does with it."""

    def __init__(self, inner: RunStore, trap: Trap) -> None:
        self.__dict__.update(inner.__dict__)
        self._trap = trap

    async def open_run(self, *about: Any, **how: Any) -> Opened:
        if packs_new_runs():
            return await super().open_run(*about, **how)  # which opens a draft
        return await self._opened(super().open_run(*about, **how))

    async def open_drafted(self, draft: Any) -> Opened:
        return await self._opened(super().open_drafted(draft))

    async def _opened(self, opening: Awaitable[Opened]) -> Opened:
        self._trap.passing("before the record")
        opened = await opening
        self._trap.passing("recorded")
        return opened

    def mark_published(self, run_id: str) -> None:
        super().mark_published(run_id)
        self._trap.passing("noted")


def pipeline_named(name: str) -> Pipeline:
    """One stage, whose queue is named after it."""
    stage = Stage(name="only", queue=f"{name}_only", input=int, output=int)
    return Pipeline(name=name, description="One stage.", stages=(stage,))


def batch(pipeline: Pipeline, delay: float, runs: int, *, are_new: bool = False) -> list[Submission]:
    """Runs of this pipeline, each with its number as input; every second one is delayed."""
    return [
        Submission(
            pipeline,
            b"%d" % number,
            f"r{number}",
            SubmitOptions(delay_s=delay if number % 2 else 0.0),
            is_new=are_new,
        )
        for number in range(runs)
    ]


async def dies(
    step: str, queue_url: str, store_url: str, name: str, *, runs: int, delay: float, new_runs: int = 2
) -> None:
    """Runs the submitter until it has killed itself, in the middle of its batch."""
    words = (step, runs // 2, queue_url, store_url, name, delay, runs, new_runs)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["test", *sys.path])}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "support.dying_submitter", *map(str, words), env=environment
    )
    assert await asyncio.wait_for(process.wait(), _TIMEOUT_S) == -signal.SIGKILL


async def _submit(trap: Trap, queue_url: str, store_url: str, submissions: list[Submission]) -> None:
    pipeline = submissions[0].pipeline
    async with (
        connect(queue_url, [pipeline.first.queue], name="dying") as queue,
        open_store(store_url, retention=3600, keyring=KEYRING) as store,
    ):
        submitter = Submitter(DyingStore(store, trap), DyingQueue(queue, trap), KEYRING, {})
        await submitter.submit_many(submissions)


if __name__ == "__main__":
    step, count, queue_url, store_url, name, delay, runs, new_runs = sys.argv[1:]
    job.NEW_RUNS = int(new_runs)  # type: ignore[assignment]
    submissions = batch(pipeline_named(name), float(delay), int(runs), are_new=packs_new_runs())
    asyncio.run(_submit(Trap(step, int(count)), queue_url, store_url, submissions))
