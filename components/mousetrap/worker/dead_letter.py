"""Builds the message of a dead letter."""

from mousetrap.jobs import Failure, Job, Message

#: Bytes of each text in a dead letter's headers, which must fit into one frame together: 8,192 bytes where a broker's
#: frames are smallest. The whole traceback is in the run's timeline alone; its end is for when the store forgot the run.
_MAX_NAME, _MAX_TEXT, _MAX_TRACEBACK = 200, 500, 600


def dead_letter(
    message: Message, queue: str, reason: str, failure: Failure, *, job: Job | None, worker: str, now_ms: int
) -> Message:
    """The message for the dead queue of `queue`: its body unchanged, its story in headers; `job` is None for one that is not ours."""
    story = {
        "mousetrap-reason": reason,
        "mousetrap-error-type": _start(failure.kind, _MAX_NAME),
        "mousetrap-error": _start(failure.text, _MAX_TEXT),
        "mousetrap-attempts": str(job.attempt if job else 0),
        "mousetrap-queue": queue,
        "mousetrap-worker": _start(worker, _MAX_NAME),
        "mousetrap-at": str(now_ms),
    }
    if failure.traceback:
        story["mousetrap-traceback"] = _end(failure.traceback, _MAX_TRACEBACK)
    if job is not None:
        story |= {
            "mousetrap-run": _start(job.run_id, _MAX_NAME),
            "mousetrap-stage": _start(job.stage, _MAX_NAME),
        }
    return Message(message.id, message.body, {**message.headers, **story})


def _start(text: str, most: int) -> str:
    return _bytes(text)[:most].decode(errors="ignore")


def _end(text: str, most: int) -> str:
    """Of a traceback, the end is where it happened."""
    return _bytes(text)[-most:].decode(errors="ignore")


def _bytes(text: str) -> bytes:
    # Half a surrogate pair, as the name of a file can hold one, has no form on the wire.
    return text.encode(errors="replace")
