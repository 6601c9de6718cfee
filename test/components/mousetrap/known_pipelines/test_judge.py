"""Manifests of several workers are one pipeline, or a contradiction."""

from dataclasses import replace
from typing import Annotated, Any, Literal

import msgspec
import pytest

from mousetrap.known_pipelines import Source, judge
from mousetrap.known_pipelines.judge import Read
from mousetrap.pipeline import (
    All,
    ContractBroken,
    Each,
    Gathered,
    Many,
    Pipeline,
    Stage,
    manifest_of,
    pipeline_of,
    read,
    schema,
)
from mousetrap.schedules import Schedule
from support.published import a_pipeline

SHORT = Annotated[str, msgspec.Meta(max_length=5)]


def source(pipeline: Pipeline, *workers: str, started_ms: int = 1, seen_ms: int = 1) -> Source:
    """The manifests of workers that have this pipeline alone."""
    manifest = manifest_of(pipeline)
    return Source({pipeline.name: Read(manifest, pipeline_of(manifest))}, workers, started_ms, seen_ms)


def test_a_pipeline_that_we_do_not_have_is_the_workers() -> None:
    known = judge({}, [source(a_pipeline(), "w1")])

    assert manifest_of(known.pipelines["words"]) == manifest_of(a_pipeline())
    assert known.contradictions == {}


def test_schedules_are_those_of_all_live_workers_and_each_is_that_of_the_one_that_started_last() -> None:
    def having(worker: str, *schedules: Schedule, started_ms: int) -> Source:
        its = source(a_pipeline(), worker, started_ms=started_ms)
        return replace(its, pipelines={"words": its.pipelines["words"]._replace(schedules=schedules)})

    nightly = Schedule("nightly", pipeline="words", cron="30 2 * * *")
    earlier = Schedule("nightly", pipeline="words", cron="30 1 * * *")
    often = Schedule("often", pipeline="words", cron="* * * * *")
    older, newer = having("old", nightly, often, started_ms=1), having("new", earlier, started_ms=2)
    without = having("without", started_ms=3)

    for order in ([without, newer, older], [older, newer, without]):
        assert judge({}, order).schedules == {"words": (earlier, often)}
    assert judge({}, [without, replace(older, workers=())]).schedules == {"words": ()}
    assert judge({"words": a_pipeline()}, [older]).schedules == {}


def test_our_own_wins_and_a_worker_that_differs_is_named() -> None:
    own = a_pipeline()

    known = judge({"words": own}, [source(a_pipeline(queue="elsewhere"), "w1"), source(a_pipeline(), "w2")])

    assert known.pipelines == {"words": own}
    (difference,) = known.differences
    assert difference.startswith(
        "w1 serves words with count on queue elsewhere as stage 1, and this server has it with count on queue texts, "
    )
    assert known.contradictions == {}


def test_while_contracts_differ_an_input_must_fit_each_and_the_newest_worker_sets_the_limits() -> None:
    older = source(a_pipeline(contract=SHORT, expires_after=5.0), "old", started_ms=1)
    newer = source(a_pipeline(expires_after=9.0), "new", started_ms=2)

    for order in ([older, newer], [newer, older]):
        words = judge({}, order).pipelines["words"]

        assert words.expires_after == 9.0
        assert bytes(read(b'"short"', words.first.input)) == b'"short"'
        with pytest.raises(ContractBroken):
            read(b'"far too long"', words.first.input)
        assert schema(words.stages[1].output) == schema(int)


