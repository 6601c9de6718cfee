"""Tests which changes between two versions break what is in flight."""

from typing import Any

import pytest
from msgspec.structs import replace

from mousetrap.contract_changes import Change, Direction, compare
from mousetrap.pipeline import All, Each, Gathered, Many, Pipeline, PipelineManifest, Stage, manifest_of


def pipeline(*stages: dict[str, Any], name: str = "p") -> PipelineManifest:
    made = [Stage(**{"input": int, "output": int, "queue": f"q_{it['name']}", **it}) for it in stages]
    return manifest_of(Pipeline(name=name, description="d", stages=tuple(made)))


OLD = pipeline({"name": "a"}, {"name": "b"})


def breaks(*new: PipelineManifest) -> list[tuple[str, Direction | None, str]]:
    return [(it.stage, it.breaks, it.what.split(":")[0]) for it in compare([OLD], new)]


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ([OLD], []),
        ([], [("", "queued", "the pipeline is removed")]),
        ([OLD, pipeline({"name": "x"}, name="more")], [("", None, "the pipeline is new")]),
        ([pipeline({"name": "a"})], [("b", "queued", "the stage is removed")]),
        (
            [pipeline({"name": "a"}, {"name": "c", "queue": "q_b"})],
            [("b", "queued", "the stage is renamed to c"), ("c", None, "the stage is new")],
        ),
        (
            [pipeline({"name": "a"}, {"name": "b", "queue": "other"})],
            [
                ("b", "queued", "its queue was q_b, and is other"),
                ("b", "rolling", "its queue is other, which no old worker serves"),
            ],
        ),
        (
            [pipeline({"name": "a", "output": float}, {"name": "b", "input": float})],
            [("b", "rolling", "number is written, and integer is read")],
        ),
        (
            [pipeline({"name": "a", "output": bool}, {"name": "b", "input": bool})],
            [
                ("b", "queued", "integer is written, and boolean is read"),
                ("b", "rolling", "boolean is written, and integer is read"),
            ],
        ),
        (
            [
                pipeline(
                    {"name": "a", "output": Many[int]},
                    {"name": "b", "after": Each("a")},
                    {"name": "c", "input": Gathered[int], "after": All("b", need=2)},
                )
            ],
            [
                ("b", None, "it followed the stage before it, and follows each of a"),
                ("c", None, "the stage is new"),
            ],
        ),
        (
            [pipeline({"name": "a"}, {"name": "b", "output": str})],
            [("b", "results", "string is written, and integer is read")],
        ),
        (
            [pipeline({"name": "a", "on_failure": "skip_after"}, {"name": "b"})],
            [
                ("b", "results", "null is written, and integer is read"),
                ("a", None, "a job given up failed its run before, and now was skipped with all after it"),
            ],
        ),
        (
            [pipeline({"name": "a"}, {"name": "b", "serializer": "msgpack"})],
            [("b", None, "its serializer was json, and is msgpack")],
        ),
    ],
)
def test_a_change_is_named_with_its_direction(
    new: list[PipelineManifest], expected: list[tuple[str, str | None, str]]
) -> None:
    assert breaks(*new) == expected


def test_a_serializer_of_ones_own_is_read_by_its_stage_alone() -> None:
    own = replace(OLD, stages=(replace(OLD.stages[0], serializer="mine"), OLD.stages[1]))

    assert [it.breaks for it in compare([OLD], [own])] == [Direction.ROLLING]
    assert [it.breaks for it in compare([own], [OLD])] == [Direction.QUEUED]


def test_each_break_has_advice_and_nothing_else_has() -> None:
    changes: tuple[Change, ...] = compare([OLD], [pipeline({"name": "a"}, {"name": "n"}, name="p")])

    assert {(it.breaks is None, it.advice == "") for it in changes} == {(True, True), (False, False)}


@pytest.mark.parametrize(
    ("need", "what"), [(1.0, "all of b"), (0.5, "all of b (0.5 needed)"), (7, "all of b (7 needed)")]
)
def test_what_a_join_needs_is_named(need: float, what: str) -> None:
    def with_need(need: float) -> PipelineManifest:
        return pipeline(
            {"name": "a", "output": Many[int]},
            {"name": "b", "after": Each("a")},
            {"name": "c", "input": Gathered[int], "after": All("b", need=need)},
        )

    (change,) = compare([with_need(0.9)], [with_need(need)])

    assert change.what == f"it followed all of b (0.9 needed), and follows {what}"
