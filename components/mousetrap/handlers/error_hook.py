"""Calls a binding's error hook once a failed attempt is judged."""

import asyncio
import inspect
import logging
import threading
from concurrent.futures import Executor
from contextvars import Context as ContextVars
from contextvars import ContextVar, copy_context
from dataclasses import replace
from typing import Any

from mousetrap.handlers.binding import Binding
from mousetrap.handlers.bound_handler import BoundHandler, HandlerHost
from mousetrap.handlers.calling import Raised, call, call_async, ended_within
from mousetrap.handlers.context import AttemptInfo, Context, context_of, facts_of
from mousetrap.handlers.surroundings import OnError
from mousetrap.jobs import Done, Failure, GiveUp, Job, Outcome, RetryLater
from mousetrap.telemetry import belongs_to

#: Seconds that a hook may take; then the worker goes on without it.
HOOK_S = 5.0

_log = logging.getLogger("mousetrap.handler")
#: The error of the running attempt, in the task that makes it.
_error: ContextVar[BaseException | None] = ContextVar("error", default=None)


class AttemptFailed(Exception):
    """The attempt failed with an error that is known by its text alone: a broken contract, or what another process raised."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure

    def __str__(self) -> str:
        text = f"{self.failure.kind}: {self.failure.text}"
        return f"{text}\n\n{self.failure.traceback}".rstrip()


class HookedHandler(BoundHandler):
    """A handler whose failed attempts are reported to its binding's `on_error`; the hook changes nothing."""

    def __init__(self, binding: Binding, deps: Any, inner: BoundHandler, host: HandlerHost) -> None:
        super().__init__(binding, host)
        self._deps = deps
        self._on_error = binding.on_error
        self._inner = inner

    async def run(self, job: Job, *, fence: int, lock_fence: int = 0) -> Outcome:
        """Makes one attempt, as BoundHandler has it; a cancelled one is no failure."""
        attempt = self._attempt(job, fence, lock_fence)
        outcome = await self._inner.run(job, fence=fence, lock_fence=lock_fence)
        error = _error.get()
        _error.set(None)
        if not isinstance(outcome, Done) and self._on_error is not None:
            context = context_of(attempt, self._deps, _stopped(), _drop)
            await self._call(self._on_error, context, error or AttemptFailed(outcome.failure), outcome)
        return outcome

    async def _call(
        self, hook: OnError[Any], context: Context[Any], error: BaseException, outcome: RetryLater | GiveUp
    ) -> None:
        variables = hook_variables(context)
        work = asyncio.get_running_loop().create_task(
            call_hook(hook, context, error, outcome, self._host.threads), context=variables
        )
        try:
            in_time = await ended_within(work, HOOK_S)
        finally:
            work.cancel()
        if not in_time:
            _log.error(
                "on_error of stage %s took longer than %.0f s: going on without", context.stage, HOOK_S
            )


def noting_errors(host: HandlerHost) -> HandlerHost:
    """The host, with each error kept for the hook of the attempt that it ends."""

    def raised(error: BaseException) -> None:
        host.raised(error)
        _error.set(error)

    return replace(host, raised=raised)


async def call_hook(
    hook: OnError[Any],
    context: Context[Any],
    error: BaseException,
    outcome: RetryLater | GiveUp,
    threads: Executor | None,
) -> None:
    """Calls the hook, a sync one in a thread, or at once where there are none. What it raises is logged."""
    if _is_async(hook):
        ended = await call_async(hook, context, error, outcome)  # type: ignore[arg-type]  # it is async
    elif threads is None:
        ended = call(hook, context, error, outcome)
    else:
        ended = await asyncio.wrap_future(
            threads.submit(copy_context().run, call, hook, context, error, outcome)
        )
    if isinstance(ended, Raised):
        _log.error("on_error of stage %s failed", context.stage, exc_info=ended.error)


def hook_variables(attempt: AttemptInfo) -> ContextVars:
    """What a hook runs in: its log lines are the attempt's."""
    variables = copy_context()
    variables.run(belongs_to, facts_of(attempt))
    return variables


def _is_async(hook: Any) -> bool:
    """Whether the hook, or the object's own call, is a coroutine function."""
    return inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(getattr(hook, "__call__", None))  # noqa: B004


def _stopped() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


def _drop(progress: Any) -> None:
    """The attempt is over: it makes no progress."""
