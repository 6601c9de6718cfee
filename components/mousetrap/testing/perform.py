"""Performs one attempt of a handler as a plain call."""

from typing import Any

from msgspec.structs import replace

from mousetrap.blobs import copy_blobs, in_run
from mousetrap.handlers import waited_out
from mousetrap.jobs import Done, Job, Outcome, RetryLater
from mousetrap.pipeline import Gathered, Stage, gathered_item, is_gathered, write
from mousetrap.repeat_attempt import FROM_LIFESPAN, Attempter, Ended
from mousetrap.testing.attempt import open_deps, run_sync, start_of
from mousetrap.testing.work import Work, bindings_of


def perform(
    work: Work, value: Any, *, deps: Any = FROM_LIFESPAN, attempt: int = 1, run_id: str = "run"
) -> Any:
    """What the handler returns for `value`, as the next stage would read it: of a fan-out, the list of its items.

    A join takes a list of outputs, or Gathered.of(outputs, lost=…).

    Both contracts are checked, and the handler runs as in a worker: async in a task, sync in a thread, within its timeouts.
    Without `deps` the lifespan is entered for this call. Raises the handler's own error, ContractBroken for a value
    outside the input's contract, and AttemptFailed for an output outside its contract or over the limit.
    """
    return run_sync(perform_async(work, value, deps=deps, attempt=attempt, run_id=run_id), "perform_async")


async def perform_async(
    work: Work, value: Any, *, deps: Any = FROM_LIFESPAN, attempt: int = 1, run_id: str = "run"
) -> Any:
    """As `perform`, in the running event loop."""
    attempter = Attempter("test", 1.0)
    ended, job = await _attempt(work, value, deps, attempter, (attempt, run_id))
    if not isinstance(ended.outcome, Done):
        ended.fail()
    (binding,) = bindings_of(work)
    chunks = attempter.host.chunks(run_id)  # so that its blobs can be opened
    return in_run(chunks, attempter.value_of, ended.outcome, binding, job)


def outcome_of(
    work: Work, value: Any, *, deps: Any = FROM_LIFESPAN, attempt: int = 1, chance: float = 1.0
) -> Outcome:
    """The judgement on one attempt: Done, RetryLater (`after` so many seconds) or GiveUp (with its `reason`).

    `chance` in [0, 1] replaces the jitter: 1 gives the longest pause. Raises ContractBroken for a value outside the input's
    contract, and nothing that the handler raises.
    """
    work_ = outcome_of_async(work, value, deps=deps, attempt=attempt, chance=chance)
    return run_sync(work_, "outcome_of_async")


async def outcome_of_async(
    work: Work, value: Any, *, deps: Any = FROM_LIFESPAN, attempt: int = 1, chance: float = 1.0
) -> Outcome:
    """As `outcome_of`, in the running event loop."""
    ended, _ = await _attempt(work, value, deps, Attempter("test", chance), (attempt, "run"))
    outcome = ended.outcome
    if isinstance(outcome, RetryLater) and not outcome.counted:
        return waited_out(outcome, 0.0, _stage(work).retry, chance)
    return outcome


async def _attempt(
    work: Work, value: Any, deps: Any, attempter: Attempter, about: tuple[int, str]
) -> tuple[Ended, Job]:
    attempt, run_id = about
    (binding,) = bindings_of(work)
    if is_gathered(binding.stage.input):
        value = _gathered(value, binding.stage, attempter)
    payload = await copy_blobs(write(value, binding.stage.input), attempter.host.chunks(run_id))
    job = replace(start_of(binding, payload, run_id), attempt=attempt)
    async with open_deps([binding], deps) as (opened,):
        return await attempter.attempt(attempter.bound(binding, opened), job), job


def _gathered(value: Any, join: Stage, attempter: Attempter) -> Gathered[Any]:
    """The outputs that the handler of a join is to read: those of Gathered.of(…), or of a list."""
    gathered = value if isinstance(value, Gathered) else Gathered.of(value)
    item = gathered_item(join.input)
    attempter.fans.keep(gathered.counted.fan, [(index, write(each, item)) for index, each in gathered])
    return gathered


def _stage(work: Work) -> Stage:
    return bindings_of(work)[0].stage
