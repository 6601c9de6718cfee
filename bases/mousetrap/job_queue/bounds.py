"""Refuses a message that one broker or another would misread or refuse, whichever it is for."""

from collections.abc import Mapping

from mousetrap.job_queue.options import QueueOptions
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


def bound_met(ready: int, options: QueueOptions) -> str:
    """Which bound a queue that refuses has met, by how many messages wait in it."""
    # Brokers count a little differently, and what is taken ahead may count or not.
    if not options.max_bytes or ready >= 0.9 * options.max_length:
        return length_met(options.max_length)
    return bytes_met(options.max_bytes)


def any_bound(options: QueueOptions) -> str:
    """The bounds of a queue, where it is not known which one it has met."""
    return " or ".join(
        [length_met(options.max_length), *([bytes_met(options.max_bytes)] if options.max_bytes else [])]
    )


def length_met(most: int) -> str:
    """That a queue holds as many messages as it may."""
    return f"{most} messages wait, as many as MOUSETRAP_QUEUE_MAX_LENGTH allows"


def bytes_met(most: int) -> str:
    """That a queue holds as many bytes as it may."""
    return f"{most} bytes wait, as many as MOUSETRAP_QUEUE_MAX_BYTES allows"


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
