"""Checks which silent workers are replaced, and who takes slots."""

from collections.abc import Iterable
from typing import Any

import msgspec

from mousetrap.dashboard.crews import replaced, taken_by
from mousetrap.shapes import Worker
from support.dashboard_ops import worker


def workers(*facts: dict[str, Any]) -> Iterable[Worker]:
    return [msgspec.convert(worker(**each), Worker) for each in facts]


def test_a_silent_worker_is_replaced_once_each_stage_of_it_has_a_newer_one() -> None:
    silent = {"name": "old", "state": "stale", "stages": ["a.x", "a.y"], "seen_ms": 100}
    newer = {"name": "new", "stages": ["a.x"], "started_ms": 101}
    other = {"name": "other", "stages": ["a.y"], "started_ms": 102}

    assert replaced(workers(silent, newer)) == frozenset()
    assert replaced(workers(silent, newer, {**other, "state": "stale", "seen_ms": 103})) == frozenset()
    assert replaced(workers(silent, newer, {**other, "started_ms": 99})) == frozenset(), "it was there before"
    assert replaced(workers(silent, newer, other)) == {"old"}


def test_slots_are_taken_where_none_is_free_and_none_has_a_job_of_the_queue() -> None:
    full = {"queues": ["prices", "pages"], "concurrency": 4, "running": 4}
    of_others = {**full, "running_by_stage": {"b.read": 3, "b.list": 1}}

    assert taken_by("prices", ["a.price"], workers(of_others)) == {"b.read": 3, "b.list": 1}
    assert not taken_by("prices", ["a.price"], workers({**of_others, "running": 3})), "one slot is free"
    assert not taken_by("prices", ["a.price", "b.list"], workers(of_others)), "one runs a job of it"
    assert not taken_by("other", ["a.price"], workers(of_others)), "these do not serve it"
    assert not taken_by("prices", ["a.price"], workers({**of_others, "state": "stale"})), "none is there"
