"""The job: one message's work at one stage of one run."""

import hashlib
from contextlib import suppress
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from mousetrap.jobs.errors import PayloadAltered
from mousetrap.jobs.stage_queues import Priority
from mousetrap.jobs.trace_context import TraceContext
from mousetrap.pipeline import (
    MOST_NESTED,
    ContractBroken,
    Payload,
    SerializerName,
    payload_as_text,
    payload_as_written,
)
from mousetrap.shapes import DEFAULT_PRIORITY, Reference

#: The namespace of our job ids; any constant would do, changing it would break the deduplication of jobs in flight.
_JOBS = UUID("6f3c1a52-0d0e-5a86-9f0b-7c1d2e4b8a90")

#: The wire format from which on a job's payload is beside its head, and its run's records in the store are packed.
PAYLOAD_BESIDE: Literal[5] = 5
#: The wire format of the jobs that are in fans, as 5 in all else. A version that knows none would count no child.
IN_FANS: Literal[6] = 6
#: Children of one fan.
MAX_CHILDREN = 10_000_000
#: The wire format of the runs that this version begins: 5; versions before it begin runs of 2, whose jobs are of 3 or 4 where
#: they need it. A job that follows is of its parent's kind, so that a run is of one kind from its first job to its last.
NEW_RUNS: Literal[2, 5] = 5

#: No job of ours reaches these: an attempt each millisecond for a day, and a redrive each second for ten days.
MAX_ATTEMPTS, MAX_GENERATIONS = 100_000_000, 1_000_000
#: The store writes a fence as eight hexadecimal digits.
MAX_FENCE = 0xFFFF_FFFF
#: Up to the year 9999, within the range of every clock and of the store's numbers. In UTF-8 a name fits into 255 bytes.
Milliseconds = Annotated[int, Meta(ge=0, le=253_402_300_799_999)]
Name = Annotated[str, Meta(min_length=1, max_length=63)]


