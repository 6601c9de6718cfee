"""Tests which lists lead to the runs of a filter."""

from typing import Any

import pytest

from mousetrap.run_store import RunFilter
from mousetrap.run_store.run_filter import (
    Hint,
    error_list,
    hints_for,
    narrowest,
    never_matches,
    tag_list,
)
from mousetrap.shapes import RunState

ALL = Hint(("runs",))


@pytest.mark.parametrize(
    ("wanted", "hints"),
    [
        ({}, [ALL]),
        ({"pipeline": "sums"}, [Hint(("runs:sums",))]),
        ({"state": RunState.COMPLETED}, [ALL]),
        ({"state": RunState.QUEUED}, [ALL, Hint(("open:sums", "open:products"))]),
        ({"state": RunState.RUNNING, "pipeline": "sums"}, [Hint(("runs:sums",)), Hint(("open:sums",))]),
        ({"state": RunState.FAILED}, [ALL, Hint(("failed",))]),
        ({"state": RunState.FAILED, "pipeline": "sums"}, [Hint(("runs:sums",)), Hint(("failed:sums",))]),
        ({"repaired": False}, [ALL, Hint(("failed",))]),
        ({"error": "pkg.Broken"}, [ALL, Hint((error_list("Broken"),))]),
        ({"tag": "nightly", "id": "ab"}, [ALL, Hint((tag_list("nightly"),)), Hint(("ids",), "ab")]),
        ({"stage": "add", "worker": "w1"}, [ALL]),
    ],
)
def test_a_filter_has_the_hints_that_lead_to_all_its_runs(wanted: dict[str, Any], hints: list[Hint]) -> None:
    assert list(hints_for(RunFilter(**wanted), ["sums", "products"])) == hints


def test_the_hint_that_names_the_fewest_is_chosen() -> None:
    assert narrowest([5, 2, 9]) == 1
    assert narrowest([1, 0, 0]) == 2


@pytest.mark.parametrize(
    ("wanted", "never"),
    [
        ({"state": RunState.COMPLETED, "error": "Broken"}, True),
        ({"state": RunState.CANCELLED, "error": "Broken"}, False),
        ({"state": RunState.CANCELLED, "repaired": True}, True),
        ({"state": RunState.FAILED, "repaired": True}, False),
        ({"from_ms": 2, "to_ms": 2}, True),
        ({"from_ms": 2, "to_ms": 3}, False),
        ({"to_ms": 0}, False),
    ],
)
def test_what_no_run_can_have_is_known_at_once(wanted: dict[str, Any], never: bool) -> None:
    assert never_matches(RunFilter(**wanted)) == never


def test_hostile_names_have_lists_with_short_names() -> None:
    for name in ("x" * 100_000, "a\n:{b}*", "\ud800", "é" * 500):
        assert len(error_list(name)) <= len("error:4095")
        assert len(tag_list(name)) == len("tag:") + 24
    assert error_list("pkg.Broken") == error_list("Broken")
