"""A stage opens jobs for items or followers, and joins them."""

import math
from dataclasses import make_dataclass, replace
from datetime import timedelta
from typing import Any, TypedDict

import msgspec
import pytest
from pydantic import BaseModel, Field

from mousetrap.pipeline import (
    All,
    AnyOf,
    Counts,
    Each,
    Fallback,
    Fallen,
    Gathered,
    Lock,
    ManifestBroken,
    Many,
    Pipeline,
    Stage,
    manifest_of,
    needed,
    pipeline_of,
    read_manifests,
    result_of,
    schema,
    write_manifests,
)
from mousetrap.pipeline.after import After


class Ref(msgspec.Struct, frozen=True):
    url: str


class Text(msgspec.Struct, frozen=True, tag="text"):
    text: str


class Empty(msgspec.Struct, frozen=True, tag="empty"):
    pass


class Both(msgspec.Struct, frozen=True):
    a: str
    b: int


class Typed(TypedDict):
    a: str
    b: int


class Model(BaseModel):
    a: str
    b: int


def stage(name: str, takes: Any = int, gives: Any = int, after: After | None = None, **more: Any) -> Stage:
    return Stage(name=name, queue=f"{name}_queue", input=takes, output=gives, after=after, **more)


def pipeline(*stages: Stage) -> Pipeline:
    return Pipeline(name="papers", description="Reads papers.", stages=stages)


LIST = stage("list", str, Many[Ref])
READ = stage("read", Ref, Text, Each("list"))
SUM = stage("sum", Gathered[Text], int, All("read", need=0.95))
PAPERS = pipeline(LIST, READ, SUM)
SPLIT = stage("split", str, int)
A = stage("a", int, str, "split")
B = stage("b", int, int, "split")
JOIN = stage("join", Both, bytes, All("a", "b"))
FORK = pipeline(SPLIT, A, B, JOIN)
SKIPPING = Lock(name="site", on_conflict="skip")


def names(stages: tuple[Stage, ...]) -> list[str]:
    return [each.name for each in stages]


def test_a_fan_out_is_opened_by_one_stage_and_joined_by_another() -> None:
    (fan,) = PAPERS.fans

    assert (fan.opener, fan.children, fan.last, fan.join, fan.need) == (LIST, (READ,), (READ,), SUM, 0.95)
    assert not fan.is_fork
    assert PAPERS.opened_by(LIST) == PAPERS.ended_by(READ) == fan
    assert PAPERS.opened_by(READ) is PAPERS.ended_by(LIST) is PAPERS.ended_by(SUM) is None
    assert PAPERS.takers(LIST) == (READ,)
    assert PAPERS.takers(READ) == ()
    assert PAPERS.result is int


def test_a_fork_gives_its_output_to_all_that_follow_it() -> None:
    (fan,) = FORK.fans

    assert (fan.opener, fan.children, fan.last, fan.join) == (SPLIT, (A, B), (A, B), JOIN)
    assert fan.is_fork
    assert fan.needed(2) == 2
    assert FORK.takers(SPLIT) == ()
    assert FORK.follower(SPLIT) is None


def test_fan_outs_are_nested_and_branches_fallbacks_and_forks_are_in_them() -> None:
    found = pipeline(
        stage("list", str, Many[int]),
        stage("look", int, int, Each("list"), on_failure=Fallback("regret")),
        stage("open", int, Many[Ref]),
        stage("read", Ref, Text | Empty, Each("open")),
        stage("count", Text, int),
        stage("none", Empty, int, "read"),
        stage("file", Gathered[int], int, All(AnyOf("count", "none"), need=3)),
        stage("a", int, str, "file"),
        stage("b", int, int, "file"),
        stage("join", Both, str, All("a", "b")),
        stage("regret", Fallen[int], str),
        stage("sum", Gathered[str], int, All(AnyOf("join", "regret"), need=0.5)),
    )

    fans = {fan.opener.name: fan for fan in found.fans}
    assert list(fans) == ["list", "open", "file"]
    assert names(fans["list"].last) == ["join", "regret"]
    assert names(fans["open"].last) == ["count", "none"]
    assert fans["open"].need == 3
    assert names(found.ends) == ["sum"]


