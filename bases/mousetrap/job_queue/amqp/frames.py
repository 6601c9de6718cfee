"""Encodes and decodes whole messages of our own form, in one step.

pika does it frame by frame and field by field, at several times the cost.
"""

import struct
from collections.abc import Mapping
from functools import lru_cache

import msgspec
from pika.frame import Method
from pika.spec import FRAME_BODY, FRAME_END, FRAME_HEADER, FRAME_METHOD, Basic

from mousetrap.jobs import (
    DEFAULT_PRIORITY,
    HEADER_PREFIX,
    MAX_BODY_BYTES,
    MAX_HEADERS_BYTES,
    Message,
    check_message,
)

#: The start of every frame: its kind, its channel, and its size without this start and the end mark.
_FRAME = struct.Struct(">BHL")
BEGIN = _FRAME.size
_END = bytes([FRAME_END])
#: A header frame up to which properties follow: as above, then class, weight, and the size of the body.
_HEADER_START = struct.Struct(">BHLHHQ")
#: The end mark of a frame, and the start of the next.
_NEXT = struct.Struct(">BBHL")
#: The same, and which properties follow.
_HEADER = struct.Struct(">BHLHHQH")
_DELIVERED = struct.Struct(">QB")
_LONG = struct.Struct(">L")
_TIME = struct.Struct(">Q")
#: A whole frame that acknowledges: its start, class and method, the tag, whether it is for all up to it, and the end mark.
_ACK = struct.Struct(">BHLHHQBB")
_ACK_SIZE, _BASIC, _ACK_METHOD = 13, 60, 80
#: A method frame that asks whether a queue is there, up to its name: its start, class and method, two bytes without a meaning.
_ASK = struct.Struct(">BHLHHH")
#: After the name: passive, no further argument, and the end mark.
_ASK_END = b"\x01\x00\x00\x00\x00" + _END
_QUEUE, _DECLARE = 50, 10
#: The start of its answer, after the frame's own start; and its end: messages and consumers.
_DECLARED = b"\x00\x32\x00\x0b"
_COUNTS = struct.Struct(">LL")

#: Content type, delivery mode, priority, message id and time, without headers and with them.
_BARE, _WITH_HEADERS = 0x98C0, 0xB8C0
#: The time, which is the last property; other senders, and our earlier versions, send none.
_TIMED = 0x0040
#: The priority, which comes after the delivery mode; ours has one where it is not the default.
_PRIORITY = 0x0800
_OPTIONAL = _TIMED | _PRIORITY
_JSON = b"\x10application/json"
_PERSISTENT = b"\x02"
_OURS = HEADER_PREFIX.encode()

#: The most that AMQP's short string holds, the type of a queue's name.
MAX_NAME_BYTES = 255

#: Above this, one step saves nothing.
_MAX_BODY_BYTES = 65_536


class Delivered(msgspec.Struct, frozen=True):
    """One delivered message, and where in the data it ends."""

    tag: int
    redelivered: bool
    message: Message
    #: Seconds since 1970, when the message began to wait in its queue; 0 where that is unknown.
    since: int
    end: int


def begin(data: bytes, start: int = 0) -> tuple[int, int, int]:
    """Kind, channel and size of the frame that begins at `start`. Raises EOFError while that is incomplete."""
    try:
        kind, channel, size = _FRAME.unpack_from(data, start)
    except struct.error:
        raise EOFError from None
    return kind, channel, size


def end(data: bytes, start: int = 0) -> int:
    """Where the frame that begins at `start` ends. Raises EOFError while it is incomplete."""
    end = start + BEGIN + begin(data, start)[2] + 1
    if end > len(data):
        raise EOFError
    return end


# One function, since a call would cost as much as the work in it.
def properties(message: Message, since: int) -> bytes:
    """The properties of a header frame: JSON, persistent, with the message's id, its headers and this time.

    Raises as `check_message` does. Encoding meets all that it looks for, so only a message that does not fit is looked
    through a second time, for the text.
    """
    table = b""
    try:
        id = message.id.encode()
        for name, value in message.headers.items():
            text = value.encode()
            table += b"".join((_text_named(name), _LONG.pack(len(text)), text))
        end = bytes((len(id),)) + id + _TIME.pack(since)
        mode = _PERSISTENT
        if message.priority != DEFAULT_PRIORITY:
            mode += bytes((message.priority,))
        if len(table) > MAX_HEADERS_BYTES or len(message.body) > MAX_BODY_BYTES:
            raise ValueError(message.id)
    except (AttributeError, ValueError):
        check_message(message)
        raise
    bare, with_headers = (b"\x90\xc0", b"\xb0\xc0") if mode is _PERSISTENT else (b"\x98\xc0", b"\xb8\xc0")
    if not table:
        return bare + _JSON + mode + end
    return with_headers + _JSON + _LONG.pack(len(table)) + table + mode + end


@lru_cache(maxsize=64)
def _text_named(name: str) -> bytes:
    """The start of a header that holds text. Raises ValueError for a name that is not of ours."""
    short = name.encode()
    if not short.startswith(_OURS):
        raise ValueError(name)
    return bytes((len(short),)) + short + b"S"


