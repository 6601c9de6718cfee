"""What can be a topic's name and a topic's message."""

from typing import Any

import pytest

from mousetrap.job_queue.topics.message import new_message, seconds
from mousetrap.job_queue.topics.names import declared_for
from mousetrap.job_queue.topics.open_claims import OpenClaims


@pytest.mark.parametrize(
    ("name", "declared"),
    [("orders", "orders"), ("Orders_1.eu-west", "Orders_1.eu-west"), ("orders.dead", "orders"), ("7", "7")],
)
def test_a_dead_queue_is_declared_with_its_topic(name: str, declared: str) -> None:
    assert declared_for(name) == declared


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "a b",
        "a/b",
        "a:b",
        "ü",
        "-a",
        "amq.gen",
        "mousetrap.delay.0",
        "a.dead.dead",
        ".dead",
        "a" * 128,
        7,
        "a\n",
    ],
)
def test_a_topic_needs_a_plain_name(name: Any) -> None:
    with pytest.raises(ValueError, match=r"topic name .*: use letters, digits"):
        declared_for(name)


@pytest.mark.parametrize(
    ("value", "headers", "message_id", "text"),
    [
        (iter([1]), None, None, "of type list_iterator is not JSON"),
        (1, {"a": 1}, None, "its value must be text"),
        (1, {"a": "x" * 70_000}, None, "more than 65536 bytes"),
        (1, None, "", "give an id"),
        (1, None, "x" * 256, "more than 255 bytes"),
        (bytes(16_777_217), None, None, "at most 16777216"),
    ],
)
def test_what_cannot_be_a_message_is_refused(
    value: Any, headers: Any, message_id: str | None, text: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=text):
        new_message(value, headers, message_id)


@pytest.mark.parametrize("span", [-1, float("nan"), float("inf")])
def test_a_span_is_a_number_of_seconds(span: float) -> None:
    with pytest.raises(ValueError, match=r"wait=.*: give seconds from 0 up, or a timedelta"):
        seconds("wait", span)


def test_at_least_one_claim_is_possible() -> None:
    with pytest.raises(ValueError, match="max_unacked=0: give 1 or more"):
        OpenClaims(0)
