"""Handlers of the simulated pipelines, whose behaviour depends on the run's kind."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec

from mousetrap.handlers import Context, Next, Result
from mousetrap.pipeline import AtMost, Fallback, Fallen, Lock, Pipeline, Rate, Stage
from mousetrap.retry import Outage, RetryPolicy
from mousetrap.submit_run import SubmitOptions
from mousetrap.testing.simulation.process import Process
from simulation.ledger import HandlerCall, Ledger
from simulation.payloads import text_of
from support import hostile_handlers as hostile

#: The delay that a failed attempt asks for.
RETRY_AFTER_S = 3.0
#: How long a handler works, usually and by kind.
WORK_S = 0.05
LONG_WORK_S = {
    "slow": 20.0,
    "bitter": 20.0,
    "locked": 5.0,
    "limited": 5.0,
    "chained_slow": 20.0,
    "chosen_slow": 20.0,
}
#: Calls of a handler that meet an outage which ends.
OUTAGE_CALLS = 5
#: After which an outage that does not end is an ordinary failure.
OUTAGE_LIMIT_S = 20.0
#: Values that a run of the kind "yielding" yields.
STEPS = 4
#: Attempts of a job, and workers that it may kill.
TRIES, CRASHES = 3, 4
#: Expiry of a run of the kind "expiring".
EXPIRES_IN_S = 15.0
#: Delay of a run of the kind "later".
LATER_S = 8.0


class Work(msgspec.Struct, frozen=True):
    """The input of a run and of each stage."""

    kind: str
    #: The fence of each stage so far: the two outcomes of a job decided twice would differ in it.
    fences: tuple[int, ...] = ()
    #: Makes the payloads of a large run large.
    text: str = ""


class Even(Work, frozen=True, tag="even"):
    """What the stage gives that was done under an even fence."""


class Odd(Work, frozen=True, tag="odd"):
    """The same of an odd fence."""


class TransientError(Exception):
    """A failure that a later attempt does not have."""

    retry_after = RETRY_AFTER_S


class PermanentError(Exception):
    """A failure that every attempt has."""


class Dependencies:
    """The dependencies of a handler: its process and the ledger."""

    def __init__(
        self,
        process: Process,
        ledger: Ledger,
        disturbed: Callable[[], bool],
        recorded: Callable[[str], int],
    ) -> None:
        self.process = process
        self.ledger = ledger
        #: The fence under which the first stage of a run is recorded as done; else 0.
        self.recorded = recorded
        #: True if the worker cannot receive news in time.
        self.disturbed = disturbed


async def work(given: Work, context: Context[Dependencies]) -> Work:
    """The handler of every stage."""
    deps, where = context.deps, f"{context.run_id}.{context.stage}"
    await deps.process.point(f"begins {where}#{context.attempt} under fence {context.fence}")
    call = handler_call(context)
    deps.ledger.begins(call)
    if given.fences:
        deps.ledger.follows(call, given.fences[-1], deps.recorded(context.run_id))
    facts = deps.ledger.facts[context.run_id]
    if given.text != (text_of(context.run_id) if facts.large else ""):
        deps.ledger.wrong.append(f"{where} was called with another payload")
    raising = given.kind if context.stage == "add" and not facts.redriven else ""
    try:
        await _raise(raising, context, place=1)
        await _sleep(given.kind)
        await _raise(raising, context, place=2)
        if not facts.redriven:  # a redrive comes after the cause of the failure was repaired
            await _misbehave(given.kind, context)
        await deps.process.point(f"has an effect for {where}#{context.attempt}")
        await _raise(raising, context, place=3)
        deps.ledger.effect(context.idempotency_key, context.run_id, context.stage, context.fence)
        deps.ledger.ends(call)
    finally:
        call.over = True
    return Work(given.kind, (*given.fences, context.fence), given.text)


async def choose(given: Work, context: Context[Dependencies]) -> Even | Odd:
    """The handler before a branch. Done again, under the next fence, it chooses the other one."""
    done = await work(given, context)
    return (Odd if context.fence % 2 else Even)(done.kind, done.fences, done.text)


async def work_off(given: Fallen[Work], context: Context[Dependencies]) -> Work:
    """The handler of a fallback: what it works on is what was given up."""
    return await work(given.input, context)


async def work_in_steps(given: Work, context: Context[Dependencies]) -> AsyncIterator[Any]:
    """The handler of the first stage, a generator: runs of the kind "yielding" pass their steps on."""
    if given.kind == "yielding":
        for number in range(1, STEPS + 1):
            yield {"fence": context.fence, "number": number}
            await asyncio.sleep(WORK_S)
    yield Result(await work(given, context))


async def counted(context: Context[Dependencies], payload: Work, call_next: Next) -> Any:
    """The middleware of the first stage."""
    context.deps.ledger.surrounded.add((context.job_id, context.fence))
    return await call_next(payload)


async def _sleep(kind: str) -> None:
    try:
        await asyncio.sleep(LONG_WORK_S.get(kind, WORK_S))
    except asyncio.CancelledError:
        if kind == "bitter":  # it answers its cancellation by a failure
            raise hostile.Panic("stopped") from None
        raise


async def _raise(kind: str, context: Context[Dependencies], place: int) -> None:
    """Fails each attempt at another await, with another error."""
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


async def _misbehave(kind: str, context: Context[Dependencies]) -> None:
    deps = context.deps
    if context.stage == "add" and kind in ("deadly", "falling_deadly"):
        deps.ledger.kills[context.run_id] += 1
        deps.process.die(f"is killed by {context.run_id}.{context.stage}#{context.attempt}")
        await asyncio.get_running_loop().create_future()
    if context.stage == "add" and kind in ("hopeless", "falling"):
        raise PermanentError("this will never work")
    if kind == "away" and context.stage == "add" and deps.ledger.outages[context.run_id] < OUTAGE_CALLS:
        deps.ledger.outages[context.run_id] += 1
        raise Outage("it comes back")
    if kind == "gone" and context.stage == "double":
        raise Outage("it does not come back")
    flaky = (kind, context.stage) in (
        ("flaky", "add"),
        ("chained_flaky", "double"),
    ) and context.attempt < TRIES
    if flaky or (kind == "poison" and context.stage == "double"):
        await deps.process.point(f"fails at {context.run_id}.{context.stage}#{context.attempt}")
        deps.ledger.failed(context.job_id, context.run_id, context.attempt, RETRY_AFTER_S)
        raise TransientError("try again later")


def handler_call(context: Context[Dependencies]) -> HandlerCall:
    """The call of a handler that begins now."""
    return HandlerCall(
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
        dont_retry_on=(PermanentError,),
        outage_limit=OUTAGE_LIMIT_S if name == "double" else math.inf,
        crashes=CRASHES,
    )
    return Stage(
        **{"name": name, "queue": f"q_{name}", "input": Work, "output": Work, "retry": policy, **more}
    )


#: The errors of attempts, without those that only take time.
ERRORS = {name: make for name, make in hostile.ERRORS.items() if name not in ("huge", "deep", "wide")}
#: Kinds whose attempts raise unusual errors, or are cancelled by another than the worker.
ODD = ("odd", "cancelling")
#: A pipeline of two stages, and one of a stage with a lock.
SUMS = Pipeline(name="sums", description="Adds, then doubles.", stages=(_stage("add"), _stage("double")))
TURNS = Pipeline(
    name="turns", description="One at a time.", stages=(_stage("turn", lock=Lock(name="turnstile")),)
)
#: The stage that at most so many jobs are in at once, the kinds of their runs in turn, and so many begin in a second.
LIMITED_STAGE, PLACES = "lane", 2
LANES = Pipeline(
    name="lanes",
    description="Two at a time.",
    stages=(_stage(LIMITED_STAGE, limit=(AtMost(PLACES, fair="kind"), Rate(2, burst=2))),),
)
#: As the first; who serves both stages goes from one to the other in place.
CHAINED = Pipeline(
    name="chained",
    description="Adds, then doubles in place.",
    stages=(_stage("add", queue="q_chained_add"), _stage("double", queue="q_chained_double")),
    in_place=True,
)
#: Its second stage is that of the value's type.
CHOSEN = Pipeline(
    name="chosen",
    description="Adds, then doubles by a coin.",
    stages=(
        _stage("choose", output=Even | Odd),
        _stage("even", input=Even, after="choose"),
        _stage("odd", input=Odd, after="choose"),
    ),
)
#: What its first stage gives up, another one goes on with.
FALLING = Pipeline(
    name="falling",
    description="Adds, or does something else.",
    stages=(
        _stage("add", queue="q_falling_add", on_failure=Fallback("regret")),
        _stage("double", queue="q_falling_double"),
        _stage("regret", input=Fallen[Work]),
    ),
)
PIPELINES = {pipeline.name: pipeline for pipeline in (SUMS, TURNS, LANES, CHAINED, CHOSEN, FALLING)}
#: The handlers of stages; `work` is that of all others.
HANDLERS: Mapping[str, Callable[..., Any]] = {"add": work_in_steps, "choose": choose, "regret": work_off}
#: The kinds of runs, and the pipeline of each.
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
    "later": SUMS,
    "odd": SUMS,
    "cancelling": SUMS,
    "bitter": SUMS,
    "yielding": SUMS,
    "locked": TURNS,
    "limited": LANES,
    "limited_short": LANES,
    "chained": CHAINED,
    "chained_slow": CHAINED,
    "chained_flaky": CHAINED,
    "chosen": CHOSEN,
    "chosen_slow": CHOSEN,
    "falling": FALLING,
    "falling_deadly": FALLING,
}
#: Kinds whose first job is given up, and whose run goes on all the same.
FALLS_BACK = ("falling", "falling_deadly")
#: With it before its name a kind has payloads that go by reference.
LARGE = "large_"
KINDS |= {f"{LARGE}{kind}": KINDS[kind] for kind in ("plain", "slow", "flaky", "hopeless", "later", "locked")}
#: How the runs of a kind are submitted, where not at once and without an end.
OPTIONS = {
    "expiring": SubmitOptions(expires_in=EXPIRES_IN_S),
    "later": SubmitOptions(delay_s=LATER_S),
    "graph_expiring": SubmitOptions(expires_in=EXPIRES_IN_S),
}
QUEUES = [stage.queue for pipeline in PIPELINES.values() for stage in pipeline.stages]
