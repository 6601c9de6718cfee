"""Checks the page of limits."""

from typing import Any

import pytest

from support.dashboard import Answers, Pages
from support.hostile import HOSTILE, check_harmless

HOLDER = {
    "run_id": "019b1f0c6a7e4d5f",
    "job": "j",
    "worker": "w1",
    "since_ms": 1_765_000_000_000,
    "until_ms": 1_765_000_030_000,
}
KEY = {
    "key": "orders.charge:n:1",
    "of": "customer=acme",
    "running": 3,
    "waiting": 1997,
    "next_ms": None,
    "holders": [HOLDER],
}


def limit(**more: Any) -> dict[str, Any]:
    usual = {
        "stage": "orders.charge",
        "queue": "charges",
        "most": 3,
        "every": None,
        "burst": 3,
        "per": "customer",
    }
    return {**usual, "fair": None, "waiting": 1997, "keys": [KEY], "more": 12, **more}


def test_each_limit_has_its_values_with_who_holds_them_and_how_many_wait(
    pages: Pages, answers: Answers
) -> None:
    rate = limit(
        stage="orders.mail", every="second", most=50, burst=5, per=None, fair="customer", waiting=0, more=0
    )
    rate["keys"] = [
        {
            **KEY,
            "key": "orders.mail:r",
            "of": "",
            "running": 0,
            "waiting": 0,
            "holders": [],
            "next_ms": 1_765_000_000_000,
        }
    ]
    answers.given["GET /limits"] = (200, [rate, limit()])

    text = pages.get("/limits").text

    assert text.index("orders.charge: 3 at once per customer") < text.index(
        "orders.mail: 50 a second, fair by customer"
    )
    assert "1,997 wait" in text and "3 of 3" in text and "12 values more" in text
    assert 'href="/ui/runs/019b1f0c6a7e4d5f"' in text and 'href="/ui/workers/w1"' in text
    assert "the whole stage" in text and "nothing waits" in text
    assert 'href="/ui/queues/charges"' in text


def test_without_a_limit_the_page_shows_how_to_have_one(pages: Pages, answers: Answers) -> None:
    answers.given["GET /limits"] = (200, [])

    assert "limit=AtMost(3)" in pages.get("/limits").text


@pytest.mark.parametrize("text", HOSTILE)
def test_values_of_others_are_harmless(pages: Pages, answers: Answers, text: str) -> None:
    holder = {**HOLDER, "run_id": text or "r", "worker": text}
    key = {**KEY, "of": text, "key": text, "holders": [holder]}
    answers.given["GET /limits"] = (200, [limit(keys=[key])])

    check_harmless(pages.get("/limits").text)
