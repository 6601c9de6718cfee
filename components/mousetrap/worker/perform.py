"""Runs a handler on a job and says, as a value, what came of it."""

import asyncio
import random
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import Context as ContextVars
from contextvars import copy_context
from functools import partial
from typing import Any

from mousetrap.handlers import (
    Binding,
    Context,
    Raised,
    Returned,
    SoftLimit,
    call,
    call_in_task,
    done,
    input_broken,
    judged,
)
from mousetrap.isolated_handlers import Children, Facts
from mousetrap.jobs import Job, Outcome
from mousetrap.pipeline import ContractBroken, read
from mousetrap.retry import TimeLimitExceeded
from mousetrap.worker.watching import Watching


class Performer:
    """A binding made ready to run: its dependencies are open, its handler's shape is known."""

    def __init__(
        self, binding: Binding, deps: Any, threads: Executor, children: Children | None, watching: Watching
    ) -> None:
        self.pipeline = binding.pipeline
        self.stage = binding.step
        self.following = binding.pipeline.after(self.stage)
        self.deps = deps
        self._handler = binding.handler
        self._is_async = binding.is_async
        self._takes_context = binding.takes_context
        self._is_plain = self._is_async and not self._takes_context and self.stage.soft_timeout is None
        self._threads = threads
        self._children = children
        self._watching = watching

    async def perform(
        self, job: Job, context: Callable[[], Context[Any]], chance: Callable[[], float] = random.random
    ) -> Outcome:
        """One attempt. Only a cancellation of this task is raised; all that the handler does becomes an outcome.

        The context is made only for those that use it.
        """
        task = _running_task()
        ended: Outcome | Raised
        try:
            async with asyncio.timeout(self.stage.timeout) as limit:
                if self._children is not None:
                    ended = await self._in_child(self._children, job, context(), chance())
                else:
                    ended = await self._here(job, context)
        except BaseException as error:  # noqa: BLE001  all of it is judged
            ended = Raised(error)
        if task.cancelling():  # by us: a handler has a task of its own to cancel
            raise asyncio.CancelledError
        if limit.expired():
            ended = Raised(TimeLimitExceeded(f"the attempt took longer than its {self.stage.timeout:g} s"))
        if isinstance(ended, Raised):
            return judged(ended.error, job.attempt, self.stage, chance(), time.time())
        return ended

    async def _here(self, job: Job, context: Callable[[], Context[Any]]) -> Outcome | Raised:
        own = copy_context()  # what the handler sets in it is seen by no other attempt
        try:
            payload = own.run(read, job.payload, self.stage.input)
        except ContractBroken as error:
            return input_broken(error, self.stage)
        leave = partial(self._watching.leave, job)
        if self._is_plain:
            ended = await call_in_task(own, leave, self._handler, payload)
        else:
            ended = await self._call(own, leave, payload, context())
        return own.run(done, ended.value, self.stage) if isinstance(ended, Returned) else ended

    async def _call(
        self,
        own: ContextVars,
        leave: Callable[["asyncio.Task[Any]"], None],
        payload: Any,
        context: Context[Any],
    ) -> Returned | Raised:
        arguments = (payload, context) if self._takes_context else (payload,)
        if not self._is_async:
            with self._told_at_soft_limit(context.stopped.set):
                return await self._watching.in_thread(
                    self._threads, context, partial(own.run, call, self._handler, *arguments)
                )
        if self.stage.soft_timeout is None:
            return await call_in_task(own, leave, self._handler, *arguments)
        return await call_in_task(own, leave, self._softly, arguments, context)

    async def _softly(self, arguments: tuple[Any, ...], context: Context[Any]) -> Any:
        soft = SoftLimit()
        own_task = weakref.ref(_running_task())  # a strong one would keep a failed handler's frames

        def say() -> None:
            context.stopped.set()
            if (task := own_task()) is not None:
                soft.say(task)

        with self._told_at_soft_limit(say):
            return await soft.around(self._handler(*arguments))

    @contextmanager
    def _told_at_soft_limit(self, say: Callable[[], None]) -> Iterator[None]:
        if self.stage.soft_timeout is None:
            yield
            return
        told = asyncio.get_running_loop().call_later(self.stage.soft_timeout, say)
        try:
            yield
        finally:
            told.cancel()

    async def _in_child(self, children: Children, job: Job, context: Context[Any], chance: float) -> Outcome:
        about = Facts(
            run_id=context.run_id,
            job_id=context.job_id,
            pipeline=context.pipeline,
            stage=context.stage,
            attempt=context.attempt,
            fence=context.fence,
            lock_fence=context.lock_fence,
            deadline=context.deadline,
        )
        return await children.perform(
            bytes(job.payload), about, soft=self.stage.soft_timeout, chance=chance, tell=context.tell
        )


def _running_task() -> "asyncio.Task[Any]":
    task = asyncio.current_task()
    assert task is not None
    return task
