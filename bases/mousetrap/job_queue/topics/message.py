"""Makes messages of what users publish, and claimed messages of deliveries."""

import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec

from mousetrap.jobs import HEADER_PREFIX, Claim, Message, check_message

#: Users' headers have names of their own; on the wire each has this in front, since a broker acts on some names.
_HEADER = f"{HEADER_PREFIX}topic-"
_REASON = f"{HEADER_PREFIX}reason"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Claimed:
    """A message that this process holds until it is acked or nacked, or its connection is lost."""

    id: str
    topic: str
    body: bytes
    headers: Mapping[str, str]
    #: Whether an earlier claim of this message ended without an ack: its work may be done already.
    redelivered: bool
    #: Why a message of a dead queue is there; empty for any other.
    reason: str
    claim: Claim = field(repr=False)

    def json(self) -> Any:
        """The value that was published. Raises ValueError for a body that is not JSON."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueError(
                f"topic {self.topic!r}: the body of message {self.id!r} is not JSON ({error}): read `body`, which is bytes"
            ) from None


def new_message(value: Any, headers: Mapping[str, str] | None, message_id: str | None) -> Message:
    """The message of bytes, or of a value that JSON can hold, with a new id unless one is given.

    Raises TypeError for a value or a header of another type, ValueError for one that is too large or has no form.
    """
    if message_id == "":
        raise ValueError("id='': give an id of 1 to 255 bytes, or none for a new one")
    named = {f"{_HEADER}{name}": text for name, text in (headers or {}).items()}
    message = Message(message_id or uuid.uuid4().hex, _body(value), named)
    check_message(message)
    return message


def claimed(claim: Claim) -> Claimed:
    """The message of a claim, as its user sees it."""
    message = claim.message
    return Claimed(
        id=message.id,
        topic=claim.queue,
        body=message.body,
        headers={
            name.removeprefix(_HEADER): text
            for name, text in message.headers.items()
            if name.startswith(_HEADER)
        },
        redelivered=claim.redelivered,
        reason=message.headers.get(_REASON, ""),
        claim=claim,
    )


def seconds(what: str, span: "float | timedelta") -> float:
    """`span` in seconds. Raises ValueError for one that is negative or no number; `what` is its parameter's name."""
    found = span.total_seconds() if isinstance(span, timedelta) else span
    if not 0 <= found < math.inf:
        raise ValueError(f"{what}={span!r}: give seconds from 0 up, or a timedelta")
    return float(found)


def _body(value: Any) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"a message of type {type(value).__name__} is not JSON ({error}): give bytes, or a value of JSON's types"
        ) from None