@pytest.mark.parametrize(
    "contract",
    [
        Both,
        make_dataclass("Both", [("a", str), ("b", int)]),
        Typed,
        Model,
    ],
)
def test_a_join_takes_any_class_with_fields_of_these_names(contract: Any) -> None:
    assert pipeline(SPLIT, A, B, replace(JOIN, input=contract)).fans[0].join is not None


def test_a_fan_out_that_nothing_joins_gives_its_counts() -> None:
    found = pipeline(LIST, READ, stage("store", Text, int))

    (fan,) = found.fans
    assert (fan.join, names(fan.last), fan.needed(7)) == (None, ["store"], 0)
    assert found.result is Counts
    assert result_of(manifest_of(found)) == schema(Counts)


def test_a_run_may_end_before_a_fan_out() -> None:
    found = pipeline(
        stage("look", int, Text | Empty),
        stage("none", Empty, str, "look"),
        stage("list", Text, Many[Ref], "look"),
        stage("read", Ref, int, Each("list")),
    )

    assert found.result == str | Counts
    assert [each["$id"] for each in result_of(manifest_of(found))["anyOf"]]


@pytest.mark.parametrize(
    ("need", "total", "least"),
    [
        (1.0, 7, 7),
        (0.95, 10_000, 9_500),
        (0.5, 3, 2),
        (0.0, 5, 0),
        (0, 5, 0),
        (3, 5, 3),
        (3, 2, 2),
        (1e-6, 5, 1),
    ],
)
def test_need_is_a_share_or_a_number(need: float, total: int, least: int) -> None:
    assert needed(need, total) == least


@pytest.mark.parametrize("need", [1, -1, -0.5, 1.5, math.nan, math.inf, True, "0.5", None, 10**20])
def test_a_need_that_can_be_misread_is_refused(need: Any) -> None:
    with pytest.raises(ValueError, match=r"All\('a'\): need is .*: write "):
        All("a", need=need)


def test_a_join_may_take_counts_alone() -> None:
    counting = replace(SUM, input=Gathered[None], after=All("read", keep=False))
    found = pipeline(LIST, READ, counting)

    assert [fan.keep for fan in found.fans] == [False]
    assert [fan.keep for fan in pipeline_of(manifest_of(found)).fans] == [False]
    assert [it.keep for it in manifest_of(found).stages] == [msgspec.UNSET, msgspec.UNSET, False]


def test_the_jobs_of_a_fan_out_may_have_a_time() -> None:
    minute = timedelta(minutes=1)
    found = pipeline(LIST, READ, replace(SUM, after=All("read", within=minute)))

    assert [fan.within for fan in found.fans] == [minute]
    assert [fan.within for fan in pipeline_of(manifest_of(found)).fans] == [minute]
    assert [it.within for it in manifest_of(found).stages] == [msgspec.UNSET, msgspec.UNSET, 60.0]


def test_a_fork_needs_all() -> None:
    with pytest.raises(ValueError, match="on_failure='skip'"):
        All("a", "b", need=0.5)


@pytest.mark.parametrize(
    "named", [(), ("a", "a"), (AnyOf("a", "b"), "c"), (AnyOf("a", "b"), AnyOf("c", "d"))]
)
def test_all_names_stages_once(named: Any) -> None:
    with pytest.raises(ValueError, match=r"All of .*: name the stage"):
        All(*named)