class Place(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where a job is in a fan: whose children these are, and which of them it is, or comes after."""

    job: Name
    index: Annotated[int, Meta(ge=0, lt=MAX_CHILDREN)]


class JobHead(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job without its payload: what a message of format 5 or 6 begins with."""

    #: The wire format's version. 2 added `generation` and `expires_ms`; 1 is still read. 3 has a `serializer`, and is written
    #: only with one: a version that knows none would take its payload for the value. 4 has a `reference`, and is written only
    #: with one, for the same reason. 5 has the payload beside the head, and may have a serializer and a reference. 6 has
    #: `fans` as well, and is written only with them.
    v: Literal[1, 2, 3, 4, 5, 6] = 2
    id: Name
    run_id: Annotated[str, Meta(min_length=1, max_length=64)]
    pipeline: Name
    stage: Name
    #: The job whose output this one's payload is; None for a run's first.
    parent: Name | None = None
    #: The fence under which the parent's outcome was decided, which is what this job carries; since format 5, with a parent.
    parent_fence: Annotated[int, Meta(ge=1, le=MAX_FENCE)] | msgspec.UnsetType = msgspec.UNSET
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
    #: The fans that the job is in, innermost last.
    fans: Annotated[tuple[Place, ...], Meta(max_length=MOST_NESTED)] = ()
    #: Where the job is in its run's trace; not there unless the run is traced. A version that knows none reads past it.
    trace: TraceContext | msgspec.UnsetType = msgspec.UNSET
    #: That of its run. Not written where it is the default, and a version that knows none reads past it.
    priority: Priority = DEFAULT_PRIORITY


class Job(JobHead, frozen=True, kw_only=True, omit_defaults=False):
    """One message's work at one stage of one run.

    The id is deterministic: a job that is published several times, by any worker, is the same job. What repeats it keeps the
    parent's fence, for it carries the same outcome of the same parent: the next attempt, a redrive, and an edit, which
    changes the input of this job and not what its parent decided. A re-run is another run, whose first job has no parent.
    """

    #: JSON, under the stage's input contract. With a serializer: since format 5 the bytes that it wrote, before that their
    #: base64 text. A payload of format 5 is not checked when its message is read.
    payload: msgspec.Raw

    @property
    def holds_text(self) -> bool:
        """Whether the payload is JSON, be it base64 text, and not the bytes of a serializer."""
        return (
            self.v < PAYLOAD_BESIDE or self.serializer is msgspec.UNSET or self.reference is not msgspec.UNSET
        )

    @property
    def written(self) -> Payload:
        """The payload with the name of what wrote it; null where the job has a reference."""
        return Payload(bytes(self.payload), self.serializer, is_text=self.holds_text)

    def as_json(self) -> "Job":
        """The same job with a payload that is JSON, as formats 2 to 4 have it: for people, and for attempts by hand."""
        if self.v < PAYLOAD_BESIDE:
            return self
        payload = msgspec.Raw(payload_as_text(self.written))
        v = _version_with(self.serializer, self.reference)
        return msgspec.structs.replace(self, v=v, payload=payload, fans=())

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
            trace=msgspec.UNSET if self.trace is msgspec.UNSET else self.trace.restarted(),
        )

    def edited(self, payload: bytes) -> "Job":
        """The same job with another payload, which is JSON."""
        return msgspec.structs.replace(
            self,
            v=self._version_with(),
            serializer=msgspec.UNSET,
            reference=msgspec.UNSET,
            payload=msgspec.Raw(payload),
        )

    def referring(self, reference: Reference) -> "Job":
        """The same job, with where its payload is in place of the payload."""
        return msgspec.structs.replace(
            self, v=self._version_with(reference=reference), reference=reference, payload=_NULL
        )

    def resolved(self, payload: bytes | msgspec.Raw) -> "Job":
        """The same job, with the payload that its reference names: JSON, or the base64 text of what a serializer wrote.

        Raises PayloadAltered for what is no such text.
        """
        v = self._version_with(self.serializer)
        if v >= PAYLOAD_BESIDE and self.serializer is not msgspec.UNSET:
            try:
                payload = payload_as_written(Payload(bytes(payload), self.serializer))
            except ContractBroken as error:
                raise PayloadAltered(f"the payload of job {self.id} is not what was put: {error}") from error
        return msgspec.structs.replace(self, v=v, reference=msgspec.UNSET, payload=msgspec.Raw(payload))

    def following(
        self,
        stage: str,
        payload: bytes,
        serializer: SerializerName = msgspec.UNSET,
        reference: Reference | msgspec.UnsetType = msgspec.UNSET,
        *,
        fence: int = 0,
    ) -> "Job":
        """The job at the next stage that carries this one's output, or where that is.

        `payload` is as outcomes hold it: JSON, or base64 text. `fence` is the one that the output was decided under; a job of
        format 5 must have it to be published, and earlier ones do not carry it.
        """
        v = self._version_with(serializer, reference)
        if v >= PAYLOAD_BESIDE and serializer is not msgspec.UNSET and reference is msgspec.UNSET:
            # What is no base64 goes on as it is: the next stage refuses it, with its own reason.
            with suppress(ContractBroken):
                payload = payload_as_written(Payload(payload, serializer))
        return Job(
            v=v,
            id=_job_id(self.run_id, stage, self.id),
            run_id=self.run_id,
            pipeline=self.pipeline,
            stage=stage,
            parent=self.id,
            parent_fence=fence if fence and v >= PAYLOAD_BESIDE else msgspec.UNSET,
            accepted_ms=self.accepted_ms,
            expires_ms=self.expires_ms,
            serializer=serializer,
            reference=reference,
            fans=self.fans,
            trace=self.trace,
            priority=self.priority,
            payload=msgspec.Raw(payload),
        )

    def child(
        self,
        stage: str,
        payload: bytes,
        serializer: SerializerName = msgspec.UNSET,
        reference: Reference | msgspec.UnsetType = msgspec.UNSET,
        *,
        index: int,
        key: str | None = None,
        fence: int,
    ) -> "Job":
        """The job at `stage` that is one of this one's children: by its key where it has one, else by its index.

        `fence` is the one under which it was opened; of a job that forks, the one that the output was decided under.
        """
        which = f"{index}" if key is None else f"={key}"
        return msgspec.structs.replace(
            self.following(stage, payload, serializer, reference, fence=fence),
            v=IN_FANS,
            id=_job_id(self.run_id, stage, f"{self.id}|{which}"),
            fans=(*self.fans, Place(self.id, index)),
        )

    def joined(
        self,
        stage: str,
        payload: bytes,
        serializer: SerializerName = msgspec.UNSET,
        reference: Reference | msgspec.UnsetType = msgspec.UNSET,
        *,
        fan: str = "",
        fence: int,
    ) -> "Job":
        """The job at `stage` that joins the children of `fan`, the innermost that this job is in unless another is named.

        It follows from the job whose children they are, which was decided under `fence`: it is the same job, whichever of
        them makes it.
        """
        parents = [place.job for place in self.fans]
        fan = fan or parents[-1]
        outer = self.fans if fan == self.id else self.fans[: parents.index(fan)]
        return msgspec.structs.replace(
            self.following(stage, payload, serializer, reference, fence=fence),
            v=IN_FANS if outer else PAYLOAD_BESIDE,
            id=_job_id(self.run_id, stage, fan),
            parent=fan,
            fans=outer,
        )

    def _version_with(
        self,
        serializer: SerializerName = msgspec.UNSET,
        reference: Reference | msgspec.UnsetType = msgspec.UNSET,
    ) -> Literal[2, 3, 4, 5, 6]:
        """The wire format of this job's kind that has these."""
        if self.v >= PAYLOAD_BESIDE:
            return IN_FANS if self.fans else PAYLOAD_BESIDE
        return _version_with(serializer, reference)


