"""Writes what goes beside a body on the wire, and reads what came; only our own headers pass, in both directions."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pika
from pika.delivery_mode import DeliveryMode

from mousetrap.jobs import Message

#: A broker acts on some headers (CC and BCC copy, x-death stops a message), so that only these names are let through.
PREFIX = "mousetrap-"
#: Where a dead letter that the broker made itself says why: rejected, expired, maxlen or delivery_limit.
REASON = "mousetrap-reason"

#: Bytes. All headers must fit into one frame, which a broker makes no smaller than 8,192 bytes and usually 131,072.
_MOST_HEADERS = 65_536
#: Bytes of a short string, the type that AMQP gives to ids and routing keys.
_MOST_ID = 255
#: Bytes; the most that RabbitMQ takes by default since 4.0. A larger body would close the channel, with all else on it.
_MOST_BODY = 16_777_216

_NOTHING: Mapping[str, str] = MappingProxyType({})


def written(message: Message) -> Any:
    """The AMQP properties of `message`. Raises ValueError for what a broker would misread or refuse, TypeError for a header that is not text."""
    if len(message.body) > _MOST_BODY:
        raise ValueError(f"the body has {len(message.body)} bytes, and a queue takes at most {_MOST_BODY}")
    if len(message.id.encode()) > _MOST_ID:
        raise ValueError(f"the message id has more than {_MOST_ID} bytes")
    if message.headers:
        _check(message.headers)
    return pika.BasicProperties(
        content_type="application/json",
        delivery_mode=DeliveryMode.Persistent.value,
        message_id=message.id,
        headers=dict(message.headers) or None,
    )


def read(properties: Any, body: bytes) -> Message:
    """The message that a delivery carries."""
    headers = properties.headers
    return Message(properties.message_id or "", body, _ours(headers) if headers else _NOTHING)


def _ours(headers: Mapping[str, Any]) -> Mapping[str, str]:
    ours = {name: str(value) for name, value in headers.items() if name.startswith(PREFIX)}
    if "x-first-death-reason" in headers:
        ours.setdefault(REASON, str(headers["x-first-death-reason"]))
    return ours or _NOTHING


def _check(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not name.startswith(PREFIX) or len(name.encode()) > _MOST_ID:
            raise ValueError(
                f"header {name[:64]!r}: its name must start with {PREFIX} and be of {_MOST_ID} bytes at most"
            )
        if not isinstance(value, str):
            raise TypeError(f"header {name!r}: its value must be text")
    if sum(len(name.encode()) + len(value.encode()) + 6 for name, value in headers.items()) > _MOST_HEADERS:
        raise ValueError(f"the headers have more than {_MOST_HEADERS} bytes together")
