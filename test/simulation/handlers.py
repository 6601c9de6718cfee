"""The work of the simulated pipelines: what a run's kind makes its handlers do, and what they write down of it."""

import asyncio
import math
from collections.abc import Callable
from typing import Any

import msgspec

from mousetrap.handlers import Context
from mousetrap.pipeline import Lock, Pipeline, Stage
from mousetrap.retry import Outage, RetryPolicy
from simulation.ledger import Ledger, Performance
from simulation.process import Process
from support import hostile_handlers as hostile

#: Seconds that a failed attempt asks to be left alone; that handlers work, if not for the usual moment.
PAUSE, MOMENT, LONG = 3.0, 0.05, {"slow": 20.0, "bitter": 20.0, "locked": 5.0}
#: Calls of a handler that meet an outage which ends; seconds until one that does not end is one no more.
OUTAGE_CALLS, OUTAGE_LIMIT = 5, 20.0
#: Tries of a job, workers that it may kill, and seconds after which a run of the kind "expiring" is not worth beginning.
TRIES, CRASHES, EXPIRES_IN = 3, 4, 15.0


class Work(msgspec.Struct, frozen=True):
    """What a run is given, and what its stages hand on."""

    kind: str
    #: The fence of each stage that it went through: a job that is decided twice would differ in it.
    fences: tuple[int, ...] = ()


class Trouble(Exception):
    """Passes with time."""

    retry_after = PAUSE


class Defect(Exception):
    """Passes with no time."""


class Hands:
    """What a handler works with: its process, and the ledger."""

    def __init__(self, process: Process, ledger: Ledger, disturbed: Callable[[], bool]) -> None:
        self.process = process
        self.ledger = ledger
        #: Whether the worker could not hear of everything in time.
        self.disturbed = disturbed


async def work(given: Work, context: Context[Hands]) -> Work:
    """The handler of every stage."""
    hands, where = context.deps, f"{context.run_id}.{context.stage}"
    await hands.process.point(f"begins {where}#{context.attempt} under fence {context.fence}")
    performance = _performance(context)
    hands.ledger.begins(performance)
    fate = hands.ledger.fates[context.run_id]
    raising = given.kind if context.stage == "add" and not fate.redriven else ""
    try:
        await _raise(raising, context, place=1)
        await _sleep(given.kind)
        await _raise(raising, context, place=2)
        if not fate.redriven:  # whoever sends a dead letter round again has mended what it died of
            await _misbehave(given.kind, context)
        await hands.process.point(f"has an effect for {where}#{context.attempt}")
        await _raise(raising, context, place=3)
        hands.ledger.effect(context.idempotency_key, context.run_id, context.stage, context.fence)
        hands.ledger.ends(performance)
    finally:
        performance.over = True
    return Work(given.kind, (*given.fences, context.fence))


async def _sleep(kind: str) -> None:
    try:
        await asyncio.sleep(LONG.get(kind, MOMENT))
    except asyncio.CancelledError:
        if kind == "bitter":  # what stops it is answered by a failure
            raise hostile.Panic("stopped") from None
        raise


async def _raise(kind: str, context: Context[Hands], place: int) -> None:
    """Each attempt fails at another await, and each with another error."""
    if kind not in ODD or context.attempt != place:
        return
    number = int(context.run_id.removeprefix("run")) + 5 * context.attempt
    if kind == "odd":
        names = sorted(ERRORS)
        name = names[number % len(names)]
        await context.deps.process.point(f"raises {name} at {context.run_id}.{context.stage}#{place}")
        raise ERRORS[name]()
    how = hostile.CANCELLED[number % len(hostile.CANCELLED)]
    await context.deps.process.point(f"does {how.__name__} at {context.run_id}.{context.stage}#{place}")
    await how("")


async def _misbehave(kind: str, context: Context[Hands]) -> None:
    hands = context.deps
    if context.stage == "add" and kind == "deadly":
        hands.ledger.kills[context.run_id] += 1
        hands.process.die(f"is killed by {context.run_id}.{context.stage}#{context.attempt}")
        await asyncio.get_running_loop().create_future()
    if context.stage == "add" and kind == "hopeless":
        raise Defect("this will never work")
    if kind == "away" and context.stage == "add" and hands.ledger.outages[context.run_id] < OUTAGE_CALLS:
        hands.ledger.outages[context.run_id] += 1
        raise Outage("it comes back")
    if kind == "gone" and context.stage == "double":
        raise Outage("it does not come back")
    flaky = kind == "flaky" and context.stage == "add" and context.attempt < TRIES
    if flaky or (kind == "poison" and context.stage == "double"):
        await hands.process.point(f"fails at {context.run_id}.{context.stage}#{context.attempt}")
        hands.ledger.failed(context.job_id, context.run_id, context.attempt, PAUSE)
        raise Trouble("try again later")


def _performance(context: Context[Hands]) -> Performance:
    return Performance(
        process=context.deps.process,
        run=context.run_id,
        stage=context.stage,
        job=context.job_id,
        attempt=context.attempt,
        fence=context.fence,
        lock_fence=context.lock_fence,
        began=context.deps.ledger.now(),
        undisturbed=not context.deps.disturbed(),
    )


def _stage(name: str, **more: Any) -> Stage:
    policy = RetryPolicy(
        attempts=TRIES,
        base=1.0,
        cap=1.0,
        dont_retry_on=(Defect,),
        outage_limit=OUTAGE_LIMIT if name == "double" else math.inf,
        crashes=CRASHES,
    )
    return Stage(name=name, queue=f"q_{name}", input=Work, output=Work, retry=policy, **more)


#: What an attempt can raise; those that only cost time are left out.
ERRORS = {name: make for name, make in hostile.ERRORS.items() if name not in ("huge", "deep", "wide")}
#: Kinds whose attempts end in what is no ordinary error, and in a cancellation that is not the worker's.
ODD = ("odd", "cancelling")
#: Two stages one after the other, and one stage that does one job at a time.
SUMS = Pipeline(name="sums", description="Adds, then doubles.", stages=(_stage("add"), _stage("double")))
TURNS = Pipeline(
    name="turns", description="One at a time.", stages=(_stage("turn", lock=Lock(name="turnstile")),)
)
PIPELINES = {pipeline.name: pipeline for pipeline in (SUMS, TURNS)}
#: What a run can be, and the pipeline that it is one of.
KINDS = {
    "plain": SUMS,
    "slow": SUMS,
    "flaky": SUMS,
    "poison": SUMS,
    "hopeless": SUMS,
    "away": SUMS,
    "gone": SUMS,
    "deadly": SUMS,
    "expiring": SUMS,
    "odd": SUMS,
    "cancelling": SUMS,
    "bitter": SUMS,
    "locked": TURNS,
}
QUEUES = [stage.queue for pipeline in PIPELINES.values() for stage in pipeline.stages]