def new_runs() -> Literal[2, 5]:
    """The wire format of the runs that this version begins."""
    return NEW_RUNS


def first_job(
    *,
    run_id: str,
    pipeline: str,
    stage: str,
    payload: bytes,
    accepted_ms: int,
    expires_ms: int | None = None,
    reference: Reference | msgspec.UnsetType = msgspec.UNSET,
    v: Literal[2, 5] | None = None,
    trace: TraceContext | msgspec.UnsetType = msgspec.UNSET,
    priority: int = DEFAULT_PRIORITY,
) -> Job:
    """The job that starts a run. `v` is the wire format of a run that was opened before; None for that of new runs."""
    return Job(
        v=PAYLOAD_BESIDE if (v or NEW_RUNS) == PAYLOAD_BESIDE else _version_with(msgspec.UNSET, reference),
        id=_job_id(run_id, stage, ""),
        run_id=run_id,
        pipeline=pipeline,
        stage=stage,
        accepted_ms=accepted_ms,
        expires_ms=expires_ms,
        reference=reference,
        trace=trace,
        priority=priority,
        payload=msgspec.Raw(payload),
    )


def _version_with(serializer: SerializerName, reference: Reference | msgspec.UnsetType) -> Literal[2, 3, 4]:
    """The earliest wire format that has what the job has."""
    if reference is not msgspec.UNSET:
        return 4
    return 2 if serializer is msgspec.UNSET else 3


#: The payload of a job with a reference.
_NULL = msgspec.Raw(b"null")


#: The hash of each job's id, as far as it is the same; to be copied, which costs less than a new one.
_begun = hashlib.sha1(_JOBS.bytes, usedforsecurity=False)


def _job_id(run_id: str, stage: str, parent: str) -> str:
    """The same as uuid.uuid5(…).hex, at a fifth of its cost."""
    digest = _begun.copy()
    digest.update(f"{run_id}|{stage}|{parent}".encode())
    made = bytearray(digest.digest()[:16])
    made[6] = made[6] & 0x0F | 0x50  # version 5
    made[8] = made[8] & 0x3F | 0x80  # the variant of RFC 9562
    return made.hex()
