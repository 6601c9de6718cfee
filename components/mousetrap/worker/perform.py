"""Runs a handler on a job and says, as a value, what came of it."""

import asyncio
import random
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import msgspec

from mousetrap.jobs import LARGEST_PAYLOAD, Done, Failure, GiveUp, Job, Outcome, RetryLater
from mousetrap.pipeline import ContractBroken, Stage, read, write
from mousetrap.retry import Again, judge
from mousetrap.worker.binding import Binding
from mousetrap.worker.context import Context

#: Characters of an error's text, and of its traceback's end, that are kept.
_TEXT, _TRACEBACK = 1_000, 8_000


class Performer:
    """A binding made ready to run: its dependencies are open, its handler's shape is known."""

    def __init__(self, binding: Binding, deps: Any, threads: Executor) -> None:
        self.pipeline = binding.pipeline
        self.stage = binding.step
        self.following = binding.pipeline.after(self.stage)
        self.deps = deps
        self._handler = binding.handler
        self._is_async = binding.is_async
        self._takes_context = binding.takes_context
        self._threads = threads

    async def perform(
        self, job: Job, context: Context[Any], chance: Callable[[], float] = random.random
    ) -> Outcome:
        """One attempt. Only cancellation is raised; every error of the handler becomes an outcome."""
        try:
            payload = read(job.payload, self.stage.input)
        except ContractBroken as error:
            return GiveUp("contract", _failure(error, f"the input of stage {self.stage.name!r}: "))
        try:
            async with asyncio.timeout(self.stage.timeout):
                value = await self._call(payload, context)
        except (Exception, SystemExit) as error:  # noqa: BLE001  all of it is judged
            return _judged(error, job.attempt, self.stage, chance())
        return self._done(value)

    async def _call(self, payload: Any, context: Context[Any]) -> Any:
        arguments = (payload, context) if self._takes_context else (payload,)
        if self._is_async:
            return await self._handler(*arguments)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._handler, *arguments)

    def _done(self, value: Any) -> Outcome:
        try:
            output = write(value, self.stage.output)
        except ContractBroken as error:
            return GiveUp("contract", _failure(error, f"the output of stage {self.stage.name!r}: "))
        if len(output) > LARGEST_PAYLOAD:
            what = f"the output of stage {self.stage.name!r} has {len(output)} bytes, over {LARGEST_PAYLOAD}: hand on less"
            return GiveUp("too-large", Failure(kind="TooLarge", text=what))
        return Done(msgspec.Raw(output))


def unknown_stage(job: Job, queue: str) -> GiveUp:
    """The outcome of a job that no handler of this worker stands for: a message never causes an import."""
    what = f"no handler for stage {job.stage!r} of pipeline {job.pipeline!r} serves queue {queue!r}"
    return GiveUp("unknown-stage", Failure(kind="UnknownStage", text=what))


def crash_loop(starts: int) -> GiveUp:
    """The outcome of a job over which one worker after another died."""
    what = f"{starts} workers began this attempt and none lived to end it: look for what kills them (memory?)"
    return GiveUp("crash-loop", Failure(kind="CrashLoop", text=what))


def _judged(error: BaseException, attempt: int, stage: Stage, chance: float) -> Outcome:
    failure = _failure(error)
    if isinstance(error, SystemExit):  # a handler must not end its worker
        error = RuntimeError(f"the handler called exit: {error}")
    assert isinstance(error, Exception)
    match judge(error, attempt, stage.retry, chance, time.time()):
        case Again(after):
            return RetryLater(after, failure)
        case stop:
            return GiveUp(stop.reason, failure)


def _failure(error: BaseException, where: str = "") -> Failure:
    kind = type(error)
    return Failure(
        kind=kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}",
        text=f"{where}{error}"[:_TEXT],
        traceback="".join(traceback.format_exception(error))[-_TRACEBACK:],
    )
