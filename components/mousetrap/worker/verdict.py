"""What came of a handler's call, as an outcome: the same in the worker and in an isolated handler's process."""

import traceback
from typing import Any

import msgspec

from mousetrap.jobs import LARGEST_PAYLOAD, Done, Failure, GiveUp, Outcome, RetryLater
from mousetrap.pipeline import ContractBroken, Stage, write
from mousetrap.retry import Again, judge

#: Characters of an error's text, and of its traceback's end, that are kept.
_TEXT, _TRACEBACK = 1_000, 8_000


def done(value: Any, stage: Stage) -> Done | GiveUp:
    """The outcome of a call that gave `value`."""
    try:
        output = write(value, stage.output)
    except ContractBroken as error:
        return GiveUp("contract", failure_of(error, f"the output of stage {stage.name!r}: "))
    if len(output) > LARGEST_PAYLOAD:
        what = f"the output of stage {stage.name!r} has {len(output)} bytes, over {LARGEST_PAYLOAD}: hand on less"
        return GiveUp("too-large", Failure(kind="TooLarge", text=what))
    return Done(msgspec.Raw(output))


def input_broken(error: ContractBroken, stage: Stage) -> GiveUp:
    """The outcome of a job whose payload its stage cannot take."""
    return GiveUp("contract", failure_of(error, f"the input of stage {stage.name!r}: "))


def judged(error: BaseException, attempt: int, stage: Stage, chance: float, now: float) -> Outcome:
    """The outcome of attempt number `attempt` that ended with `error`; `now` is in seconds since 1970."""
    failure = failure_of(error)
    if not isinstance(error, Exception):  # SystemExit and its like: a handler must not end its worker
        error = RuntimeError(f"the handler raised {type(error).__name__}: {error}")
    match judge(error, attempt, stage.retry, chance, now):
        case Again(after):
            return RetryLater(after, failure)
        case stop:
            return GiveUp(stop.reason, failure)


def failure_of(error: BaseException, where: str = "") -> Failure:
    """The error as it is kept for people."""
    kind = type(error)
    return Failure(
        kind=kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}",
        text=f"{where}{error}"[:_TEXT],
        traceback="".join(traceback.format_exception(error))[-_TRACEBACK:],
    )
