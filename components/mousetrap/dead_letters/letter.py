"""Reads a message of a dead queue: its job, and its headers."""

import hashlib
import re
from dataclasses import dataclass

from mousetrap.jobs import Job, JobUndecodable, Message, decode
from mousetrap.shapes import LetterLine
from mousetrap.signing import Keyring, SignatureRefused

#: Ids that are safe in a URL and on a terminal; a foreign message can have any id.
_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: The headers that burying adds; all others are the message's own.
_ADDED = frozenset(
    f"mousetrap-{name}"
    for name in (
        *("reason", "error-type", "error", "traceback", "attempts", "queue", "worker", "at", "run", "stage"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter(LetterLine):
    """A job given up, or a message that never was one. All but the job comes from unsigned headers: it is for people."""

    message: Message
    #: The job in the body; None where it cannot be read.
    job: Job | None
    traceback: str


def read_letter(message: Message, queue: str, keyring: Keyring) -> DeadLetter:
    """The dead letter in a message of the dead queue of `queue`."""
    headers = message.headers
    job = _job(message)
    return DeadLetter(
        id=message.id if _PLAIN_ID.fullmatch(message.id) else _hash_of(message),
        queue=queue,
        message=message,
        job=job,
        believed=job is not None and _is_ours(message, keyring),
        reason=headers.get("mousetrap-reason", "unknown"),
        error_kind=headers.get("mousetrap-error-type", ""),
        error=headers.get("mousetrap-error", ""),
        traceback=headers.get("mousetrap-traceback", ""),
        attempts=_number(headers.get("mousetrap-attempts")),
        worker=headers.get("mousetrap-worker", ""),
        at_ms=_number(headers.get("mousetrap-at")),
        run_id=job.run_id if job else None,
        pipeline=job.pipeline if job else None,
        stage=job.stage if job else None,
        generation=job.generation if job else 0,
    )


def without_story(message: Message) -> Message:
    """The message as it was before it died."""
    own = {name: value for name, value in message.headers.items() if name not in _ADDED}
    return Message(message.id, message.body, own)


def _job(message: Message) -> Job | None:
    try:
        return decode(message.body)
    except JobUndecodable:
        return None


def _is_ours(message: Message, keyring: Keyring) -> bool:
    try:
        keyring.verify(message.body, message.headers)
    except SignatureRefused:
        return False
    return True


def _hash_of(message: Message) -> str:
    return "x" + hashlib.sha256(message.id.encode(errors="replace") + b"\0" + message.body).hexdigest()[:31]


def _number(text: str | None) -> int | None:
    # Bounded: a forged header can hold a number that no clock and no page could take.
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 15 else None
