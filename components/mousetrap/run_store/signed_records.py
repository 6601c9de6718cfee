"""Writes and reads signed records: outcomes of jobs, openings of runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import NamedTuple

import msgspec

from mousetrap.jobs import (
    DEFAULT_PRIORITY,
    HIGHEST_PRIORITY,
    LOWEST_PRIORITY,
    Done,
    GiveUp,
    Job,
    Outcome,
    Reference,
    RetryLater,
    TraceContext,
    first_job,
    read_trace,
)
from mousetrap.run_store.records import RunRecord
from mousetrap.signing import Keyring, SignatureRefused

#: After an outcome's last member: earlier versions read the object and ignore this member.
_SEAM, _END = b',"signature":"', b'"}'

#: The fields of a run in the store that `read_opening` reads.
OPENING = (
    "pipeline",
    "first",
    "input",
    "accepted_ms",
    "expires_ms",
    "due_ms",
    "signature",
    "input_reference",
)

_verdict_of_any: Callable[[Job], Sequence[str | int]] = attrgetter(
    "run_id", "pipeline", "stage", "id", "generation"
)
_outcomes: msgspec.json.Decoder[Outcome] = msgspec.json.Decoder(Done | RetryLater | GiveUp)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """The start of a run: pipeline, stage, input."""

    pipeline: str
    #: The stage that it began with.
    stage: str
    #: JSON; null where there is a reference.
    input: bytes
    reference: Reference | msgspec.UnsetType = msgspec.UNSET
    #: Milliseconds since 1970: when it was accepted, and after which no job of it starts; None for never.
    accepted_ms: int
    expires_ms: int | None
    #: Milliseconds since 1970 before which no job of it starts; None for at once.
    due_ms: int | None = None
    #: Whether the run's record is packed, and so its jobs of wire format 5.
    is_packed: bool
    trace: TraceContext | msgspec.UnsetType = msgspec.UNSET
    priority: int = DEFAULT_PRIORITY

    def first_job(self, run_id: str) -> Job:
        """The job that starts the run."""
        return first_job(
            run_id=run_id,
            pipeline=self.pipeline,
            stage=self.stage,
            payload=self.input,
            accepted_ms=self.accepted_ms,
            expires_ms=self.expires_ms,
            reference=self.reference,
            v=5 if self.is_packed else 2,
            trace=self.trace,
            priority=self.priority,
        )


def write_verdict(outcome: Outcome, job: Job, keyring: Keyring) -> str:
    """The outcome as JSON, signed for this job in this generation; as text, which is what the server's msgpack knows."""
    return signed_verdict(outcome, job, keyring).decode()


def signed_verdict(outcome: Outcome, job: Job, keyring: Keyring) -> bytes:
    """The outcome as JSON, signed for this job in this generation."""
    text = msgspec.json.encode(outcome)
    signature = keyring.sign_record(("verdict", *_verdict_of(job)), text)
    return text[:-1] + _SEAM + signature.encode() + _END if signature else text


def read_verdict(record: bytes, job: Job, keyring: Keyring) -> Outcome:
    """The recorded outcome of this job in this generation. Raises SignatureRefused."""
    text, signature = _split(record)
    keyring.verify_record(("verdict", *_verdict_of(job)), text, signature)
    try:
        return _outcomes.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SignatureRefused(f"the record in the store is no outcome: {error}") from error


class Span(NamedTuple):
    """How long a run has, in milliseconds from when it was accepted; 0 for no end, and for no delay."""

    expires: int = 0
    delay: int = 0


def sign_opening(run_id: str, pipeline: str, stage: str, body: bytes, span: Span, keyring: Keyring) -> str:
    """The signature that is kept beside a run's input."""
    signature = keyring.sign_record(_opening_of(run_id, pipeline, stage, span), body)
    if not signature:
        return ""
    return f"{span.expires} {span.delay} {signature}" if span.delay else f"{span.expires} {signature}"


def opening_body(input: bytes, reference: bytes) -> bytes:
    """What the signature of an opening is about, beside its facts: the input, or the reference to it."""
    # An input is one JSON value, which no other can follow: so none is taken for a reference.
    return reference + b" null" if reference else input


def read_opening(run_id: str, fields: Sequence[bytes | None], keyring: Keyring) -> Opening:
    """The opening that the fields OPENING of a run in the store hold. Raises SignatureRefused."""
    pipeline, stage, body, accepted, until, due, signed, referred = (_text(each) for each in fields)
    *numbers, signature = signed.split(" ")
    span = Span(*map(_number, numbers[:2]))
    signed_body = opening_body(body.encode(), referred.encode())
    keyring.verify_record(_opening_of(run_id, pipeline, stage, span), signed_body, signature)
    accepted_ms = _number(accepted)
    if keyring.keys:
        # The time of acceptance is the store's; how long the run has from then on, and its delay, are signed.
        until_ms, due_ms = (accepted_ms + each if each else 0 for each in span)
    else:
        until_ms, due_ms = _number(until), _number(due)
    return Opening(
        pipeline=pipeline,
        stage=stage,
        input=body.encode(),
        reference=_reference(referred) if referred else msgspec.UNSET,
        accepted_ms=accepted_ms,
        expires_ms=until_ms or None,
        due_ms=due_ms or None,
        is_packed=False,
    )


def packed_opening(run_id: str, record: RunRecord, keyring: Keyring) -> Opening:
    """The opening that a packed run's record holds. Raises SignatureRefused."""
    facts = record.facts
    fields = (
        facts.pipeline,
        facts.stage,
        record.input.decode("utf-8", "replace"),
        facts.accepted_ms,
        facts.expires_ms,
        facts.due_ms,
        facts.signature,
        facts.input_reference,
    )
    opening = read_opening(run_id, [str(field).encode() for field in fields], keyring)
    return replace(opening, is_packed=True, trace=read_trace(facts.trace), priority=_priority(facts.priority))


def _verdict_of(job: Job) -> Sequence[str | int]:
    """What a verdict's signature is about, beside the outcome. A child's is about which one it is, too: its join asks by that."""
    if not job.fans:
        return _verdict_of_any(job)
    place = job.fans[-1]
    return (*_verdict_of_any(job), place.job, place.index)


def _split(record: bytes) -> tuple[bytes, str]:
    """The outcome's own text, and its signature, which is empty where there is none."""
    text, seam, rest = record.rpartition(_SEAM)
    signature = rest.removesuffix(_END)
    # An output may hold a member of that name too, but does not end where the record ends.
    if not seam or signature == rest or b'"' in signature:
        return record, ""
    return text + b"}", signature.decode("ascii", "replace")


def _opening_of(run_id: str, pipeline: str, stage: str, span: Span) -> Sequence[str | int]:
    about = ("opening", run_id, pipeline, stage, span.expires)
    # Without a delay the record is as earlier versions wrote it.
    return (*about, span.delay) if span.delay else about


def _priority(number: int) -> int:
    """That of the record, unless something else wrote it."""
    return number if LOWEST_PRIORITY <= number <= HIGHEST_PRIORITY else DEFAULT_PRIORITY


def _reference(text: str) -> Reference:
    try:
        return msgspec.json.decode(text, type=Reference)
    except msgspec.DecodeError as error:
        raise SignatureRefused(f"the record in the store has no reference to its input: {error}") from error


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "replace")


def _number(text: str) -> int:
    # Bounded: a number written from outside may be beyond any clock.
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else 0
