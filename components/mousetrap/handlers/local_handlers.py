"""Runs a handler in the worker's process and returns its outcome."""

import asyncio
import threading
from collections.abc import Coroutine
from contextvars import Context as ContextVars
from contextvars import copy_context
from functools import partial
from typing import Any

from msgspec import UNSET

from mousetrap.blobs import use_chunks
from mousetrap.handlers.async_call import AsyncCall
from mousetrap.handlers.binding import Binding
from mousetrap.handlers.bound_handler import BoundHandler, HandlerHost
from mousetrap.handlers.calling import Raised, Returned, call, call_async, ended_within
from mousetrap.handlers.context import context_of
from mousetrap.handlers.error_hook import HookedHandler, noting_errors
from mousetrap.handlers.outcomes import done, forked, input_broken
from mousetrap.handlers.progress_reporter import ProgressReporter
from mousetrap.handlers.soft_timeout import run_softly
from mousetrap.handlers.surrounded import call_surrounded
from mousetrap.handlers.threads import run_in_thread
from mousetrap.jobs import Job, Outcome
from mousetrap.pipeline import (
    ContractBroken,
    SerializerMissing,
    read,
    read_payload,
    takes_gathered,
    use_pages,
)
from mousetrap.telemetry import belongs_to

#: Seconds that a cancelled async handler has to tidy up; then it is left, and counts as hung.
CLEANUP_S = 1.0


def bound(binding: Binding, deps: Any, host: HandlerHost) -> BoundHandler:
    """The binding, ready to run; `deps` is the value of its lifespan."""
    if binding.on_error is None:
        return _bound(binding, deps, host)
    return HookedHandler(binding, deps, _bound(binding, deps, noting_errors(host)), host)


def _bound(binding: Binding, deps: Any, host: HandlerHost) -> BoundHandler:
    is_async = binding.is_async or binding.is_surrounded
    return (AsyncHandler if is_async else ThreadHandler)(binding, deps, host)


class _LocalHandler(BoundHandler):
    def __init__(self, binding: Binding, deps: Any, host: HandlerHost) -> None:
        super().__init__(binding, host)
        self._deps = deps
        self._handler = binding.handler
        self._takes_context = binding.takes_context
        self._reads_outputs = takes_gathered(binding.stage)
        #: Raised in an async handler; a surrounded sync one has its own.
        self._soft_timeout = binding.stage.soft_timeout if binding.is_async else None
        if binding.is_surrounded:
            self._handler, self._takes_context = partial(call_surrounded, binding, host), True

    def _input(self, job: Job) -> Any:
        """The job's input, read where blobs are of its run. Raises what the code of its contract's class does."""
        belongs_to((job, self._host.worker))
        use_chunks(self._host.chunks(job.run_id))
        if self._reads_outputs:
            use_pages(partial(self._host.gathered, job.run_id))
        if job.serializer is UNSET:
            return read(job.payload, self.stage.input)
        return read_payload(job.written, self.stage)

    def _with_context(
        self, payload: Any, job: Job, fences: tuple[int, int], stopped: threading.Event
    ) -> tuple[Any, ...]:
        """The arguments of a handler that takes a context."""
        report = ProgressReporter(self._host.report, job.run_id)
        return payload, context_of(
            self._attempt(job, *fences), self._deps, stopped, report, self._host.chunks(job.run_id)
        )

    def _unreadable(self, error: BaseException, job: Job) -> Outcome:
        """The outcome of a job whose input cannot be read, or makes the code of its contract's class fail."""
        if type(error) is ContractBroken or type(error) is SerializerMissing:
            return input_broken(error, self.stage)
        return self.judged(error, job)

    def _outcome(self, ended: Returned | Raised, job: Job, variables: ContextVars) -> Outcome:
        if not isinstance(ended, Returned):
            return self.judged(ended.error, job)
        try:
            outcome = variables.run(done, ended.value, self.stage, self.takers, self._host.largest)
            return forked(outcome, self.forks) if self.forks else outcome
        except BaseException as error:  # noqa: BLE001  raised by the code of the contract's own class
            return self.judged(error, job)


class AsyncHandler(_LocalHandler):
    """A handler on the event loop.

    1. `call` reads the input and makes the handler's coroutine; nothing of it runs yet.
    2. It runs in a task of its own, which it can cancel; it cannot cancel the worker's. Until it waits for something, that
       may be the task of handlers that have ended (`step`).
    3. At its timeout, or when the attempt is cancelled, that task is cancelled and has CLEANUP_S to end.
    4. A task that still runs then is left, and counts as hung until it ends.
    """

    async def run(self, job: Job, *, fence: int, lock_fence: int = 0) -> Outcome:
        """Makes one attempt, as BoundHandler has it."""
        call = self.call(job, (fence, lock_fence))
        if not isinstance(call, AsyncCall):
            return call
        task = asyncio.get_running_loop().create_task(call.work, context=call.variables)
        return await self.until_ended(call, task)

    def call(self, job: Job, fences: tuple[int, int]) -> AsyncCall | Outcome:
        """The handler's call, not begun; or the outcome of a job whose input cannot be read."""
        variables = copy_context()  # what the handler sets in it is invisible to other attempts
        try:
            payload = variables.run(self._input, job)
        except BaseException as error:  # noqa: BLE001  all of it is judged
            return self._unreadable(error, job)
        # An event costs a tenth of a small job: there is one where the handler can look at it.
        stopped = threading.Event() if self._takes_context or self._soft_timeout is not None else None
        if stopped is None:
            return AsyncCall(job, call_async(self._handler, payload), variables, None)
        return AsyncCall(job, self._work(payload, job, fences, stopped), variables, stopped)

    def _work(
        self, payload: Any, job: Job, fences: tuple[int, int], stopped: threading.Event
    ) -> Coroutine[Any, Any, Returned | Raised]:
        """The coroutine of a handler with a context or a soft timeout, not begun."""
        arguments: tuple[Any, ...] = (payload,)
        if self._takes_context:
            arguments = self._with_context(payload, job, fences, stopped)
        if self._soft_timeout is None:
            return call_async(self._handler, *arguments)
        return call_async(run_softly, self._handler, arguments, self._soft_timeout, stopped)

    async def until_ended(self, call: AsyncCall, task: "asyncio.Task[Any]") -> Outcome:
        """The outcome of a call that `task` makes, stopped in time."""
        try:
            in_time = await ended_within(task, self.stage.timeout)
        except asyncio.CancelledError:
            call.end()
            await self._end(task, call.job)
            raise
        call.end()
        if not in_time:
            await self._end(task, call.job)
            return self._timed_out(call.job)
        # A task is cancelled at its end only if the handler cancelled it.
        ended = Raised(asyncio.CancelledError()) if task.cancelled() else task.result()
        return self._outcome(ended, call.job, call.variables)

    def ended_at_once(self, call: AsyncCall, ended: Returned | Raised) -> Outcome:
        """The outcome of a call that ended without waiting for anything."""
        if call.stopped is not None:
            call.end()
        return self._outcome(ended, call.job, call.variables)

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
            payload = variables.run(self._input, job)
        except BaseException as error:  # noqa: BLE001  all of it is judged
            return self._unreadable(error, job)
        stopped = threading.Event()
        arguments: tuple[Any, ...] = (payload,)
        if self._takes_context:
            arguments = self._with_context(payload, job, (fence, lock_fence), stopped)
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