def test_a_graph_whose_contracts_differ_is_known_in_a_rolling_upgrade() -> None:
    def graph(size: Any, on_failure: Literal["fail", "skip"] = "fail") -> Pipeline:
        def stage(name: str, takes: Any, gives: Any, after: Any = None, **more: Any) -> Stage:
            return Stage(name=name, queue=name, input=takes, output=gives, after=after, **more)

        total = size if on_failure == "fail" else size | None
        both: Any = msgspec.defstruct("Both", [("low", size), ("high", size)])
        items: Any = Many[size]
        gathered: Any = Gathered[size]
        stages = (
            stage("find", str, items),
            stage("read", size, size, Each("find")),
            stage("sum", gathered, size, All("read", need=0.5), on_failure=on_failure),
            stage("low", total, size, "sum"),
            stage("high", total, size, "sum"),
            stage("both", both, size, All("low", "high")),
        )
        return Pipeline(name="papers", description="Reads.", stages=stages)

    for other in (graph(float), graph(int, "skip")):
        for last in (graph(int), other):
            known = judge(
                {}, [source(each, "w", started_ms=1 + (each == last)) for each in (graph(int), other)]
            )

            assert known.contradictions == {}
            assert [fan.opener.name for fan in known.pipelines["papers"].fans] == ["find", "sum"]


def test_a_stage_whose_failures_some_workers_skip_is_known_in_a_rolling_upgrade() -> None:
    first = Stage(name="rate", queue="rates", input=str, output=float)
    pairs: tuple[tuple[Literal["fail", "skip"], Any], ...] = (("fail", float), ("skip", float | None))
    older, newer = (
        Pipeline(
            name="words",
            description="Rates.",
            stages=(
                replace(first, on_failure=on_failure),
                Stage(name="ship", queue="ships", input=takes, output=str),
            ),
        )
        for on_failure, takes in pairs
    )

    for last in (older, newer):
        known = judge({}, [source(each, "w", started_ms=1 + (each is last)) for each in (older, newer)])

        assert known.contradictions == {}
        assert known.pipelines["words"].first.on_failure == "skip"


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (
            a_pipeline(queue="elsewhere"),
            "with count on queue texts as stage 1, and w9 with count on queue elsewhere: stop the worker ",
        ),
        (
            replace(a_pipeline(), stages=a_pipeline().stages[:1]),
            "with keep on queue texts_kept as stage 2, and w9 with none: stop the worker that is not to be, or rename ",
        ),
    ],
)
def test_other_stages_or_queues_are_a_contradiction_that_names_both_the_difference_and_the_fix(
    other: Pipeline, text: str
) -> None:
    known = judge({}, [source(a_pipeline(), "w1", "w2", "w3"), source(other, "w9", started_ms=2)])

    assert known.pipelines == {}
    assert known.contradictions["words"].startswith(f"w3 (and 2 more) serves words {text}")


def test_a_worker_that_has_left_contradicts_none_and_is_enough_alone() -> None:
    left = source(a_pipeline(queue="elsewhere"), seen_ms=9)

    assert judge({}, [left, source(a_pipeline(), "w1")]).pipelines["words"].first.queue == "texts"
    assert judge({}, [left, source(a_pipeline())]).pipelines["words"].first.queue == "elsewhere"


def test_a_contradiction_about_one_pipeline_costs_no_other() -> None:
    sources = [source(a_pipeline(), "w1"), source(a_pipeline(queue="b"), "w2"), source(a_pipeline("x"), "w3")]

    assert set(judge({}, sources).pipelines) == {"x"}


def test_the_topics_are_those_of_the_worker_that_started_last() -> None:
    older = source(a_pipeline(topics=("orders.*",)), "old", started_ms=1)
    newer = source(a_pipeline(topics=("bills.*",)), "new", started_ms=2)

    for order in ([older, newer], [newer, older]):
        assert judge({}, order).pipelines["words"].topics == ("bills.*",)


def test_the_topics_of_contradicted_pipelines_are_known() -> None:
    one, other = a_pipeline(topics=("orders.*",)), a_pipeline(queue="elsewhere", topics=("bills.*",))

    known = judge({}, [source(one, "w1", started_ms=1), source(other, "w2", started_ms=2)])

    assert "words" not in known.pipelines
    assert known.contradicted_topics == {"words": ("orders.*", "bills.*")}