@pytest.mark.parametrize(
    ("stages", "what"),
    [
        ((stage("a", int, Many[int]),), "'a' gives .*Many.int., and no stage takes its items: .* after=Each.'a'"),
        ((LIST, stage("read", Ref, Text)), "'list' gives .*, and no stage takes its items"),
        ((LIST, stage("read", Ref, Text, Each("list"), lock=SKIPPING), SUM), "'read' is in what 'list' opens, and its lock 'site' has on_conflict=.skip., which cancels the whole run.*on_conflict=.wait.*on_failure=.skip."),
        ((SPLIT, A, stage("b", int, int, "split", lock=SKIPPING), JOIN), "'b' is in what 'split' opens, and its lock"),
        ((stage("a", int, int), stage("b", int, int, Each("a"))), "'b' takes each item of 'a', which gives int: make its output Many"),
        ((LIST, stage("read", Text, int, Each("list"))), "'read' takes each item of 'list', which gives .*Ref.*, but 'read' takes .*Text"),
        ((stage("a", int, int), stage("b", Many[int], int)), "'b' takes .*Many.int.*: take int, and write after=Each"),
        ((LIST, READ, stage("other", Ref, int, Each("list"))), "'read' takes each item of 'list', and 'other' follows it too: let 'other' follow 'read'"),
        ((LIST, READ, stage("other", Ref, int, "list")), "'read' takes each item of 'list', and 'other' follows it too"),
        ((stage("a"), stage("b", Gathered[int], int)), "'b' takes .*Gathered.int.*, and joins nothing: write after=All"),
        ((stage("a", Gathered[int], int),), "'a' takes .*Gathered.int.*, and joins nothing"),
        ((stage("a", int, Gathered[int]),), "'a' gives .*Gathered.int.*, which a join takes and no stage gives"),
        ((stage("a"), stage("b", Gathered[int], int, All("a"))), "'b' joins 'a', which no fan-out leads to: .*Each"),
        ((LIST, READ, stage("sum", Gathered[Ref], int, All("read"))), "'sum' joins 'read', which gives .*Text.*, but takes .*Ref.*: make its input .*Gathered.*Text"),
        ((LIST, READ, stage("sum", list[Text], int, All("read"))), "'sum' joins 'read', .* but takes list.*: make its input"),
        ((LIST, READ, SUM, stage("too", Gathered[Text], int, All("read"))), "'sum' and 'too' both join the fan-out of 'list': join it once"),
        ((LIST, READ, SUM, stage("too", Text, int, "read")), "'sum' joins 'read', and 'too' follows it too: let 'too' follow 'sum'"),
        ((LIST, replace(READ, output=Text | Empty), stage("text", Text, int), stage("none", Empty, int, "read"), stage("sum", Gathered[int], int, All("text"))),
         "'none' ends where jobs are left that 'sum' joins: name it there too, as All.AnyOf.'text', 'none'"),
        ((LIST, replace(READ, on_failure=Fallback("regret")), SUM, stage("regret", Fallen[Ref], Text)), "'regret' ends where jobs are left that 'sum' joins"),
        ((LIST, READ, stage("end", Text, int, "read"), stage("sum", Gathered[int], int, All("end")), stage("x", int, int, AnyOf("sum", "end"))),
         "'x' takes whichever of 'sum' and 'end' comes, and 'end' is in what 'list' opens, where 'sum' is not: let 'x' follow the stage that joins 'end'"),
        ((LIST, replace(READ, output=Many[int]), stage("deep", int, int, Each("read"))), "nothing joins the fan-out of 'read', which is in that of 'list': .*All.'deep'"),
        ((*(stage(f"s{n}", int, Many[int], Each(f"s{n - 1}") if n else None) for n in range(4)), stage("end", int, int, Each("s3"))),
         "'end' is in 4 fan-outs, one inside the other, and 3 are the most"),
        ((replace(LIST, on_failure="skip"), READ, SUM), "'list' gives .*, and what it has opened goes on when it is given up: leave out its on_failure"),
        ((replace(LIST, on_failure=Fallback("regret")), READ, SUM, stage("regret", Fallen[str], int)), "'list' gives .*, and what it has opened goes on"),
        ((LIST, READ, replace(SUM, serializer="msgpack")), "'sum' joins jobs, and its input is JSON: leave out its serializer"),
        ((SPLIT, A, B), "'split' is followed by 'a' and 'b', and it gives .*int.*; where all of them are to run, join them .*All.'a', 'b'"),
        ((SPLIT, A, B, stage("x", str, int, AnyOf("a", "b"))), "'split' is followed by 'a' and 'b', and it gives"),
        ((SPLIT, A, B, JOIN, stage("x", int, int, AnyOf("b", "join"))), "'x' takes whichever of 'b' and 'join' comes, and 'b' is in what 'split' opens, where 'join' is not"),
        ((SPLIT, A, B, stage("c", int, int, "split"), JOIN), "'join' joins 'a' and 'b', and no stage is followed by what leads to these and to nothing else"),
        ((SPLIT, A, JOIN.__class__(name="j", queue="j", input=Both, output=int, after=All("a", "split"))), "'j' joins 'a' and 'split', and no stage is followed"),
        ((SPLIT, A, B, stage("c", int, int, "b"), stage("sum", Gathered[int], int, All("c")), replace(JOIN, after=All("a", "sum"))),
         "'sum' joins 'c' alone, and 'a' and 'b' all follow 'split': name one stage of each branch"),
        ((SPLIT, A, stage("b", int, Many[int], "split"), stage("c", int, int, Each("b")), replace(JOIN, after=All("a", "c"))),
         "'join' joins 'c', which is still in the fan-out of 'b': join that first"),
        ((SPLIT, A, B, stage("c", str, int, "a"), stage("d", str, int, "a"), replace(JOIN, after=All("b", "c"), input=Both)), "'a' is followed by 'c' and 'd'|'d' ends where"),
        ((SPLIT, A, stage("b", str, int, "split"), JOIN), "'split' gives .*int.* to each stage that follows it, .* but 'b' takes .*str"),
        ((stage("s", int, Text | Empty), stage("a", Text, str, "s"), stage("b", Empty, int, "s"), JOIN), "'s' gives .* but 'a' takes .*Text.*: as a run comes to one of them, write AnyOf"),
        ((SPLIT, A, B, replace(JOIN, input=int)), "'join' joins 'a' and 'b', and takes .*int.*, which has no field 'a': make it a class"),
        ((SPLIT, replace(A, output=int), B, JOIN), "whose field 'a' is .*str.*, but 'a' gives .*int.*: make them the same"),
        ((SPLIT, replace(A, on_failure="skip"), B, JOIN), r"whose field 'a' is .*str.*, but 'a' gives .*str \| None|Optional.str"),
        ((SPLIT, A, B, replace(JOIN, input=msgspec.defstruct("Three", [("a", str), ("b", int), ("c", int)]))), "whose field 'c' no stage gives: leave it out"),
        ((SPLIT, A, B, replace(JOIN, input=msgspec.defstruct("Camel", [("a", str), ("b", int)], rename={"a": "x"}))), "has no field 'a'"),
        ((stage("a", after=Each("b")), stage("b", int, Many[int])), "'a' is its first stage and follows nothing"),
        ((LIST, stage("read", Ref, int, Each("lists"))), "'read' follows 'lists', which is no stage of it"),
        ((LIST, stage("sum", Gathered[Text], int, All("read")), READ), "'sum' follows 'read', which comes after it"),
        ((SPLIT, A, B, replace(JOIN, after=All("a", "b", "c"))), "'join' follows 'c', which is no stage of it"),
    ],
)  # fmt: skip
def test_a_graph_that_cannot_run_is_refused_with_the_edge_and_the_fix(
    stages: tuple[Stage, ...], what: str
) -> None:
    with pytest.raises(ValueError, match=rf"pipeline 'papers'.*({what})"):
        pipeline(*stages)


