"""Binds handlers to one stage, and keeps what they do."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import msgspec

from mousetrap.handlers import AttemptInfo, Binding, BoundHandler, HandlerHost, HungHandlers, bound
from mousetrap.jobs import Done, Job, Outcome, first_job
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.shapes import Progress

JOB = first_job(run_id="r", pipeline="sums", stage="add", payload=b"1", accepted_ms=1)


class HandlerBench:
    """A host of handlers whose yielded values and errors can be looked at."""

    def __init__(self, threads: Executor) -> None:
        self.hung = HungHandlers()
        #: Number and JSON of each yielded value.
        self.yielded: list[tuple[int, bytes]] = []
        #: What the store replies to the next values; "recorded" after the last.
        self.replies: list[Any] = []
        self.errors: list[BaseException] = []
        self.host = HandlerHost(
            threads=threads,
            hung=self.hung,
            worker="w",
            report=self._drop,
            emit=self._keep,
            chance=lambda: 0.5,
            raised=self.errors.append,
        )

    def binding(
        self, handler: Callable[..., Any], *, stage: dict[str, Any] | None = None, **more: Any
    ) -> Binding:
        chosen: dict[str, Any] = {"input": int, "output": Any, **(stage or {})}
        pipeline = Pipeline(
            name="sums", description="One stage.", stages=(Stage(name="add", queue="add", **chosen),)
        )
        return Binding(pipeline=pipeline, stage="add", handler=handler, **more)

    def bind(self, handler: Callable[..., Any], deps: Any = None, **more: Any) -> BoundHandler:
        return bound(self.binding(handler, **more), deps, self.host)

    async def run(
        self, handler: Callable[..., Any], deps: Any = None, job: Job = JOB, **more: Any
    ) -> Outcome:
        """The outcome of one attempt."""
        return await self.bind(handler, deps, **more).run(job, fence=7)

    async def value(self, handler: Callable[..., Any], deps: Any = None, **more: Any) -> Any:
        """The value of one attempt, which must succeed."""
        outcome = await self.run(handler, deps, **more)
        assert isinstance(outcome, Done), outcome
        return msgspec.json.decode(outcome.output)

    @property
    def values(self) -> list[Any]:
        """The yielded values, in their order."""
        assert [number for number, _ in self.yielded] == list(range(1, len(self.yielded) + 1))
        return [msgspec.json.decode(value) for _, value in self.yielded]

    async def _keep(self, attempt: AttemptInfo, number: int, value: bytes) -> Any:
        assert (attempt.run_id, attempt.fence) == ("r", 7)
        reply = self.replies.pop(0) if self.replies else "recorded"
        if reply == "recorded":
            self.yielded.append((number, value))
        return reply

    async def _drop(self, run_id: str, progress: Progress) -> None:
        """Keeps no progress."""


async def until(condition: Callable[[], Any]) -> None:
    """Returns once the condition holds, while the event loop turns."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  a thread sets it
            await asyncio.sleep(0.005)
