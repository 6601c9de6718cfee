"""Encodes and decodes messages of jobs.

Up to format 4 a message is one JSON object with the payload in it. Format 5 is a byte that begins no JSON, the head (the job
without its payload, as JSON), a line feed, and the payload as it is: JSON, the bytes of a serializer, or nothing where
the head has a reference. Format 6 is the same for jobs that are in fans. The payload is not looked at here: a stage's contract reads it once.
"""

from typing import Any

import msgspec

from mousetrap.jobs.job import IN_FANS, PAYLOAD_BESIDE, Job, JobHead
from mousetrap.jobs.queue import Message
from mousetrap.shapes import DEFAULT_PRIORITY
from mousetrap.signing import Keyring

#: The first byte of a message of format 5 or 6. No JSON begins with a capital letter.
MARK = b"M"
#: Bytes of a head at most, without its line feed. The fields of a job have room in it, whatever is in them.
MAX_HEAD_BYTES = 8_192
#: The latest wire format that this version reads.
_NEWEST = IN_FANS


class JobUndecodable(Exception):
    """The message is not a job that we can read: not our envelope."""


class JobTooNew(JobUndecodable):
    """The message is a job of a later wire format than this version reads."""


def encode(job: Job) -> bytes:
    """The job as the body of its message."""
    if job.v < PAYLOAD_BESIDE:
        return _encoder.encode(_early(job))
    payload = b"" if job.reference is not msgspec.UNSET else job.payload
    return b"".join((MARK, _encoder.encode(_head(job)), b"\n", payload))


def signed_message(job: Job, keyring: Keyring) -> Message:
    """The job as a signed message."""
    body = encode(job)
    return Message(job.id, body, keyring.headers(body), job.priority)


def decode(body: bytes) -> Job:
    """The job in the body of a message. The payload of format 5 or 6 is not checked; a large one is a view of the body.

    Raises JobTooNew or another JobUndecodable, which names the fault and its place; never the body, which may hold secrets.
    """
    if body.startswith(MARK):
        return _beside(body)
    try:
        job = _decoder.decode(body)
    except _ERRORS as error:
        raise _refused(body, error) from error
    if job.v >= PAYLOAD_BESIDE:
        raise JobUndecodable(f"a job of wire format {job.v} begins with a head, and this is JSON alone")
    return job


def _beside(body: bytes) -> Job:
    """The job in a body of format 5 or 6."""
    feed = body.find(b"\n", 0, 1 + MAX_HEAD_BYTES + 1)
    if feed < 0:
        too_long = len(body) > 1 + MAX_HEAD_BYTES
        raise JobUndecodable(
            f"its head is longer than {MAX_HEAD_BYTES} bytes" if too_long else "no line feed ends its head"
        )
    text = body[1:feed]
    try:
        head = _head_decoder.decode(text)
    except _ERRORS as error:
        raise _refused(text, error) from error
    if head.v != (IN_FANS if head.fans else PAYLOAD_BESIDE) or (head.parent is None) != (
        head.parent_fence is msgspec.UNSET
    ):
        raise _unfit(head)
    payload = body[feed + 1 :] if len(body) < _VIEWED else memoryview(body)[feed + 1 :]
    if head.reference is not msgspec.UNSET:
        if payload:
            raise JobUndecodable(f"it has a reference, and {len(payload)} bytes of a payload as well")
        return _job(head, _NULL)
    if not payload and head.serializer is msgspec.UNSET:
        raise JobUndecodable("nothing follows its head: the payload is missing")
    return _job(head, msgspec.Raw(payload))


def _unfit(head: JobHead) -> JobUndecodable:
    """Why the head cannot be used."""
    if head.v < PAYLOAD_BESIDE:
        return JobUndecodable(f"its head is of wire format {head.v}, whose messages have none")
    if (head.v == IN_FANS) != bool(head.fans):
        return JobUndecodable(f"a job in fans is of wire format {IN_FANS}, and no other is")
    return JobUndecodable("a job has `parent` and `parent_fence`, or neither")


def _refused(text: bytes, error: Exception) -> JobUndecodable:
    """Why the JSON of a job cannot be read."""
    if (version := _version(text)) > _NEWEST:
        return JobTooNew(
            f"the job is of wire format {version}, and this version reads up to {_NEWEST}: upgrade this worker, "
            "then redrive the dead letter"
        )
    return JobUndecodable(str(error))


def _version(text: bytes) -> int:
    """The wire format; 0 where it cannot be read."""
    try:
        return msgspec.json.decode(text, type=_Versioned).v
    except _ERRORS:
        return 0


def _early(job: Job) -> dict[str, Any]:
    """The fields of a job of a format before 5: these had no fans, and have no field more but another priority."""
    left_out = ("fans", "priority") if job.priority == DEFAULT_PRIORITY else ("fans",)
    fields = ((name, getattr(job, name)) for name in job.__struct_fields__ if name not in left_out)
    return {name: value for name, value in fields if value is not msgspec.UNSET}


def _head(job: Job) -> JobHead:
    # As in `_job`: all but the rarest argument.
    head = JobHead(
        v=job.v,
        id=job.id,
        run_id=job.run_id,
        pipeline=job.pipeline,
        stage=job.stage,
        parent=job.parent,
        parent_fence=job.parent_fence,
        attempt=job.attempt,
        generation=job.generation,
        accepted_ms=job.accepted_ms,
        expires_ms=job.expires_ms,
        serializer=job.serializer,
        reference=job.reference,
        fans=job.fans,
        trace=job.trace,
    )
    return head if job.priority == DEFAULT_PRIORITY else msgspec.structs.replace(head, priority=job.priority)


def _job(head: JobHead, payload: msgspec.Raw) -> Job:
    # Python makes a dictionary of more than 15 arguments with names, which takes longer than all else here.
    job = Job(
        v=head.v,
        id=head.id,
        run_id=head.run_id,
        pipeline=head.pipeline,
        stage=head.stage,
        parent=head.parent,
        parent_fence=head.parent_fence,
        attempt=head.attempt,
        generation=head.generation,
        accepted_ms=head.accepted_ms,
        expires_ms=head.expires_ms,
        serializer=head.serializer,
        reference=head.reference,
        fans=head.fans,
        payload=payload,
    )
    if head.trace is msgspec.UNSET and head.priority == DEFAULT_PRIORITY:
        return job
    return msgspec.structs.replace(job, trace=head.trace, priority=head.priority)


class _Versioned(msgspec.Struct):
    v: int = 0


#: Bytes of a body from which on its payload is not copied: of less, a view costs more, being two objects for the collector.
_VIEWED = 16_384
_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
#: The payload of a job with a reference.
_NULL = msgspec.Raw(b"null")
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Job)
_head_decoder = msgspec.json.Decoder(JobHead)
