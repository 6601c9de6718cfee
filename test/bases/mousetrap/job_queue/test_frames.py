"""Frames written in one step, and deliveries read in one step."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import BasicProperties
from pika.frame import Body, Header, Method, decode_frame
from pika.spec import Basic
from pika.spec import Queue as QueueMethod

from mousetrap.job_queue.amqp import frames
from mousetrap.jobs import (
    DEFAULT_PRIORITY,
    HIGHEST_PRIORITY,
    LOWEST_PRIORITY,
    MAX_BODY_BYTES,
    MAX_HEADERS_BYTES,
    Message,
    check_message,
)

MINE = frames.delivery_start("me")
texts = st.text(max_size=60)
priorities = st.integers(LOWEST_PRIORITY, HIGHEST_PRIORITY)
times = st.integers(0, (1 << 64) - 1)
headers = st.dictionaries(st.text(max_size=20).map(lambda name: f"mousetrap-{name}"), texts, max_size=3)


@given(
    st.integers(1, 9),
    texts,
    texts,
    texts,
    headers,
    times,
    st.binary(max_size=300),
    st.integers(1, 100),
    priorities,
)
def test_what_is_published_in_one_step_is_what_pika_reads(
    channel: int,
    exchange: str,
    key: str,
    name: str,
    headers: dict[str, str],
    since: int,
    body: bytes,
    most: int,
    priority: int,
) -> None:
    properties = frames.properties(Message(name, body, headers, priority), since)

    method, header, *parts = decoded(frames.publish(channel, exchange, key, properties, body, most))

    assert (method.method.exchange, method.method.routing_key, method.method.mandatory) == (
        exchange,
        key,
        True,
    )
    assert {frame.channel_number for frame in (method, header, *parts)} == {channel}
    assert vars(header.properties) == vars(as_pika_has_it(name, headers, since, priority))
    assert header.body_size == len(body)
    assert b"".join(part.fragment for part in parts) == body
    assert all(len(part.fragment) <= most for part in parts)


@given(st.integers(1, 9), st.text(max_size=60), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_queue_is_asked_for_and_answered_as_pika_writes_it(
    channel: int, queue: str, ready: int, consumers: int
) -> None:
    (asked,) = decoded(frames.ask_counts(channel, queue))
    answer = Method(channel, QueueMethod.DeclareOk(queue, ready, consumers)).marshal()
    other = Method(channel, Basic.ConsumeOk("x" * 20)).marshal()

    assert frames.ask_counts(channel, queue) == Method(channel, asked.method).marshal()
    assert (asked.method.queue, asked.method.passive, asked.channel_number) == (queue, True, channel)
    assert frames.read_counts(b"x" + answer, 1, len(answer) + 1) == (ready, consumers)
    assert frames.read_counts(other, 0, len(other)) is None


UNFIT = [
    Message("x" * 256, b""),
    Message("ä" * 128, b""),
    Message("\udc80", b""),
    Message("id", bytes(MAX_BODY_BYTES + 1)),
    Message("id", b"", {"CC": "elsewhere"}),
    Message("id", b"", {f"mousetrap-{'x' * 255}": "name"}),
    Message("id", b"", {"mousetrap-a": 1}),  # type: ignore[dict-item]
    Message("id", b"", {"mousetrap-a": b"bytes"}),  # type: ignore[dict-item]
    Message("id", b"", {"mousetrap-a": "x" * (MAX_HEADERS_BYTES - 11 - 6 + 1)}),
]


@pytest.mark.parametrize("message", UNFIT, ids=range(len(UNFIT)))
def test_a_message_that_does_not_fit_is_refused_as_on_every_broker(message: Message) -> None:
    with pytest.raises((TypeError, ValueError)) as everywhere:
        check_message(message)

    with pytest.raises(everywhere.type) as here:
        frames.properties(message, 0)

    assert str(here.value) == str(everywhere.value)


@pytest.mark.parametrize(
    "message",
    [
        Message("x" * 255, bytes(MAX_BODY_BYTES)),
        Message("id", b"", {"mousetrap-a": "x" * (MAX_HEADERS_BYTES - 11 - 6)}),
        Message("id", b"", {f"mousetrap-{'x' * 245}": ""}),
    ],
    ids=["id and body", "headers", "name"],
)
def test_a_message_that_just_fits_is_not_refused(message: Message) -> None:
    check_message(message)

    assert frames.properties(message, 0)


@given(
    st.integers(1, 1 << 63),
    st.booleans(),
    texts,
    headers,
    times | st.none(),
    st.binary(max_size=300),
    st.binary(max_size=9),
    priorities,
)
def test_a_delivery_of_our_form_is_read_in_one_step(
    tag: int,
    redelivered: bool,
    name: str,
    headers: dict[str, str],
    since: int | None,
    body: bytes,
    more: bytes,
    priority: int,
) -> None:
    properties = as_pika_has_it(name, headers, since, priority)
    before, data = b"before", delivery(properties, body, tag, redelivered)

    read = frames.read_delivery(before + data + more, len(before), MINE)

    assert read is not None
    assert (read.tag, read.redelivered, read.end) == (tag, redelivered, len(before + data))
    assert read.since == (since or 0)
    assert read.message == Message(name, body, headers, priority)


def test_a_delivery_that_is_not_there_whole_is_waited_for() -> None:
    data = delivery(as_pika_has_it("id", {"mousetrap-a": "b"}), b"body")

    for there in range(len(MINE) + 7, len(data)):
        with pytest.raises(EOFError):
            frames.read_delivery(data[:there], 0, MINE)


@pytest.mark.parametrize(
    "properties",
    [
        BasicProperties(),
        BasicProperties(message_id="id"),
        BasicProperties(content_type="text/plain", delivery_mode=2, message_id="id"),
        BasicProperties(content_type="application/json", delivery_mode=2, message_id="id", expiration="1"),
        BasicProperties(
            "application/json", headers={"x-delivery-count": 3}, delivery_mode=2, message_id="id"
        ),
        BasicProperties(
            "application/json", headers={"x-death": [{"queue": "q"}]}, delivery_mode=2, message_id="id"
        ),
    ],
)
def test_a_delivery_of_another_form_is_passed_to_pika(properties: BasicProperties) -> None:
    assert frames.read_delivery(delivery(properties, b"body"), 0, MINE) is None


def test_a_body_of_several_frames_is_passed_to_pika() -> None:
    whole = delivery(as_pika_has_it("id", {}), b"body")
    start = len(whole) - len(Body(1, b"body").marshal())

    split = whole[:start] + Body(1, b"bo").marshal() + Body(1, b"dy").marshal()

    assert frames.read_delivery(split, 0, MINE) is None


def test_headers_that_are_not_ours_do_not_pass() -> None:
    properties = as_pika_has_it("id", {"mousetrap-a": "b", "x-first-death-reason": "expired"})

    read = frames.read_delivery(delivery(properties, b""), 0, MINE)

    assert read is not None
    assert read.message.headers == {"mousetrap-a": "b"}


@given(st.integers(0), st.integers(0, 255))
def test_noise_in_a_delivery_raises_nothing_that_would_cut_the_connection(place: int, noise: int) -> None:
    data = bytearray(delivery(as_pika_has_it("id", {"mousetrap-a": "bcd"}), b"body"))
    data[place % len(data)] = noise

    with suppress(EOFError):  # its size field is larger than the frame
        frames.read_delivery(bytes(data), 0, MINE)


def as_pika_has_it(
    name: str, headers: dict[str, str], since: int | None = 7, priority: int = DEFAULT_PRIORITY
) -> BasicProperties:
    return BasicProperties(
        "application/json",
        headers=headers or None,
        delivery_mode=2,
        priority=None if priority == DEFAULT_PRIORITY else priority,
        message_id=name,
        timestamp=since,
    )


def delivery(properties: BasicProperties, body: bytes, tag: int = 1, redelivered: bool = False) -> bytes:
    """The frames of one delivery, as pika writes them."""
    method = Basic.Deliver("me", tag, redelivered, "mousetrap.jobs", "queue")
    written = [Method(1, method).marshal(), Header(1, len(body), properties).marshal()]
    return b"".join([*written, Body(1, body).marshal() if body else b""])


def decoded(data: bytes) -> Sequence[Any]:
    found = []
    while data:
        size, frame = decode_frame(data)
        found.append(frame)
        data = data[size:]
    return found


@given(st.integers(1, 65_535), st.integers(1, (1 << 64) - 1), st.booleans())
def test_an_acknowledgement_written_in_one_step_is_what_pika_writes(
    channel: int, tag: int, multiple: bool
) -> None:
    written = frames.acknowledge(channel, tag, multiple)

    assert written == Method(channel, Basic.Ack(tag, multiple)).marshal()
    assert frames.read_confirm(b"x" + written, 1, 1 + len(written)) == (tag, multiple)


@pytest.mark.parametrize(
    "method", [Basic.Nack(7, True), Basic.QosOk(), Basic.Return(312, "NO_ROUTE", "", "q"), Basic.Reject(7)]
)
def test_another_frame_is_no_confirm(method: Any) -> None:
    written = Method(1, method).marshal()

    assert frames.read_confirm(written, 0, len(written)) is None
