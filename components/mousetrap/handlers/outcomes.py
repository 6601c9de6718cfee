"""Makes the outcome of an attempt, wherever it ran."""

import inspect
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import msgspec

from mousetrap.blobs import BlobBroken
from mousetrap.handlers.items import FanRefused, Opened
from mousetrap.handlers.yields import YieldRefused
from mousetrap.jobs import LARGEST_PAYLOAD, Done, Failure, GiveUp, Job, Outcome, RetryLater
from mousetrap.pipeline import (
    ContractBroken,
    OutputsMissing,
    Payload,
    Pipeline,
    SerializerMissing,
    SerializerName,
    Stage,
    members,
    read,
    read_payload,
    write,
    write_payload,
)
from mousetrap.retry import (
    Again,
    Outage,
    RetryPolicy,
    Stop,
    WaitOut,
    error_kind,
    error_text,
    error_traceback,
    judge,
    outage_pause,
)
from mousetrap.settings import masked

#: Characters of an error's text, and of its traceback's end, that are kept.
_MAX_TEXT, _MAX_TRACEBACK = 1_000, 8_000


def done(
    value: Any, stage: Stage, followers: Sequence[Stage] = (), largest: int = LARGEST_PAYLOAD
) -> Done | GiveUp:
    """The outcome of a call that returned `value`, written with what the next stage takes; a run's result is JSON.

    Where several stages follow, the value's type selects the next one, and the outcome names it. An output of more than `largest`
    bytes gives the job up.
    """
    if type(value) is Opened:
        return Done(msgspec.Raw(b"null"), children=value.children)
    name: SerializerName = msgspec.UNSET
    try:
        next_stage = _taker(value, stage, followers)
        if next_stage is None or next_stage.serializer == "json":
            output = write(value, stage.output)
        else:
            output, name, _ = write_payload(value, stage.output, next_stage)
    except ContractBroken as error:
        error = _unfinished(value) or error
        return GiveUp("contract", failure_of(error, f"the output of stage {stage.name!r}: "))
    if len(output) > largest:
        text = (
            f"the output of stage {stage.name!r} has {len(output)} bytes, and MOUSETRAP_PAYLOAD_MAX_BYTES allows {largest}: "
            "return less"
        )
        return GiveUp("too-large", Failure(kind="TooLarge", text=text))
    chosen = next_stage.name if next_stage is not None and len(followers) > 1 else msgspec.UNSET
    return Done(msgspec.Raw(output), name, next=chosen)


def forked(outcome: Done | GiveUp, forks: tuple[str, ...]) -> Done | GiveUp:
    """The outcome, which names the stages that each take its output; not where another stage takes it, as a fallback."""
    if not forks or not isinstance(outcome, Done) or outcome.next is not msgspec.UNSET:
        return outcome
    return msgspec.structs.replace(outcome, forks=forks)


def _taker(value: Any, stage: Stage, followers: Sequence[Stage]) -> Stage | None:
    """The follower that takes the value. Of several, the one for its type once it is read: a handler may return a plain dict."""
    if len(followers) < 2:
        return followers[0] if followers else None
    member = type(read(write(value, stage.output), stage.output))
    for each in followers:
        if member in members(each.input):
            return each
    raise ContractBroken(f"it is read as a {member.__name__}, which none of the stages that follow takes")


def output_of(outcome: Done, pipeline: Pipeline, stage: Stage) -> Any:
    """The value in an outcome of `stage`, as whatever follows reads it. Raises ContractBroken."""
    next_stage = pipeline.follower(stage, outcome.next)
    if next_stage is None or outcome.serializer is msgspec.UNSET:
        return read(outcome.output, stage.output)
    return read_payload(Payload(bytes(outcome.output), outcome.serializer), next_stage)


def _unfinished(value: Any) -> ContractBroken | None:
    """The error for a value that still has to be run."""
    if inspect.iscoroutine(value):
        value.close()  # else Python warns that it was never awaited
        return ContractBroken("the handler returned a coroutine: write it as `async def`, or await it")
    if inspect.isgenerator(value) or inspect.isasyncgen(value):
        return ContractBroken("the handler returned a generator: return a value, as a list of what it yields")
    return None


def input_broken(error: ContractBroken | SerializerMissing, stage: Stage) -> GiveUp:
    """The outcome of a job whose payload its stage cannot take."""
    if isinstance(error, SerializerMissing):
        return GiveUp("serializer", failure_of(error))
    return GiveUp("contract", failure_of(error, f"the input of stage {stage.name!r}: "))


