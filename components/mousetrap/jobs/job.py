"""The job, and its JSON envelope on the wire."""

import hashlib
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from mousetrap.jobs.queue import Message
from mousetrap.pipeline import Payload, SerializerName
from mousetrap.shapes import Reference
from mousetrap.signing import Keyring

#: The namespace of our job ids; any constant would do, changing it would break the deduplication of jobs in flight.
_JOBS = UUID("6f3c1a52-0d0e-5a86-9f0b-7c1d2e4b8a90")


class JobUndecodable(Exception):
    """The message is not a job that we can read: not our JSON envelope."""


class JobTooNew(JobUndecodable):
    """The message is a job of a later wire format than this version reads."""


#: No job of ours reaches these: an attempt each millisecond for a day, and a redrive each second for ten days.
MAX_ATTEMPTS, MAX_GENERATIONS = 100_000_000, 1_000_000
#: Up to the year 9999, within the range of every clock and of the store's numbers. In UTF-8 a name fits into 255 bytes.
Milliseconds = Annotated[int, Meta(ge=0, le=253_402_300_799_999)]
Name = Annotated[str, Meta(min_length=1, max_length=63)]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One message's work at one stage of one run.

    The id is deterministic: a job that is published several times, by any worker, is the same job.
    """

    #: The wire format's version. 2 added `generation` and `expires_ms`; 1 is still read. 3 has a `serializer`, and is written
    #: only with one: a version that knows none would take its payload for the value. 4 has a `reference`, and is written only
    #: with one, for the same reason.
    v: Literal[1, 2, 3, 4] = 2
    id: Name
    run_id: Annotated[str, Meta(min_length=1, max_length=64)]
    pipeline: Name
    stage: Name
    #: The job whose output this one's payload is; None for a run's first.
    parent: Name | None = None
    #: 1 for the first try.
    attempt: Annotated[int, Meta(ge=1, le=MAX_ATTEMPTS)] = 1
    #: How often it was redriven; a message of an earlier generation is stale.
    generation: Annotated[int, Meta(ge=0, le=MAX_GENERATIONS)] = 0
    #: Milliseconds since 1970, when the run was accepted; when a redrive accepted it again, if it was redriven.
    accepted_ms: Milliseconds
    #: Milliseconds since 1970 after which no attempt is begun; None for never.
    expires_ms: Milliseconds | None = None
    #: What wrote the payload; not there for JSON.
    serializer: Name | msgspec.UnsetType = msgspec.UNSET
    #: Where the payload is, when it is too large for a message; then `payload` is null.
    reference: Reference | msgspec.UnsetType = msgspec.UNSET
    #: JSON, under the stage's input contract; with a serializer, the base64 text of what that wrote.
    payload: msgspec.Raw

    @property
    def written(self) -> Payload:
        """The payload with the name of what wrote it; null where the job has a reference."""
        return Payload(bytes(self.payload), self.serializer)

    def again(self) -> "Job":
        """The same job, with the next attempt."""
        return msgspec.structs.replace(self, v=max(2, self.v), attempt=self.attempt + 1)

    def redriven(self, accepted_ms: int) -> "Job":
        """The same job after a redrive: its attempts count from one, and it does not expire."""
        return msgspec.structs.replace(
            self,
            v=max(2, self.v),
            attempt=1,
            generation=self.generation + 1,
            accepted_ms=accepted_ms,
            expires_ms=None,
        )

    def edited(self, payload: bytes) -> "Job":
        """The same job with another payload, which is JSON."""
        return msgspec.structs.replace(
            self, v=2, serializer=msgspec.UNSET, reference=msgspec.UNSET, payload=msgspec.Raw(payload)
        )

    def referring(self, reference: Reference) -> "Job":
        """The same job, with where its payload is in place of the payload."""
        return msgspec.structs.replace(self, v=4, reference=reference, payload=_NULL)

    def resolved(self, payload: bytes | msgspec.Raw) -> "Job":
        """The same job, with the payload that its reference names."""
        v = 2 if self.serializer is msgspec.UNSET else 3
        return msgspec.structs.replace(self, v=v, reference=msgspec.UNSET, payload=msgspec.Raw(payload))

    def following(
        self,
        stage: str,
        payload: bytes,
        serializer: SerializerName = msgspec.UNSET,
        reference: Reference | msgspec.UnsetType = msgspec.UNSET,
    ) -> "Job":
        """The job at the next stage that carries this one's output, or where that is."""
        return Job(
            v=_version_with(serializer, reference),
            id=_job_id(self.run_id, stage, self.id),
            run_id=self.run_id,
            pipeline=self.pipeline,
            stage=stage,
            parent=self.id,
            accepted_ms=self.accepted_ms,
            expires_ms=self.expires_ms,
            serializer=serializer,
            reference=reference,
            payload=msgspec.Raw(payload),
        )


def first_job(
    *,
    run_id: str,
    pipeline: str,
    stage: str,
    payload: bytes,
    accepted_ms: int,
    expires_ms: int | None = None,
    reference: Reference | msgspec.UnsetType = msgspec.UNSET,
) -> Job:
    """The job that starts a run."""
    return Job(
        v=_version_with(msgspec.UNSET, reference),
        id=_job_id(run_id, stage, ""),
        run_id=run_id,
        pipeline=pipeline,
        stage=stage,
        accepted_ms=accepted_ms,
        expires_ms=expires_ms,
        reference=reference,
        payload=msgspec.Raw(payload),
    )


def encode(job: Job) -> bytes:
    """The job as its envelope."""
    return _encoder.encode(job)


def signed_message(job: Job, keyring: Keyring) -> Message:
    """The job as a signed message."""
    body = _encoder.encode(job)
    return Message(job.id, body, keyring.headers(body))


def decode(body: bytes) -> Job:
    """The job in the envelope `body`.

    Raises JobTooNew or another JobUndecodable, which names the fault and its place; never the body, which may hold secrets.
    """
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if (version := _version(body)) > _NEWEST:
            raise JobTooNew(
                f"the job is of wire format {version}, and this version reads up to {_NEWEST}: upgrade this worker, "
                "then redrive the dead letter"
            ) from None
        raise JobUndecodable(str(error)) from error


def _version(body: bytes) -> int:
    """The envelope's wire format; 0 where it cannot be read."""
    try:
        return msgspec.json.decode(body, type=_Versioned).v
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0


def _version_with(serializer: SerializerName, reference: Reference | msgspec.UnsetType) -> Literal[2, 3, 4]:
    """The earliest wire format that has what the job has."""
    if reference is not msgspec.UNSET:
        return 4
    return 2 if serializer is msgspec.UNSET else 3


class _Versioned(msgspec.Struct):
    v: int = 0


#: The latest wire format that this version reads.
_NEWEST = 4
#: The payload of a job with a reference.
_NULL = msgspec.Raw(b"null")
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Job)


def _job_id(run_id: str, stage: str, parent: str) -> str:
    """The same as uuid.uuid5(…).hex, at a fifth of its cost."""
    digest = hashlib.sha1(_JOBS.bytes + f"{run_id}|{stage}|{parent}".encode(), usedforsecurity=False).digest()
    made = bytearray(digest[:16])
    made[6] = made[6] & 0x0F | 0x50  # version 5
    made[8] = made[8] & 0x3F | 0x80  # the variant of RFC 9562
    return made.hex()
