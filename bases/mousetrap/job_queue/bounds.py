"""Refuses a message that one broker or another would misread or refuse, whichever it is for."""

from collections.abc import Mapping

from mousetrap.jobs import Message

#: RabbitMQ acts on some headers (CC and BCC copy, x-death stops a message), so that only these names are let through.
PREFIX = "mousetrap-"

#: Bytes. All headers must fit into one frame, which a broker makes no smaller than 8,192 bytes and usually 131,072.
_MOST_HEADERS = 65_536
#: Bytes of a short string, the type that AMQP gives to ids and routing keys.
_MOST_ID = 255
#: Bytes; the most that RabbitMQ takes by default since 4.0. A larger body would close the channel, with all else on it.
_MOST_BODY = 16_777_216


def check(message: Message) -> None:
    """Raises ValueError for what a broker would misread or refuse, TypeError for a header that is not text."""
    if len(message.body) > _MOST_BODY:
        raise ValueError(f"the body has {len(message.body)} bytes, and a queue takes at most {_MOST_BODY}")
    if len(message.id.encode()) > _MOST_ID:
        raise ValueError(f"the message id has more than {_MOST_ID} bytes")
    if message.headers:
        _check_headers(message.headers)


def _check_headers(headers: Mapping[str, str]) -> None:
    size = 0
    for name, value in headers.items():
        if not name.startswith(PREFIX) or len(name.encode()) > _MOST_ID:
            raise ValueError(
                f"header {name[:64]!r}: its name must start with {PREFIX} and be of {_MOST_ID} bytes at most"
            )
        if not isinstance(value, str):
            raise TypeError(f"header {name!r}: its value must be text")
        size += len(name.encode()) + len(value.encode()) + 6
    if size > _MOST_HEADERS:
        raise ValueError(f"the headers have more than {_MOST_HEADERS} bytes together")
