"""Turns an outcome into the messages that follow from it; pure, and always the same messages for the same outcome."""

from dataclasses import dataclass

from mousetrap.jobs import Done, Failure, GiveUp, Job, Message, Outcome, RetryLater, dead_queue, encode
from mousetrap.pipeline import Stage
from mousetrap.signing import Keyring

#: Characters of an error's text in a dead letter's header; the whole is in the run store.
_TEXT = 500


@dataclass(frozen=True, slots=True)
class Posting:
    """A message to publish."""

    queue: str
    message: Message
    #: Seconds.
    after: float = 0.0


def postings(
    job: Job, outcome: Outcome, *, queue: str, following: Stage | None, keyring: Keyring, worker: str
) -> list[Posting]:
    """What to publish before the job, which came from `queue`, may be acknowledged."""
    match outcome:
        case Done(output) if following is not None:
            return [Posting(following.queue, signed(job.following(following.name, bytes(output)), keyring))]
        case RetryLater(after):
            return [Posting(queue, signed(job.again(), keyring), after)]
        case GiveUp(reason, failure):
            return [bury(signed(job, keyring), queue, reason, failure, attempts=job.attempt, worker=worker)]
        case _:
            return []


def signed(job: Job, keyring: Keyring) -> Message:
    """The job as a message of ours."""
    body = encode(job)
    return Message(job.id, body, keyring.headers(body))


def bury(
    message: Message, queue: str, reason: str, failure: Failure, *, attempts: int, worker: str
) -> Posting:
    """The message as a dead letter: its body as it was, its story beside it."""
    story = {
        "mousetrap-reason": reason,
        "mousetrap-error-type": failure.kind,
        "mousetrap-error": failure.text[:_TEXT],
        "mousetrap-attempts": str(attempts),
        "mousetrap-queue": queue,
        "mousetrap-worker": worker,
    }
    return Posting(dead_queue(queue), Message(message.id, message.body, {**message.headers, **story}))
