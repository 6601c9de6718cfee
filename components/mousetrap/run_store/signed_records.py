"""Writes and reads signed records: outcomes of jobs, openings of runs."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from mousetrap.jobs import Done, GiveUp, Job, Outcome, RetryLater, first_job
from mousetrap.signing import Keyring, SignatureRefused

#: After an outcome's last member: earlier versions read the object and ignore this member.
_SEAM, _END = b',"signature":"', b'"}'

#: The fields of a run in the store that `read_opening` reads.
OPENING = ("pipeline", "first", "input", "accepted_ms", "expires_ms", "signature")

_outcomes: msgspec.json.Decoder[Outcome] = msgspec.json.Decoder(Done | RetryLater | GiveUp)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """The start of a run: pipeline, stage, input."""

    pipeline: str
    #: The stage that it began with.
    stage: str
    #: JSON.
    input: bytes
    #: Milliseconds since 1970: when it was accepted, and after which no job of it starts; None for never.
    accepted_ms: int
    expires_ms: int | None

    def first_job(self, run_id: str) -> Job:
        """The job that starts the run."""
        return first_job(
            run_id=run_id,
            pipeline=self.pipeline,
            stage=self.stage,
            payload=self.input,
            accepted_ms=self.accepted_ms,
            expires_ms=self.expires_ms,
        )


def write_verdict(outcome: Outcome, job: Job, keyring: Keyring) -> bytes:
    """The outcome as JSON, signed for this job in this generation."""
    text = msgspec.json.encode(outcome)
    signature = keyring.sign_record(_verdict_of(job), text)
    return text[:-1] + _SEAM + signature.encode() + _END if signature else text


def read_verdict(record: bytes, job: Job, keyring: Keyring) -> Outcome:
    """The recorded outcome of this job in this generation. Raises SignatureRefused."""
    text, signature = _split(record)
    keyring.verify_record(_verdict_of(job), text, signature)
    try:
        return _outcomes.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SignatureRefused(f"the record in the store is no outcome: {error}") from error


def sign_opening(run_id: str, pipeline: str, stage: str, body: bytes, expires: int, keyring: Keyring) -> str:
    """The signature that is kept beside a run's input; `expires` is in milliseconds from when the run was accepted, 0 for never."""
    signature = keyring.sign_record(_opening_of(run_id, pipeline, stage, expires), body)
    return f"{expires} {signature}" if signature else ""


def read_opening(run_id: str, fields: Sequence[bytes | None], keyring: Keyring) -> Opening:
    """The opening that the fields OPENING of a run in the store hold. Raises SignatureRefused."""
    pipeline, stage, body, accepted, until, signed = (_text(each) for each in fields)
    expires, _, signature = signed.partition(" ")
    keyring.verify_record(_opening_of(run_id, pipeline, stage, _number(expires)), body.encode(), signature)
    accepted_ms = _number(accepted)
    # The time of acceptance is the store's; how long the run has from then on is signed.
    signed_until = accepted_ms + _number(expires) if _number(expires) else None
    return Opening(
        pipeline=pipeline,
        stage=stage,
        input=body.encode(),
        accepted_ms=accepted_ms,
        expires_ms=signed_until if keyring.keys else _number(until) or None,
    )


def _split(record: bytes) -> tuple[bytes, str]:
    """The outcome's own text, and its signature, which is empty where there is none."""
    text, seam, rest = record.rpartition(_SEAM)
    signature = rest.removesuffix(_END)
    # An output may hold a member of that name too, but does not end where the record ends.
    if not seam or signature == rest or b'"' in signature:
        return record, ""
    return text + b"}", signature.decode("ascii", "replace")


def _verdict_of(job: Job) -> Sequence[str | int]:
    return ("verdict", job.run_id, job.pipeline, job.stage, job.id, job.generation)


def _opening_of(run_id: str, pipeline: str, stage: str, expires: int) -> Sequence[str | int]:
    return ("opening", run_id, pipeline, stage, expires)


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "replace")


def _number(text: str) -> int:
    # Bounded: a number written from outside may be beyond any clock.
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else 0