def publish(channel: int, exchange: str, key: str, properties: bytes, body: bytes, max_body: int) -> bytes:
    """The frames that publish a message as mandatory; no frame has more than `max_body` bytes of the body."""
    size = len(body)
    header = _HEADER_START.pack(FRAME_HEADER, channel, 12 + len(properties), _BASIC, 0, size)
    parts = [_publish_method(channel, exchange, key), header, properties]
    for start in range(0, size, max_body):
        part = body[start : start + max_body]
        parts += (_NEXT.pack(FRAME_END, FRAME_BODY, channel, len(part)), part)
    parts.append(_END)
    return b"".join(parts)


@lru_cache(maxsize=1024)
def _publish_method(channel: int, exchange: str, key: str) -> bytes:
    method = Basic.Publish(exchange=exchange, routing_key=key, mandatory=True)
    marshalled: bytes = Method(channel, method).marshal()
    return marshalled


def acknowledge(channel: int, tag: int, multiple: bool) -> bytes:
    """The frame that acknowledges one delivery, or with `multiple` all up to it."""
    return _ACK.pack(FRAME_METHOD, channel, _ACK_SIZE, _BASIC, _ACK_METHOD, tag, multiple, FRAME_END)


def read_confirm(data: bytes, start: int, end: int) -> tuple[int, bool] | None:
    """The tag that the frame there confirms, and whether all up to it; None for another frame."""
    if end - start != _ACK.size:
        return None
    _, _, _, kind, method, tag, multiple, mark = _ACK.unpack_from(data, start)
    if (kind, method, mark) != (_BASIC, _ACK_METHOD, FRAME_END):
        return None
    return tag, bool(multiple & 1)


def ask_counts(channel: int, queue: str) -> bytes:
    """The frame that asks how many messages and consumers a queue has. Raises ValueError for a name of over 255 bytes."""
    name = queue.encode()
    size = 6 + 1 + len(name) + len(_ASK_END) - 1
    return b"".join(
        (
            _ASK.pack(FRAME_METHOD, channel, size, _QUEUE, _DECLARE, 0),
            bytes((len(name),)),
            name,
            _ASK_END,
        )
    )


def read_counts(data: bytes, start: int, end: int) -> tuple[int, int] | None:
    """Messages and consumers, as the frame there reports them; None for another frame."""
    if not data.startswith(_DECLARED, start + BEGIN) or data[end - 1] != FRAME_END:
        return None
    ready, consumers = _COUNTS.unpack_from(data, end - 1 - _COUNTS.size)
    return ready, consumers


def delivery_start(consumer_tag: str) -> bytes:
    """The start of a method frame that delivers to that consumer, after the frame's own start."""
    tag = consumer_tag.encode()
    return b"\x00\x3c\x00\x3c" + bytes((len(tag),)) + tag


# One function, since a call would cost as much as the work in it.
def read_delivery(data: bytes, start: int, method_start: bytes) -> Delivered | None:
    """The message whose method frame is at `start` and continues with `method_start`; None when it is of another form.

    Raises EOFError while it is incomplete.
    """
    try:
        _, _, size = _FRAME.unpack_from(data, start)
        place = start + BEGIN + len(method_start)
        tag, redelivered = _DELIVERED.unpack_from(data, place)
        header = start + BEGIN + size + 1
        kind, _, header_size, _, _, body_size, flags = _HEADER.unpack_from(data, header)
        if kind != FRAME_HEADER or body_size > _MAX_BODY_BYTES:
            return None
        body_frame = header + BEGIN + header_size + 1
        body = body_frame + BEGIN
        end = body + body_size + 1 if body_size else body_frame
        if end > len(data):
            raise EOFError
        if body_size and _FRAME.unpack_from(data, body_frame)[::2] != (FRAME_BODY, body_size):
            return None
    except struct.error:
        raise EOFError from None
    if not data[header - 1] == data[body_frame - 1] == data[end - 1] == FRAME_END:
        return None
    read = _read_properties(data, header + _HEADER.size, body_frame - 1, flags)
    if read is None:
        return None
    message_id, headers, since, priority = read
    message = Message(message_id, data[body : body + body_size], headers, priority)
    return Delivered(tag, bool(redelivered), message, since, end)


def _read_properties(
    data: bytes, place: int, end: int, flags: int
) -> tuple[str, Mapping[str, str], int, int] | None:
    if flags | _OPTIONAL not in (_BARE, _WITH_HEADERS) or not data.startswith(_JSON, place):
        return None
    place += len(_JSON)
    headers: dict[str, str] = {}
    since = 0
    try:
        if flags & _TIMED:
            end -= _TIME.size
            (since,) = _TIME.unpack_from(data, end)
        if flags | _OPTIONAL == _WITH_HEADERS:
            (size,) = _LONG.unpack_from(data, place)
            place += 4
            table_end = place + size
            while place < table_end:
                value = place + 1 + data[place]
                if data[value] != 0x53:  # S, a text
                    return None
                (size,) = _LONG.unpack_from(data, value + 1)
                if data.startswith(_OURS, place + 1):
                    headers[data[place + 1 : value].decode()] = data[value + 5 : value + 5 + size].decode()
                place = value + 5 + size
        # The delivery mode is skipped: it concerns the broker that stores the message.
        message_id, priority = place + 2, DEFAULT_PRIORITY
        if flags & _PRIORITY:
            message_id, priority = place + 3, data[place + 1]
        if data[message_id - 1] != end - message_id:
            return None
        return data[message_id:end].decode(), headers, since, priority
    except (UnicodeDecodeError, IndexError, struct.error):
        return None