def test_jobs_before_and_after_a_fan_out_may_skip_their_run_at_a_lock() -> None:
    pipeline(replace(LIST, lock=SKIPPING), READ, replace(SUM, lock=SKIPPING))


def test_a_pydantic_field_with_another_name_in_json_is_no_field_of_a_join() -> None:
    class Aliased(BaseModel):
        a: str = Field(alias="x")
        b: int

    with pytest.raises(ValueError, match="has no field 'a'"):
        pipeline(SPLIT, A, B, replace(JOIN, input=Aliased))


@pytest.mark.parametrize("found", [PAPERS, FORK, pipeline(LIST, READ)])
def test_a_graph_comes_back_from_its_manifest(found: Pipeline) -> None:
    (manifest,) = read_manifests(write_manifests({"papers": found}))

    known = pipeline_of(manifest)

    assert manifest == manifest_of(found) == manifest_of(known)
    assert [each.after for each in known.stages] == [each.after for each in found.stages]
    assert [(fan.opener.name, names(fan.last), fan.need) for fan in known.fans] == [
        (fan.opener.name, names(fan.last), fan.need) for fan in found.fans
    ]
    assert schema(known.result) == result_of(manifest)


@pytest.mark.parametrize("found", [PAPERS, FORK, pipeline(LIST, READ)])
def test_a_version_that_knows_no_fan_outs_refuses_the_manifest(found: Pipeline) -> None:
    plain = [
        msgspec.structs.replace(each, edge=msgspec.UNSET, need=msgspec.UNSET)
        for each in manifest_of(found).stages
    ]

    with pytest.raises(ManifestBroken, match="make them the same contract"):
        pipeline_of(msgspec.structs.replace(manifest_of(found), stages=tuple(plain)))


