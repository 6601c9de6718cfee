"""Turns an outcome into the messages that follow from it; pure, and always the same messages for the same outcome."""

import msgspec

from mousetrap.jobs import Done, Failure, GiveUp, Job, Message, Outcome, RetryLater, dead_queue, encode
from mousetrap.pipeline import Stage
from mousetrap.signing import Keyring

#: Bytes of each text in a dead letter's headers, which must fit into one frame together: 8,192 bytes where a broker's
#: frames are smallest. The whole traceback is in the run's timeline alone; its end is for when the store forgot the run.
_NAME, _TEXT, _TRACEBACK = 200, 500, 600


class Posting(msgspec.Struct, frozen=True):
    """A message to publish."""

    queue: str
    message: Message
    #: Seconds.
    after: float = 0.0


def postings(
    job: Job,
    outcome: Outcome,
    *,
    queue: str,
    following: Stage | None,
    keyring: Keyring,
    worker: str,
    now_ms: int,
) -> list[Posting]:
    """What to publish before the job, which came from `queue`, may be acknowledged."""
    match outcome:
        case Done(output) if following is not None:
            return [Posting(following.queue, signed(job.following(following.name, bytes(output)), keyring))]
        case RetryLater(after):
            again = job.again() if outcome.counted else job
            return [Posting(queue, signed(again, keyring), after)]
        case GiveUp(reason, failure):
            message = signed(job, keyring)
            return [bury(message, queue, reason, failure, job=job, worker=worker, now_ms=now_ms)]
        case _:
            return []


def signed(job: Job, keyring: Keyring) -> Message:
    """The job as a message of ours."""
    body = encode(job)
    return Message(job.id, body, keyring.headers(body))


def bury(
    message: Message, queue: str, reason: str, failure: Failure, *, job: Job | None, worker: str, now_ms: int
) -> Posting:
    """The message as a dead letter: its body as it was, its story beside it; `job` is None for one that is not ours."""
    story = {
        "mousetrap-reason": reason,
        "mousetrap-error-type": _start(failure.kind, _NAME),
        "mousetrap-error": _start(failure.text, _TEXT),
        "mousetrap-attempts": str(job.attempt if job else 0),
        "mousetrap-queue": queue,
        "mousetrap-worker": _start(worker, _NAME),
        "mousetrap-at": str(now_ms),
    }
    if failure.traceback:
        story["mousetrap-traceback"] = _end(failure.traceback, _TRACEBACK)
    if job is not None:
        story |= {"mousetrap-run": _start(job.run_id, _NAME), "mousetrap-stage": _start(job.stage, _NAME)}
    return Posting(dead_queue(queue), Message(message.id, message.body, {**message.headers, **story}))


def _start(text: str, most: int) -> str:
    return _bytes(text)[:most].decode(errors="ignore")


def _end(text: str, most: int) -> str:
    """Of a traceback, the end is where it happened."""
    return _bytes(text)[-most:].decode(errors="ignore")


def _bytes(text: str) -> bytes:
    # Half a surrogate pair, as the name of a file can hold one, has no form on the wire.
    return text.encode(errors="replace")
