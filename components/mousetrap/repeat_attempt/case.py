"""A job with the error that its attempt ended with."""

import re
from base64 import b64decode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from mousetrap.jobs import Failure, Job, JobUndecodable, decode
from mousetrap.pipeline import ContractBroken, SerializerMissing, payload_as_json

#: Characters of an id in a name.
_SHORT_ID = 12
#: The reasons of letters whose job no handler was called for, and what to do instead.
_NEVER_CALLED = {
    "unknown-stage": "its worker had no handler for the stage: start a worker that has one (`mousetrap workers` lists "
    "what each serves), then `mousetrap dead redrive {id}`",
    "signature": "no key of ours signed it: look at it with `mousetrap dead show {id}`, and discard it or add the key",
    "undecodable": "it is no job of ours: look at it with `mousetrap dead show {id}`",
    "wire-version": "a later version wrote it: upgrade the workers, then `mousetrap dead redrive {id}`",
    "serializer": "its worker did not have the serializer that wrote it: declare it at the stage, then "
    "`mousetrap dead redrive {id}`",
    "payload-missing": "its input is gone: `mousetrap dead show {id}` shows where it was; put it back, then "
    "`mousetrap dead redrive {id}`, or give another with `--input`",
    "payload-altered": "its input was changed: `mousetrap dead show {id}` shows where it is; put the original back, then "
    "`mousetrap dead redrive {id}`, or give another with `--input`",
    "lock-held": "another run held its lock: `mousetrap dead redrive {id}` once that has ended",
    "stale": "its run is forgotten: look at it with `mousetrap dead show {id}`, then redrive or discard it",
    "store-signature": "the outcome in the store was not ours: `mousetrap dead redrive {id}` does the job again",
    "store-damaged": "its record in the store is damaged: `mousetrap dead show {id}` has the key to delete",
}


class NotRepeatable(Exception):
    """There is no attempt to repeat; the text has the reason, and what to do instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A job with the error that its attempt ended with. All but the job is for people."""

    job: Job
    queue: str = ""
    #: Of a dead letter: one of a few fixed words. Empty for a job that was not given up.
    reason: str = ""
    failure: Failure | None = None
    #: When it was given up, in milliseconds since 1970.
    at_ms: int | None = None
    worker: str = ""

    @property
    def short_id(self) -> str:
        """The beginning of the job's id, as a part of a name."""
        return re.sub(r"[^A-Za-z0-9]", "_", self.job.id)[:_SHORT_ID]

    @property
    def ended_its_process(self) -> bool:
        """Whether the attempt ended the processes that made it."""
        return self.reason == "crash-loop"


class _Letter(msgspec.Struct):
    """A line of `dead_letters.export`."""

    id: str
    queue: str
    believed: bool
    at_ms: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    body_base64: str = ""
    #: What a reference in the body names.
    payload: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def case_of_letter(line: bytes) -> Case:
    """The case in an exported dead letter. Raises NotRepeatable for one whose job no handler was called for."""
    letter = msgspec.json.decode(line, type=_Letter)
    story = {
        name: letter.headers.get(f"mousetrap-{name}", "")
        for name in ("reason", "error-type", "error", "worker")
    }
    body = b64decode(letter.body_base64) if letter.body is None else letter.body.encode()
    reason = story["reason"] if letter.believed else "signature"
    if reason in _NEVER_CALLED:
        raise _not_called(letter, reason)
    try:
        job = _whole(decode(body), letter)
    except JobUndecodable:
        raise _not_called(letter, "undecodable") from None
    return Case(
        job=job,
        queue=letter.queue,
        reason=reason,
        failure=Failure(kind=story["error-type"], text=story["error"]),
        at_ms=letter.at_ms,
        worker=story["worker"],
    )


def _whole(job: Job, letter: _Letter) -> Job:
    """The job with its input, which is as JSON where it can be."""
    if isinstance(job.reference, msgspec.UnsetType):
        return _as_json(job)
    if isinstance(letter.payload, msgspec.UnsetType):
        raise NotRepeatable(
            f"the input of dead letter {letter.id} has {job.reference.size} bytes and is not in its export: `mousetrap dead "
            f"show {letter.id}` shows where it is"
        )
    return _as_json(job.resolved(bytes(letter.payload)))


def _as_json(job: Job) -> Job:
    """The job with its input as JSON where that needs no code of its stage: it reads the same."""
    with suppress(ContractBroken, SerializerMissing):
        job = job if job.serializer is msgspec.UNSET else job.edited(payload_as_json(job.written, None))
    return job.as_json()


def _not_called(letter: _Letter, reason: str) -> NotRepeatable:
    return NotRepeatable(
        f"dead letter {letter.id} has no attempt to repeat ({reason}): {_NEVER_CALLED[reason].format(id=letter.id)}"
    )
