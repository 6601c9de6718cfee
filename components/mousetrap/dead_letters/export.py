"""Writes a dead letter as a line of JSON."""

from base64 import b64encode

import msgspec

from mousetrap.dead_letters.letter import DeadLetter


def line(letter: DeadLetter, payload: bytes | None = None) -> bytes:
    """The letter and a line end. Its body is text, byte for byte, or `body_base64` where it is none.

    `payload` (JSON) is what a reference in the body names.
    """
    body = letter.message.body
    try:
        content = {"body": body.decode()}
    except UnicodeDecodeError:
        content = {"body_base64": b64encode(body).decode()}
    facts = {
        "id": letter.id,
        "queue": letter.queue,
        "at_ms": letter.at_ms,
        "believed": letter.believed,
        "message_id": letter.message.id,
        "headers": dict(letter.message.headers),
    }
    beside = {} if payload is None else {"payload": msgspec.Raw(payload)}
    return msgspec.json.encode({**facts, **content, **beside}) + b"\n"
