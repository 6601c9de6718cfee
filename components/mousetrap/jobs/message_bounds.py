"""Checks messages and names the limits of queues, for every broker."""

import math

from mousetrap.jobs.queue import LONGEST_DELAY_S, Message
from mousetrap.jobs.queue_options import QueueOptions

#: The start of every header name. RabbitMQ acts on some other headers: CC and BCC copy, x-death stops a message.
HEADER_PREFIX = "mousetrap-"

#: All headers must fit into one frame, which a broker makes no smaller than 8,192 bytes and usually 131,072.
MAX_HEADERS_BYTES = 65_536
#: The most that AMQP's short string holds, the type of ids and routing keys.
_MAX_ID_BYTES = 255
#: The most that RabbitMQ takes by default since 4.0. A larger body would close the channel, and affect all else on it.
MAX_BODY_BYTES = 16_777_216


def check_message(message: Message) -> None:
    """Raises ValueError for a message that a broker would misread or refuse, TypeError for a header that is not text."""
    if len(message.body) > MAX_BODY_BYTES:
        raise ValueError(
            f"the body has {len(message.body)} bytes, and a queue takes at most {MAX_BODY_BYTES}"
        )
    if len(message.id.encode()) > _MAX_ID_BYTES:
        raise ValueError(f"the message id has more than {_MAX_ID_BYTES} bytes")
    size = 0
    for name, value in message.headers.items():
        if not name.startswith(HEADER_PREFIX) or len(name.encode()) > _MAX_ID_BYTES:
            raise ValueError(
                f"header {name[:64]!r}: its name must start with {HEADER_PREFIX} and be of {_MAX_ID_BYTES} bytes at most"
            )
        if not isinstance(value, str):
            raise TypeError(f"header {name!r}: its value must be text")
        size += len(name.encode()) + len(value.encode()) + 6
    if size > MAX_HEADERS_BYTES:
        raise ValueError(f"the headers have more than {MAX_HEADERS_BYTES} bytes together")


def check_delay(after: float) -> None:
    """Raises ValueError for a delay that no queue can give."""
    if not 0 <= after < math.inf:
        raise ValueError(f"a delay of {after} seconds: give a positive number, or 0 for none")
    if after > LONGEST_DELAY_S:
        raise ValueError(f"a delay of {after:.0f} seconds: the longest possible is {LONGEST_DELAY_S:.0f}")


def limit_reached(ready: int, options: QueueOptions) -> str:
    """Which limit a queue that refuses has reached, by the number of messages that wait in it."""
    # Brokers count a little differently, and prefetched messages may count or not.
    if not options.max_bytes or ready >= 0.9 * options.max_length:
        return length_limit_reached(options.max_length)
    return bytes_limit_reached(options.max_bytes)


def possible_limits(options: QueueOptions) -> str:
    """The limits of a queue, where it is unknown which one it has reached."""
    by_bytes = [bytes_limit_reached(options.max_bytes)] if options.max_bytes else []
    return " or ".join([length_limit_reached(options.max_length), *by_bytes])


def length_limit_reached(max_length: int) -> str:
    """The text for a queue that has as many messages as it may."""
    return f"{max_length} messages wait, as many as MOUSETRAP_QUEUE_MAX_LENGTH allows"


def bytes_limit_reached(max_bytes: int) -> str:
    """The text for a queue that has as many bytes as it may."""
    return f"{max_bytes} bytes wait, as many as MOUSETRAP_QUEUE_MAX_BYTES allows"
