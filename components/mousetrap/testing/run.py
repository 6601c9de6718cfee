"""Runs a whole pipeline inline, without queues."""

from collections.abc import Sequence
from typing import Any, NoReturn

from mousetrap.blobs import copy_blobs, in_run
from mousetrap.handlers import Binding, BoundHandler, waited_out
from mousetrap.jobs import Done, GiveUp, Job, RetryLater
from mousetrap.pipeline import read, write
from mousetrap.repeat_attempt import FROM_LIFESPAN, Attempter, Ended
from mousetrap.testing.attempt import open_deps, run_sync, start_of
from mousetrap.testing.work import Work, bindings_of


def run(work: Work, value: Any, *, deps: Any = FROM_LIFESPAN, run_id: str = "run") -> Any:
    """The result of a run for `value`, inline: contracts, handlers and retries are real, queue and store are left out.

    `work` is a chain, a task, or a binding for each stage in order; a branch runs the stages that the outputs' types select. A failed attempt is made again as its policy has it, without its pause.
    Raises the error of the handler that was given up (AttemptFailed where it raised none), with a note that lists its attempts;
    ContractBroken for a value outside the input's contract.
    """
    return run_sync(run_async(work, value, deps=deps, run_id=run_id), "run_async")


async def run_async(work: Work, value: Any, *, deps: Any = FROM_LIFESPAN, run_id: str = "run") -> Any:
    """As `run`, in the running event loop."""
    bindings = bindings_of(work)
    _check_complete(bindings)
    attempter = Attempter("test")
    chunks = attempter.host.chunks(run_id)
    payload = await copy_blobs(write(value, bindings[0].stage.input), chunks)
    job = start_of(bindings[0], payload, run_id)
    async with open_deps(bindings, deps) as opened:
        handlers = {
            binding.stage_name: attempter.bound(binding, own_deps)
            for binding, own_deps in zip(bindings, opened, strict=True)
        }
        while True:
            handler = handlers[job.stage]
            done = await _Attempts(attempter, handler, job).until_done()
            if (following := handler.follower(done.next)) is None:
                return in_run(chunks, read, done.output, handler.pipeline.result)  # its blobs can be opened
            job = job.following(following.name, bytes(done.output), done.serializer)


class _Attempts:
    """The attempts at one job, one after another, until it is done or given up."""

    def __init__(self, attempter: Attempter, handler: BoundHandler, job: Job) -> None:
        self._attempter = attempter
        self._handler = handler
        self._job = job
        #: Seconds that the outage has lasted which the last attempt met.
        self._outage_s = 0.0
        self._history: list[str] = []

    async def until_done(self) -> Done:
        """The outcome of the attempt that succeeds. Raises the error of the last one otherwise."""
        while True:
            ended = await self._attempter.attempt(self._handler, self._job)
            outcome = self._judged(ended)
            if isinstance(outcome, Done):
                return outcome
            if isinstance(outcome, GiveUp) and isinstance(on := self._carried_on(outcome), Done):
                return on
            self._history.append(f"attempt {self._job.attempt}: {outcome.failure.kind}, {_next(outcome)}")
            if isinstance(outcome, GiveUp):
                self._give_up(Ended(outcome, ended.error))
            if outcome.counted:
                self._job = self._job.again()

    def _carried_on(self, given_up: GiveUp) -> Done | GiveUp:
        return self._handler.carried_on(given_up, self._job)

    def _judged(self, ended: Ended) -> Done | RetryLater | GiveUp:
        outcome = ended.outcome
        if not isinstance(outcome, RetryLater) or outcome.counted:
            self._outage_s = 0.0
            return outcome
        judged = waited_out(outcome, self._outage_s, self._handler.stage.retry, chance=1.0)
        self._outage_s += judged.after if isinstance(judged, RetryLater) else 0.0
        return judged

    def _give_up(self, ended: Ended) -> NoReturn:
        note = f"stage {self._handler.stage.name!r}: " + "; ".join(self._history[-10:])
        try:
            ended.fail()
        except BaseException as error:
            error.add_note(note)
            raise


def _next(outcome: RetryLater | GiveUp) -> str:
    """What follows from it, in words."""
    if isinstance(outcome, GiveUp):
        return f"given up ({outcome.reason})"
    again = "again" if outcome.counted else "an outage, again"
    return f"{again} after {outcome.after:g} s"


def _check_complete(bindings: Sequence[Binding]) -> None:
    stages = tuple(binding.stage for binding in bindings)
    if not bindings or bindings[0].pipeline.stages != stages:
        needed = (
            " → ".join(stage.name for stage in bindings[0].pipeline.stages) if bindings else "at least one"
        )
        given = " → ".join(stage.name for stage in stages) or "none"
        raise ValueError(f"run() needs a binding for each stage, in order: {needed}; it was given: {given}")
