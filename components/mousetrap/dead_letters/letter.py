"""Reads a message of a dead queue: the job that was given up, and the story that lies beside it."""

import hashlib
import re
from dataclasses import dataclass

from mousetrap.jobs import Job, JobUndecodable, Message, decode
from mousetrap.signing import Keyring, SignatureRefused

#: What may stand in a URL and on a terminal as it is; a foreign message may be called anything.
_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: The headers that tell the story; whatever else stands beside a body is the message's own.
_STORY = frozenset(
    f"mousetrap-{name}"
    for name in (
        *("reason", "error-type", "error", "traceback", "attempts", "queue", "worker", "at", "run", "stage"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A job given up, or a message that never was one. All but the job is told by unsigned headers: it is for people."""

    #: The message's id, which is the job's; of a message called otherwise, a name made from all that it is.
    id: str
    #: The queue that gave it up, and that it goes back to.
    queue: str
    message: Message
    #: What the body says; None where it cannot be read.
    job: Job | None
    #: Whether the job is one that our keys signed.
    believed: bool
    reason: str
    error_kind: str
    error: str
    traceback: str
    attempts: int | None
    worker: str
    #: Milliseconds since 1970; None when the broker itself put it aside, which says no time.
    at_ms: int | None

    @property
    def run_id(self) -> str | None:
        """The run whose job it is."""
        return self.job.run_id if self.job else None

    @property
    def pipeline(self) -> str | None:
        """The pipeline of that run."""
        return self.job.pipeline if self.job else None

    @property
    def stage(self) -> str | None:
        """The stage that gave it up."""
        return self.job.stage if self.job else None

    @property
    def generation(self) -> int:
        """How often it was redriven before."""
        return self.job.generation if self.job else 0


def read_letter(message: Message, queue: str, keyring: Keyring) -> DeadLetter:
    """The letter that a message of the dead queue of `queue` is."""
    told = message.headers
    return DeadLetter(
        id=message.id if _PLAIN_ID.fullmatch(message.id) else _name_of(message),
        queue=queue,
        message=message,
        job=(job := _job(message)),
        believed=job is not None and _is_ours(message, keyring),
        reason=told.get("mousetrap-reason", "unknown"),
        error_kind=told.get("mousetrap-error-type", ""),
        error=told.get("mousetrap-error", ""),
        traceback=told.get("mousetrap-traceback", ""),
        attempts=_number(told.get("mousetrap-attempts")),
        worker=told.get("mousetrap-worker", ""),
        at_ms=_number(told.get("mousetrap-at")),
    )


def without_story(message: Message) -> Message:
    """The message as it was before it died."""
    own = {name: value for name, value in message.headers.items() if name not in _STORY}
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


def _name_of(message: Message) -> str:
    return "x" + hashlib.sha256(message.id.encode(errors="replace") + b"\0" + message.body).hexdigest()[:31]


def _number(text: str | None) -> int | None:
    # Bounded: whoever can write a header can write a number that no clock and no page could take.
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 15 else None
