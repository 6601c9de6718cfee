"""A worker of a fan-out that kills itself at a step.

`python -m support.dying_fan STEP COUNT QUEUE_URL STORE_URL MARK EFFECTS`: at the COUNT-th passing of STEP. Its handlers have
their effects in the table at EFFECTS, each under its idempotency key.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from chaos.effects import Effects
from mousetrap.handlers import Binding, Context
from mousetrap.job_queue import connect
from mousetrap.jobs import Message, MousetrapError, Queue, Settled, decode
from mousetrap.pipeline import All, Each, Gathered, Many, Pipeline, Stage
from mousetrap.run_store import ClaimRequest, DecisionRequest, Exchanged, Fired, RunStore, open_store
from mousetrap.worker import Stop, WorkerOptions, fan_out, run_worker
from support.dying_submitter import Trap
from support.valkey import end_consumers
from support.workbench import KEYRING

T = TypeVar("T")

#: Children of one run, and of one window: two whole ones and a half.
CHILDREN, WINDOW = 50, 20
_TIMEOUT_S = 60.0


def a_fan(mark: str) -> Pipeline:
    """find -> read each -> sum."""

    def stage(name: str, takes: Any, gives: Any, **more: Any) -> Stage:
        return Stage(name=name, queue=f"{name}_{mark}", input=takes, output=gives, **more)

    return Pipeline(
        name=f"fan_{mark}",
        description="Fans out.",
        stages=(
            stage("find", int, Many[int]),
            stage("read", int, int, after=Each("find")),
            stage("sum", Gathered[int], list[int], after=All("read")),
        ),
    )


class Handlers:
    """Have an effect for each job."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects

    async def find(self, count: int, context: Context[None]) -> AsyncIterator[int]:
        for number in range(count):
            yield number
        self._effect("find", context)

    async def read(self, number: int, context: Context[None]) -> int:
        self._effect(f"read {number}", context)
        return number * 10

    async def add_up(self, numbers: Gathered[int], context: Context[None]) -> list[int]:
        values = [value async for _, value in numbers]
        self._effect("sum", context)
        return [len(values), sum(values)]

    def _effect(self, what: str, context: Context[None]) -> None:
        self._effects.write(context.idempotency_key, context.run_id, what)


def bindings(pipeline: Pipeline, effects: Effects) -> list[Binding]:
    """Its handlers."""
    made = Handlers(effects)
    handlers: tuple[Callable[..., Any], ...] = (made.find, made.read, made.add_up)
    return [
        Binding(pipeline=pipeline, stage=stage, handler=handler)
        for stage, handler in zip(pipeline.stages, handlers, strict=True)
    ]


class DyingQueue:
    """A real queue, with the trap around each publish: `read posting`, `read posted`."""

    def __init__(self, inner: Queue, trap: Trap) -> None:
        self._inner, self._trap = inner, trap

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def post(self, queue: str, message: Message, settled: Settled) -> None:
        stage = decode(message.body).stage
        self._trap.passing(f"{stage} posting")

        def posted(error: MousetrapError | None) -> None:
            self._trap.passing(f"{stage} posted")
            settled(error)

        self._inner.post(queue, message, posted)

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        stage = decode(message.body).stage
        self._trap.passing(f"{stage} posting")
        await self._inner.publish(queue, message, after=after)
        self._trap.passing(f"{stage} posted")


class DyingStore(RunStore):
    """A real store, with the trap around what a worker does with a fan."""

    def __init__(self, inner: RunStore, trap: Trap) -> None:
        self.__dict__.update(inner.__dict__)
        self._trap = trap

    async def open_children(self, *about: Any, **how: Any) -> Any:
        return await self._passed("opening", "opened", super().open_children(*about, **how))

    async def children(self, *about: Any, **how: Any) -> Any:
        return await self._passed("page asked", "page read", super().children(*about, **how))

    async def exchange(
        self, decisions: Sequence[DecisionRequest], claims: Sequence[ClaimRequest], *, worker: str
    ) -> Exchanged:
        calling = asyncio.ensure_future(super().exchange(decisions, claims, worker=worker))
        for _ in range(3):  # what was begun leaves the process
            await asyncio.sleep(0)
        for each in decisions:
            self._trap.passing(f"{each.job.stage} deciding")
        exchanged = await calling
        for each, decision in zip(decisions, exchanged.decisions, strict=True):
            self._trap.passing(f"{each.job.stage} decided")
            if isinstance(decision, Fired):
                self._trap.passing("fired")
        return exchanged

    async def _passed(self, before: str, after: str, call: Awaitable[T]) -> T:
        calling = asyncio.ensure_future(call)
        for _ in range(3):
            await asyncio.sleep(0)
        self._trap.passing(before)
        reply = await calling
        self._trap.passing(after)
        return reply


async def dies(step: str, count: int, *about: str) -> None:
    """Runs the worker until it has killed itself; `about` are the rest of its words."""
    words = (step, count, *about)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["test", *sys.path])}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "support.dying_fan", *map(str, words), env=environment
    )
    try:
        assert await asyncio.wait_for(process.wait(), _TIMEOUT_S) == -signal.SIGKILL
    finally:
        if process.returncode is None:
            process.kill()
    queue_url, *_ = about
    if not queue_url.startswith("amqp"):
        end_consumers(queue_url)


async def _work(trap: Trap, queue_url: str, store_url: str, mark: str, effects: Effects) -> None:
    pipeline = a_fan(mark)
    async with (
        connect(queue_url, [stage.queue for stage in pipeline.stages], name="dying") as queue,
        open_store(store_url, retention=3600, keyring=KEYRING) as store,
    ):
        options = WorkerOptions(name=f"dying-{os.getpid()}", keyring=KEYRING)
        dying: Any = DyingQueue(queue, trap)
        await run_worker(dying, DyingStore(store, trap), bindings(pipeline, effects), options, Stop())


if __name__ == "__main__":
    step, count, queue_url, store_url, mark, effects = sys.argv[1:]
    fan_out.WINDOW = WINDOW
    asyncio.run(_work(Trap(step, int(count)), queue_url, store_url, mark, Effects(Path(effects))))
