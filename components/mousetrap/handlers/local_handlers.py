"""Runs a handler in the worker's process and returns its outcome."""

import asyncio
import threading
from contextvars import Context as ContextVars
from contextvars import copy_context
from functools import partial
from typing import Any

from mousetrap.handlers.binding import Binding
from mousetrap.handlers.bound_handler import BoundHandler, HandlerHost
from mousetrap.handlers.calling import Raised, Returned, call, call_async, ended_within
from mousetrap.handlers.context import attempt_info, context_of
from mousetrap.handlers.outcomes import done, input_broken
from mousetrap.handlers.progress_reporter import ProgressReporter
from mousetrap.handlers.soft_timeout import run_softly
from mousetrap.handlers.threads import run_in_thread
from mousetrap.jobs import Job, Outcome
from mousetrap.pipeline import ContractBroken, read

#: Seconds that a cancelled async handler has to tidy up; then it is left, and counts as hung.
CLEANUP_S = 1.0


def bound(binding: Binding, deps: Any, host: HandlerHost) -> BoundHandler:
    """The binding, ready to run; `deps` is the value of its lifespan."""
    return (AsyncHandler if binding.is_async else ThreadHandler)(binding, deps, host)


class _LocalHandler(BoundHandler):
    def __init__(self, binding: Binding, deps: Any, host: HandlerHost) -> None:
        super().__init__(binding, host)
        self._deps = deps
        self._handler = binding.handler
        self._takes_context = binding.takes_context

    def _arguments(
        self, payload: Any, job: Job, fences: tuple[int, int], stopped: threading.Event
    ) -> tuple[Any, ...]:
        """What the handler is called with; a context is made only for those that take one."""
        if not self._takes_context:
            return (payload,)
        fence, lock_fence = fences
        info = attempt_info(job, fence=fence, lock_fence=lock_fence, deadline=self._deadline())
        return payload, context_of(info, self._deps, stopped, ProgressReporter(self._host.report, job.run_id))

    def _unreadable(self, error: BaseException, job: Job) -> Outcome:
        """The outcome of a job whose input cannot be read, or makes the code of its contract's class fail."""
        return input_broken(error, self.stage) if type(error) is ContractBroken else self.judged(error, job)

    def _outcome(self, ended: Returned | Raised, job: Job, variables: ContextVars) -> Outcome:
        if isinstance(ended, Raised):
            return self.judged(ended.error, job)
        try:
            return variables.run(done, ended.value, self.stage)
        except BaseException as error:  # noqa: BLE001  raised by the code of the contract's own class
            return self.judged(error, job)


class AsyncHandler(_LocalHandler):
    """A handler on the event loop.

    1. It runs in a task of its own, which it can cancel; it cannot cancel the worker's.
    2. At its timeout, or when the attempt is cancelled, that task is cancelled and has CLEANUP_S to end.
    3. A task that still runs then is left, and counts as hung until it ends.
    """

    async def run(self, job: Job, *, fence: int, lock_fence: int = 0) -> Outcome:
        """Makes one attempt, as BoundHandler has it."""
        variables = copy_context()  # what the handler sets in it is invisible to other attempts
        try:
            payload = variables.run(read, job.payload, self.stage.input)
        except BaseException as error:  # noqa: BLE001  all of it is judged
            return self._unreadable(error, job)
        stopped = threading.Event()
        arguments = self._arguments(payload, job, (fence, lock_fence), stopped)
        if self.stage.soft_timeout is None:
            work = call_async(self._handler, *arguments)
        else:
            work = call_async(run_softly, self._handler, arguments, self.stage.soft_timeout, stopped)
        task = asyncio.get_running_loop().create_task(work, context=variables)
        try:
            in_time = await ended_within(task, self.stage.timeout)
        except asyncio.CancelledError:
            stopped.set()
            await self._end(task, job)
            raise
        stopped.set()
        if not in_time:
            await self._end(task, job)
            return self._timed_out(job)
        # A task is cancelled at its end only if the handler cancelled it.
        ended = Raised(asyncio.CancelledError()) if task.cancelled() else task.result()
        return self._outcome(ended, job, variables)

    async def _end(self, task: "asyncio.Task[Any]", job: Job) -> None:
        if task.done():
            return
        task.cancel()
        try:
            await asyncio.wait([task], timeout=CLEANUP_S)
        finally:
            if not task.done():
                self._host.hung.task_left(job, task)


class ThreadHandler(_LocalHandler):
    """A sync handler in a thread.

    1. At its soft timeout, at its timeout, or when the attempt is cancelled, its context reports `cancelled`.
    2. A handler that runs on after its timeout or a cancellation counts as hung until it ends.
    """

    async def run(self, job: Job, *, fence: int, lock_fence: int = 0) -> Outcome:
        """Makes one attempt, as BoundHandler has it."""
        variables = copy_context()  # what the handler sets in it is invisible to other attempts
        try:
            payload = variables.run(read, job.payload, self.stage.input)
        except BaseException as error:  # noqa: BLE001  all of it is judged
            return self._unreadable(error, job)
        stopped = threading.Event()
        arguments = self._arguments(payload, job, (fence, lock_fence), stopped)
        soft_timer = self._soft_timer(stopped)
        try:
            work = partial(variables.run, call, self._handler, *arguments)
            ended = await run_in_thread(self._host.threads, self._host.hung, job, work, self.stage.timeout)
        except RuntimeError as error:  # the system starts no further thread
            return self.judged(error, job)
        finally:
            stopped.set()
            if soft_timer is not None:
                soft_timer.cancel()
        return self._timed_out(job) if ended is None else self._outcome(ended, job, variables)

    def _soft_timer(self, stopped: threading.Event) -> asyncio.TimerHandle | None:
        seconds = self.stage.soft_timeout
        return None if seconds is None else asyncio.get_running_loop().call_later(seconds, stopped.set)
