"""The names of a prompt that looks into one attempt."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from mousetrap.handlers import Binding, Context, attempt_info, context_of
from mousetrap.jobs import Failure, Job
from mousetrap.pipeline import ContractBroken, SerializerMissing, read_payload
from mousetrap.repeat_attempt.attempter import FROM_LIFESPAN
from mousetrap.repeat_attempt.repeat import Target, as_json, binding_of, repeat

#: What a prompt prints first.
HELP = """\
job      the job, as its message carried it
input    what the handler is called with
context  its context; `deps` is None, for nothing is open
handler  the function
stage    its stage: contracts, retry, time limits
error    what the attempt failed with, or None
perform()            makes the attempt, as a worker does
perform(other)       makes it with another input
perform(deps=mine)   makes it with these in place of what the lifespan opens
"""


def at_hand(target: Target, job: Job, error: Failure | None = None) -> Mapping[str, Any]:
    """The names, with their values. Nothing runs: `perform` is to be called.

    An input that does not fit its contract is there as the plain JSON value, or as its bytes where it has none.
    """
    binding = binding_of(target, job)
    return {
        "job": job,
        "input": _input(binding, job),
        "context": _context(binding, job),
        "handler": binding.handler,
        "stage": binding.stage,
        "error": error,
        "perform": _perform(binding, job),
    }


def _input(binding: Binding, job: Job) -> Any:
    try:
        return read_payload(job.written, binding.stage)
    except (ContractBroken, SerializerMissing):
        try:
            return msgspec.json.decode(job.payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return bytes(job.payload)


def _context(binding: Binding, job: Job) -> Context[None]:
    info = attempt_info(job, binding.stage, "debug", (1, 1 if binding.stage.lock else 0), 0.0)
    return context_of(info, None, threading.Event(), print)


def _perform(binding: Binding, job: Job) -> Callable[..., Any]:
    def perform(other: Any = FROM_LIFESPAN, *, deps: Any = FROM_LIFESPAN) -> Any:
        """Makes the attempt, with another input where one is given; raises as the handler does."""
        changed = job
        if other is not FROM_LIFESPAN:
            changed = msgspec.structs.replace(job, v=2, serializer=msgspec.UNSET, payload=as_json(other))
        return repeat(binding, changed, deps=deps)

    return perform
