"""Makes one attempt at a job, and lets its error rise."""

import asyncio
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack
from typing import Any, Protocol, TypeVar

import msgspec

from mousetrap.handlers import AttemptFailed, Binding, too_many
from mousetrap.isolated_handlers import IsolatedHandler
from mousetrap.jobs import Done, Job
from mousetrap.repeat_attempt.attempter import FROM_LIFESPAN, Attempter, Ended, loop_runs
from mousetrap.repeat_attempt.threads import Threads

T = TypeVar("T")


class Bound(Protocol):
    """What has bindings, as a chain of tasks does."""

    @property
    def bindings(self) -> Sequence[Binding]: ...


class BoundOnce(Protocol):
    """What has one binding, as a task does."""

    @property
    def binding(self) -> Binding: ...


#: What leads to a handler.
Target = Binding | BoundOnce | Bound


def repeat(target: Target, job: Job, *, deps: Any = FROM_LIFESPAN) -> Any:
    """Makes one attempt at `job`, as a worker does but without queue and store, and returns the handler's value.

    The binding's lifespan is opened for it, unless `deps` are given in its place. Contracts, time limit and attempts are those of
    the stage, and an isolated handler has a process of its own. Raises what the handler raises, AttemptFailed for any other
    failure, and ValueError for the job of another stage, and for `deps` of an isolated handler.
    """
    binding = binding_of(target, job)
    if binding.isolated and deps is not FROM_LIFESPAN:
        raise ValueError(
            f"the handler of stage {job.stage!r} is isolated: its process opens the lifespan, and `deps` cannot go there. "
            "Leave them out, or give a binding with isolated=False"
        )
    allowed = binding.stage.retry.attempts
    if allowed is not None and job.attempt > allowed:
        raise AttemptFailed(too_many(job.attempt, allowed).failure)
    return _run(_value(binding, job, deps))


def as_json(value: Any) -> msgspec.Raw:
    """A job's payload."""
    return msgspec.Raw(value if isinstance(value, bytes) else msgspec.json.encode(value))


def binding_of(target: Any, job: Job) -> Binding:
    """The binding of the job's stage. Raises ValueError where the target has none."""
    own = target if isinstance(target, Binding) else getattr(target, "binding", None)
    bindings: Sequence[Binding] = target.bindings if own is None else (own,)
    for each in bindings:
        if each.stage_name == job.stage:
            return each
    names = ", ".join(repr(each.stage_name) for each in bindings)
    raise ValueError(f"this is a job of stage {job.stage!r}, and the handler's is {names}")


async def _value(binding: Binding, job: Job, deps: Any) -> Any:
    attempter = Attempter("debug")
    ended = await _attempt(attempter, binding, job, deps)
    if not isinstance(ended.outcome, Done):
        ended.fail()
    return attempter.value_of(ended.outcome, binding, job)


async def _attempt(attempter: Attempter, binding: Binding, job: Job, deps: Any) -> Ended:
    async with AsyncExitStack() as opened:
        if binding.isolated:
            isolated = IsolatedHandler(binding, attempter.host, processes=1)
            opened.push_async_callback(isolated.close)
            return await attempter.attempt(isolated, job)
        if deps is FROM_LIFESPAN:
            deps = await opened.enter_async_context(binding.lifespan())
        return await attempter.attempt(attempter.bound(binding, deps), job)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Runs it to its end, also where an event loop runs in this thread already, as in a notebook."""
    if not loop_runs():
        return asyncio.run(work)  # outside of `except`, which would be the context of the handler's error
    ended: Future[T] = Threads().submit(asyncio.run, work)
    return ended.result()
