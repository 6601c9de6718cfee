"""Graphs that are drawn give what plain calls give."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mousetrap.pipeline import manifest_of, pipeline_of
from mousetrap.testing import run
from support.graphs import Lost, bindings, parts, result


@settings(max_examples=100, deadline=None)
@given(parts(), st.integers(0, 40))
def test_a_graph_gives_what_plain_calls_give(part: Any, n: int) -> None:
    try:
        expected: Any = result(part, n)
    except Lost:
        expected = None
    try:
        given_back: Any = run(bindings(part), n)
    except Exception:  # noqa: BLE001  of a lost job, or of too few
        given_back = None

    assert given_back == expected


@settings(max_examples=100, deadline=None)
@given(parts())
def test_a_graph_comes_back_from_its_manifest(part: Any) -> None:
    pipeline = bindings(part)[0].pipeline

    known = pipeline_of(manifest_of(pipeline))

    assert manifest_of(known) == manifest_of(pipeline)
    assert [(fan.opener.name, [it.name for it in fan.last]) for fan in known.fans] == [
        (fan.opener.name, [it.name for it in fan.last]) for fan in pipeline.fans
    ]
