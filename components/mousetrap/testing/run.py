"""Runs a whole pipeline inline, without queues."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import UNSET, Raw
from msgspec.json import encode

from mousetrap.blobs import copy_blobs, in_run
from mousetrap.handlers import AttemptFailed, Binding, BoundHandler, waited_out
from mousetrap.jobs import Done, GiveUp, Job, RetryLater
from mousetrap.pipeline import Counted, Counts, Fan, read, write
from mousetrap.repeat_attempt import FROM_LIFESPAN, Attempter, Ended
from mousetrap.testing.attempt import open_deps, run_sync, start_of
from mousetrap.testing.work import Work, bindings_of


def run(work: Work, value: Any, *, deps: Any = FROM_LIFESPAN, run_id: str = "run") -> Any:
    """The result of a run for `value`, inline: contracts, handlers and retries are real, queue and store are left out.

    `work` is a chain, a task, or a binding for each stage in order; a branch runs the stages that the outputs' types select, a
    fan-out its jobs one after another, without regard to `within`. A failed attempt is made again as its policy has it, without its pause.
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
        end = await _Walk(attempter, handlers).to_end(job)
    if isinstance(end, Ended):
        end.fail()
    return in_run(chunks, read, end.output, bindings[0].pipeline.result)  # its blobs can be opened


@dataclass(frozen=True, slots=True)
class _End:
    """The output that a path ends with, and of which stage it is."""

    stage: str
    output: bytes


class _Walk:
    """The jobs of one run, one after another; the children of a fan-out in the order of their index."""

    def __init__(self, attempter: Attempter, handlers: Mapping[str, BoundHandler]) -> None:
        self._attempter = attempter
        self._handlers = handlers

    async def to_end(self, job: Job) -> _End | Ended:
        """From this job to the end of its run, or to what joins it; the last attempt of a job that was given up otherwise."""
        while True:
            handler = self._handlers[job.stage]
            done = await _Attempts(self._attempter, handler, job).until_ended()
            if isinstance(done, Ended):
                return done
            if done.ends_way:
                return _End(job.stage, bytes(done.output))
            fan = handler.pipeline.opened_by(handler.stage) if done.opens is not None else None
            if fan is not None:
                joined = await (self._forked if fan.is_fork else self._fanned)(fan, job, done)
                if not isinstance(joined, Job):
                    return joined
                job = joined
                continue
            is_child = done.next is UNSET and handler.pipeline.ended_by(handler.stage) is not None
            following = None if is_child else handler.follower(done.next)
            if following is None:
                return _End(job.stage, bytes(done.output))
            job = job.following(following.name, bytes(done.output), done.serializer)

    async def _forked(self, fan: Fan, job: Job, done: Done) -> Job | Ended:
        """The job of the join, with the outputs of each branch by its last stage."""
        outputs = {}
        for index, stage in enumerate(fan.children):
            end = await self.to_end(job.child(stage.name, bytes(done.output), index=index, fence=1))
            if isinstance(end, Ended):
                return end
            outputs[fan.last[index].name] = Raw(end.output)
        assert fan.join is not None
        return job.joined(fan.join.name, encode(outputs), fan=job.id, fence=1)

    async def _fanned(self, fan: Fan, job: Job, done: Done) -> Job | _End | Ended:
        """The job of the join, where enough children are done; the counts where nothing joins them."""
        outputs: list[tuple[int, bytes]] = []
        lost: list[Ended] = []
        (stage,) = fan.children
        for index, (item, key) in enumerate(self._attempter.fans.items(job.id)):
            child = job.child(stage.name, item.raw, item.serializer, index=index, key=key, fence=1)
            end = await self.to_end(child)
            if isinstance(end, Ended):
                lost.append(end)
            else:
                outputs.append((index, end.output if fan.keep else b"null"))
        total = len(outputs) + len(lost)
        if len(outputs) < fan.needed(total):
            return lost[0]
        if fan.join is None:
            return _End(job.stage, encode(Counts(total, len(outputs), len(lost))))
        self._attempter.fans.keep(job.id, outputs)
        counted = encode(Counted(total, len(outputs), len(lost), job.id))
        return job.joined(fan.join.name, counted, fan=job.id, fence=1)


class _Attempts:
    """The attempts at one job, one after another, until it is done or given up."""

    def __init__(self, attempter: Attempter, handler: BoundHandler, job: Job) -> None:
        self._attempter = attempter
        self._handler = handler
        self._job = job
        #: Seconds that the outage has lasted which the last attempt met.
        self._outage_s = 0.0
        self._history: list[str] = []

    async def until_ended(self) -> Done | Ended:
        """The outcome of the attempt that succeeds, or the last one, whose error has a note that lists them all."""
        while True:
            ended = await self._attempter.attempt(self._handler, self._job)
            outcome = self._judged(ended)
            if isinstance(outcome, Done):
                return outcome
            if isinstance(outcome, GiveUp) and isinstance(on := self._carried_on(outcome), Done):
                return on
            self._history.append(f"attempt {self._job.attempt}: {outcome.failure.kind}, {_next(outcome)}")
            if isinstance(outcome, GiveUp):
                return self._given_up(outcome, ended.error)
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

    def _given_up(self, outcome: GiveUp, error: BaseException | None) -> Ended:
        error = error or AttemptFailed(outcome.failure)
        error.add_note(f"stage {self._handler.stage.name!r}: " + "; ".join(self._history[-10:]))
        return Ended(outcome, error)


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
