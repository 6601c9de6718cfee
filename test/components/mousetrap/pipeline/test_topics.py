"""Patterns take topics by the rules of AMQP; wrong ones are refused."""

import itertools
import re
from typing import Any

import pytest

from mousetrap.handlers import chain, task
from mousetrap.pipeline import Pipeline, Stage, TopicInvalid, check_topic, matches, nearest

STAGE = Stage(name="mail", queue="mails", input=str, output=str)


def pipeline(topics: Any) -> Pipeline:
    return Pipeline(name="mails", description="", stages=(STAGE,), topics=topics)


def by_regular_expression(pattern: str, topic: str) -> bool:
    """The same rules in another form: each word with the dot after it, and one dot more behind the topic."""
    parts = {"*": r"[^.]+\.", "#": r"(?:[^.]+\.)*"}
    form = "".join(parts.get(part, re.escape(part) + r"\.") for part in pattern.split("."))
    return re.fullmatch(form, f"{topic}.") is not None


@pytest.mark.parametrize(
    ("pattern", "taken", "others"),
    [
        (
            "orders.created",
            ["orders.created"],
            ["orders", "orders.paid", "orders.created.eu", "Orders.created"],
        ),
        ("orders.*", ["orders.created", "orders.paid"], ["orders", "orders.created.eu", "order.created"]),
        ("*.created", ["orders.created"], ["created", "eu.orders.created"]),
        ("orders.#", ["orders", "orders.created", "orders.created.eu"], ["order", "eu.orders"]),
        ("#.eu", ["eu", "orders.eu", "orders.created.eu"], ["orders.eu.created"]),
        ("#", ["a", "a.b.c"], []),
        ("a.#.z", ["a.z", "a.b.c.z"], ["a", "z", "a.z.b"]),
        ("a.#.*", ["a.b", "a.b.c"], ["a"]),
    ],
)
def test_a_pattern_takes_these_topics_and_no_others(
    pattern: str, taken: list[str], others: list[str]
) -> None:
    assert [topic for topic in taken + others if matches(pattern, topic)] == taken


def test_all_short_patterns_take_what_a_regular_expression_of_the_rules_takes() -> None:
    patterns = [
        ".".join(each) for length in (1, 2, 3, 4) for each in itertools.product("ab*#", repeat=length)
    ]
    topics = [".".join(each) for length in (1, 2, 3, 4) for each in itertools.product("abc", repeat=length)]

    differing = [
        (pattern, topic)
        for pattern in patterns
        for topic in topics
        if matches(pattern, topic) != by_regular_expression(pattern, topic)
    ]

    assert differing == []


def test_a_pattern_of_many_wildcards_costs_no_more_than_its_length_allows() -> None:
    # A matcher that tried each way to share the words out would not end in the life of this test.
    assert not matches(".".join("#*" * 14), ".".join("a" * 13))
    assert matches(".".join("#*" * 14), ".".join("a" * 14))


@pytest.mark.parametrize(
    ("topics", "text"),
    [
        ("orders.*", r"topics is 'orders\.\*': write a tuple, as topics=\('orders\.\*',\)"),
        (["orders.*"], "write a tuple"),
        (("orders.",), r"topics has 'orders\.'"),
        (("ord*",), r"topics has 'ord\*'.* \* is any one and # any number"),
        (("",), "topics has ''"),
        (("a b",), "topics has 'a b'"),
        ((7,), "topics has 7"),
        (("a" * 59,), "at most 58 characters"),
        (("a.b", "a.*", "a.b"), r"topics has 'a\.b' twice"),
    ],
)
def test_a_wrong_pattern_is_refused_where_the_pipeline_is_written(topics: Any, text: str) -> None:
    with pytest.raises(ValueError, match=rf"^pipeline 'mails': .*{text}"):
        pipeline(topics)


@pytest.mark.parametrize("topic", ["", "a.", ".a", "a..b", "orders.*", "#", "a b", "a/b", "ä", "a" * 59])
def test_what_is_no_topic_is_refused_with_the_form(topic: str) -> None:
    with pytest.raises(TopicInvalid, match=r"as orders\.created, at most 58 characters"):
        check_topic(topic)


def test_the_longest_topic_is_a_topic() -> None:
    check_topic("a" * 58)


def test_the_pattern_that_is_most_like_a_topic_is_found() -> None:
    patterns = ["orders.*", "invoices.#", "shipments.eu.sent"]

    assert nearest("order.created", patterns) == "orders.*"
    assert nearest("invoice.sent.late", patterns) == "invoices.#"
    assert nearest("weather", patterns) is None
    assert nearest("orders.created", []) is None


def test_a_task_and_a_chain_take_topics() -> None:
    @task(topics=("orders.*",))
    def mail(order: str) -> str:
        return order

    assert mail.pipeline.topics == ("orders.*",)
    assert chain("mails", mail, topics=("#",)).pipeline.topics == ("#",)
    assert chain("silent", mail).pipeline.topics == ()