def judged(error: BaseException, attempt: int, stage: Stage, chance: float, now: float) -> Outcome:
    """The outcome of attempt number `attempt` that ended with `error`; `now` is in seconds since 1970."""
    failure = failure_of(error)
    if type(error) is YieldRefused:
        return GiveUp("contract", failure)
    if type(error) is BlobBroken or type(error) is FanRefused or type(error) is OutputsMissing:
        return GiveUp(error.reason, failure)
    match _judged_safely(error, attempt, stage, chance, now):
        case Again(after):
            return RetryLater(after, failure)
        case WaitOut(asked):
            return RetryLater(asked, failure, counted=False)
        case stop:
            return GiveUp(stop.reason, failure)


def _judged_safely(
    error: BaseException, attempt: int, stage: Stage, chance: float, now: float
) -> Again | WaitOut | Stop:
    # SystemExit, CancelledError, a library's panic: a policy cannot name them, and they must not end a worker.
    stand_in = RuntimeError(error_kind(error))
    # The error's own attributes can fail, and so can a class that the policy names, for any error.
    # Its type is checked, and not the error: its `__class__` can raise.
    ordinary = cast(Exception, error) if issubclass(type(error), Exception) else stand_in
    for each in (ordinary, stand_in):
        with suppress(BaseException):
            return judge(each, attempt, stage.retry, chance, now)
    policy = replace(stage.retry, retry_on=(Exception,), dont_retry_on=(), outages=(Outage,))
    return judge(stand_in, attempt, policy, chance, now)


def waited_out(outcome: RetryLater, waited: float, policy: RetryPolicy, chance: float) -> RetryLater | GiveUp:
    """The outcome of an attempt that met an outage, which has lasted for `waited` seconds."""
    match outage_pause(outcome.after, waited, policy, chance):
        case Stop(reason):
            return GiveUp(reason, outcome.failure)
        case Again(after):
            return RetryLater(after, outcome.failure, counted=False)


def failure_of(error: BaseException, where: str = "") -> Failure:
    """The error as it is kept for people; it returns a Failure whatever the error's own code does."""
    # Masked before it is cut: half an address does not look like one.
    return Failure(
        kind=error_kind(error),
        text=masked(f"{where}{error_text(error, 2 * _MAX_TEXT)}")[:_MAX_TEXT],
        traceback=masked(error_traceback(error, 2 * _MAX_TRACEBACK))[-_MAX_TRACEBACK:],
    )


def unknown_stage(job: Job, queue: str) -> GiveUp:
    """The outcome of a job whose stage has no handler in this worker: a message never causes an import."""
    text = f"no handler for stage {job.stage!r} of pipeline {job.pipeline!r} serves queue {queue!r}"
    return GiveUp("unknown-stage", Failure(kind="UnknownStage", text=text))


def too_many(attempt: int, allowed: int) -> GiveUp:
    """The outcome of an attempt that the stage's policy does not allow, or no longer allows."""
    text = f"this is attempt {attempt}, and the policy of its stage allows {allowed}"
    return GiveUp("max-retries", Failure(kind="TooManyAttempts", text=text))


def crash_loop(starts: int) -> GiveUp:
    """The outcome of a job that ended one worker after another."""
    text = f"{starts} workers began this attempt and died before its end: look for what kills them (memory?)"
    return GiveUp("crash-loop", Failure(kind="CrashLoop", text=text))


def record_refused(cause: str) -> GiveUp:
    """The outcome of a job whose outcome in the store is not signed by us."""
    text = (
        f"{cause}: nothing follows from it. A stranger or a version without signed records wrote it into the store; "
        "redriven, the job is done again"
    )
    return GiveUp("store-signature", Failure(kind="SignatureRefused", text=text))


def fan_stalled(waited_s: float) -> GiveUp:
    """The outcome of a job that opened others, of which none was decided for so long."""
    text = (
        f"none of the jobs that it opened was decided for {waited_s / 3600:.0f} h, and not all of them are: no worker serves "
        "their stages, or their messages were lost outside; redriven, it sends those that are missing"
    )
    return GiveUp("fan-stalled", Failure(kind="FanStalled", text=text))


def fan_late(total: int, done: int, lost: int) -> GiveUp:
    """The outcome of a job whose children's time is over, of which fewer are done than their join needs."""
    text = (
        f"of the {total} jobs that it opened {done} were done in time and {lost} given up, and their join needs more; redriven, the "
        "others have the time again"
    )
    return GiveUp("fan-late", Failure(kind="FanLate", text=text))


def locked_out(holder: str) -> GiveUp:
    """The outcome of a job whose lock another run holds, at a stage that gives up then."""
    return GiveUp("lock-held", lock_held(holder))


def lock_held(holder: str) -> Failure:
    """The failure of a job that could not get its lock."""
    return Failure(kind="LockHeld", text=f"run {holder} holds the lock that this job needs")
