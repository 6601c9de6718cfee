"""A selection matches letters, and letters are grouped."""

from dataclasses import replace
from typing import Any

import pytest

from mousetrap.dead_letters import DeadLetter, Selection, group
from mousetrap.dead_letters.selection import matches
from mousetrap.jobs import Message, first_job

JOB = first_job(run_id="r1", pipeline="sums", stage="add", payload=b"1", accepted_ms=1)
LETTER = DeadLetter(
    id="d1", queue="add_q", message=Message("d1", b"1"), job=JOB, believed=True, reason="max-retries",
    error_kind="pkg.errors.Broken", error="The feed answers 503", traceback="", attempts=3, worker="w1", at_ms=1000,
    run_id="r1", pipeline="sums", stage="add",
)  # fmt: skip
FOREIGN = replace(LETTER, job=None, believed=False, at_ms=None, run_id=None, pipeline=None, stage=None)


@pytest.mark.parametrize(
    ("filters", "selected"),
    [
        ({}, True),
        ({"queue": "add_q"}, True),
        ({"queue": "other"}, False),
        ({"ids": frozenset({"d1", "d2"})}, True),
        ({"ids": frozenset({"d2"})}, False),
        ({"reason": "max-retries"}, True),
        ({"reason": "contract"}, False),
        ({"error": "pkg.errors.Broken"}, True),
        ({"error": "Broken"}, True),
        ({"error": "errors.Broken"}, True),
        ({"error": "roken"}, False),
        ({"error": ""}, False),
        ({"text": "the FEED answers"}, True),
        ({"text": "the feed answered"}, False),
        ({"text": ""}, True),
        ({"run": "r1"}, True),
        ({"run": "r2"}, False),
        ({"stage": "add"}, True),
        ({"stage": "double"}, False),
        ({"before_ms": 1001}, True),
        ({"before_ms": 1000}, False),
        ({"after_ms": 1000}, True),
        ({"after_ms": 1001}, False),
        ({"queue": "add_q", "reason": "contract"}, False),
    ],
)
def test_a_letter_is_selected_when_all_filters_match(filters: Any, selected: bool) -> None:
    assert matches(LETTER, Selection(**filters)) is selected


@pytest.mark.parametrize(
    ("filters", "selected"),
    [({"run": "r1"}, False), ({"stage": "add"}, False), ({"before_ms": 1}, True), ({"after_ms": 1}, False)],
)
def test_a_letter_that_is_no_job_is_of_no_run_and_older_than_any_time(filters: Any, selected: bool) -> None:
    assert matches(FOREIGN, Selection(**filters)) is selected


def test_letters_that_died_of_the_same_are_one_group_and_the_largest_comes_first() -> None:
    other = replace(LETTER, reason="contract", at_ms=5)
    newest = replace(LETTER, id="d3", at_ms=3000)

    groups = group([other, replace(LETTER, at_ms=None), LETTER, newest], 3000)

    assert [(it.reason, it.error_kind, it.count, it.oldest_ms, it.newest_ms) for it in groups] == [
        ("max-retries", "pkg.errors.Broken", 3, 1000, 3000),
        ("contract", "pkg.errors.Broken", 1, 5, 5),
    ]
    assert groups[0].example is newest
    assert group([], 3000) == []


def test_a_group_has_its_last_hour_in_pieces_of_five_minutes() -> None:
    now_ms = 7_200_000 + 60_000
    ago = (0, 59_999, 60_001, 61 * 60_000, -300_000, 56 * 60_000)

    (found,) = group([replace(LETTER, at_ms=now_ms - each) for each in ago], now_ms)

    assert found.recent == (1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2), (
        "not what is older, or of a clock that is ahead"
    )


def test_a_group_has_the_texts_that_several_of_its_errors_have() -> None:
    texts = [
        "Nordwind",
        "Ito",
        "Nordwind",
        "Ito",
        "Nordwind",
        "Weber",
        "",
        "",
        *(f"n{it // 2}" for it in range(40)),
    ]

    (found,) = group([replace(LETTER, error=text) for text in texts], 0)

    counts = [(it.text, it.count) for it in found.texts]
    assert counts[:3] == [("Nordwind", 3), ("Ito", 2), ("n0", 2)] and len(counts) == 10
