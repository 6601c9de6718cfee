"""A stage may end its way when a job is given up."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from mousetrap.pipeline import (
    All,
    Counts,
    Each,
    Gathered,
    Many,
    Pipeline,
    Stage,
    manifest_of,
    pipeline_of,
    result_of,
    schema,
)


class Both(msgspec.Struct, frozen=True):
    a: int | None
    b: int


def stage(name: str, takes: Any = int, gives: Any = int, after: Any = None, **more: Any) -> Stage:
    return Stage(name=name, queue=name, input=takes, output=gives, after=after, **more)


def pipeline(*stages: Stage) -> Pipeline:
    return Pipeline(name="papers", description="Reads papers.", stages=stages)


FETCH = stage("fetch", int, str, on_failure="skip_after")
LIST = stage("list", int, Many[int])
READ = stage("read", int, str, Each("list"), on_failure="skip_after")
COUNT = stage("count", str, int)
SUM = stage("sum", Gathered[int | None], float, All("count"))


def test_what_follows_takes_the_output_and_the_run_s_result_may_be_null() -> None:
    found = pipeline(FETCH, stage("count", str, int))

    assert found.result == int | None
    assert result_of(manifest_of(found))["anyOf"] == [
        {"$id": "urn:contract:0", "type": "integer"},
        {"$id": "urn:contract:1", "type": "null"},
    ]


def test_a_way_of_a_fan_out_may_end_with_null() -> None:
    assert pipeline(LIST, READ, COUNT, SUM).result is float


def test_a_branch_of_a_fork_may_end_with_null_and_the_other_may_not() -> None:
    stages = (
        stage("split"),
        stage("left", int, str, "split", on_failure="skip_after"),
        stage("a", str, int),
        stage("b", int, int, "split"),
        stage("meet", Both, float, All("a", "b")),
    )
    assert pipeline(*stages).result is float
    with pytest.raises(ValueError, match=r"whose field 'a' is int \| None, but 'a' gives int"):
        pipeline(stages[0], replace(stages[1], on_failure="fail"), *stages[2:])
    with pytest.raises(ValueError, match=r"whose field 'b' is int, but 'b' gives int \| None"):
        pipeline(*stages[:3], replace(stages[3], on_failure="skip_after"), stages[4])


def test_a_way_around_a_fan_out_ends_beside_it() -> None:
    """The inner join takes no null: its jobs are those of the fan-out within."""
    outer = stage("outer", int, Many[int])
    inner = replace(LIST, after=Each("outer"))
    some = stage("some", Gathered[int], str, All("read"), on_failure="skip_after")
    plain = replace(READ, output=int, on_failure="fail")
    stages = (outer, inner, plain, some, COUNT, stage("all", Gathered[int | None], int, All("count")))

    assert pipeline(*stages).result is int


def test_a_join_that_takes_no_null_is_refused_with_the_fix() -> None:
    with pytest.raises(
        ValueError,
        match=r"joins 'count', which gives int \| None, but takes Gathered\[int\]: make its input Gathered\[int \| None\]",
    ):
        pipeline(LIST, READ, COUNT, replace(SUM, input=Gathered[int]))


def test_what_nothing_joins_ends_with_its_counts_all_the_same() -> None:
    assert pipeline(LIST, READ, COUNT).result is Counts


@pytest.mark.parametrize(
    "found", [pipeline(FETCH, stage("count", str, int)), pipeline(LIST, READ, COUNT, SUM)]
)
def test_it_is_in_the_manifest(found: Pipeline) -> None:
    manifest = msgspec.json.decode(msgspec.json.encode(manifest_of(found)), type=type(manifest_of(found)))
    known = pipeline_of(manifest)

    assert [it.on_failure for it in known.stages] == [it.on_failure for it in found.stages]
    assert schema(known.result) == result_of(manifest)