def test_an_edge_of_a_later_version_is_refused_alone() -> None:
    later = msgspec.json.decode(write_manifests({"papers": PAPERS, "fork": replace(FORK, name="fork")}))
    later[1]["stages"][1]["edge"] = "some"

    fork, papers = read_manifests(msgspec.json.encode(later))

    assert pipeline_of(fork).fans
    with pytest.raises(ManifestBroken, match="follows by 'some', which this version does not know"):
        pipeline_of(papers)


@pytest.mark.parametrize(
    ("name", "wrong", "what"),
    [
        ("sum", {"within": 1e300}, "waits for 1e\\+300 s, which is no time"),
        ("sum", {"within": -1.0}, "within is -1 s"),
        ("sum", {"need": 10**20}, "need is 1000"),
        ("read", {"after": ("list", "sum")}, "takes each item of \\('list', 'sum'\\), and not of one stage"),
        ("read", {"after": ()}, "takes each item of \\(\\), and not of one stage"),
    ],
)
def test_what_no_join_can_be_is_refused_in_a_manifest(name: str, wrong: dict[str, Any], what: str) -> None:
    manifest = manifest_of(pipeline(LIST, READ, SUM))
    stages = [
        msgspec.structs.replace(each, **wrong) if each.name == name else each for each in manifest.stages
    ]
    with pytest.raises(ManifestBroken, match=what):
        pipeline_of(msgspec.structs.replace(manifest, stages=tuple(stages)))


def test_what_a_join_takes_has_a_schema_with_the_outputs() -> None:
    found = schema(Gathered[Ref])

    assert found["title"] == "Gathered"
    assert list(found["properties"]) == ["total", "done", "lost", "fan", "outputs"]
    assert found["required"] == ["total", "done", "lost"]
    assert found["properties"]["outputs"]["items"] == {"$ref": "#/$defs/Ref"}
    assert list(found["$defs"]) == ["Ref"]
    assert schema(Many[Ref]) == schema(list[Ref])


def test_a_fallback_of_a_join_takes_what_was_gathered() -> None:
    found = pipeline(
        LIST, READ, replace(SUM, on_failure=Fallback("regret")), stage("regret", Fallen[Gathered[Text]], int)
    )

    assert names(found.ends) == ["sum", "regret"]
