"""A stage may follow another one than the one before it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypedDict

import msgspec
import pytest

from mousetrap.pipeline import (
    AnyOf,
    Fallback,
    Fallen,
    JsonSchema,
    Pipeline,
    Stage,
    manifest_of,
    pipeline_of,
    predecessors,
    result_of,
    schema,
)


class Short(msgspec.Struct, frozen=True, tag="short"):
    pages: int


class Long(msgspec.Struct, frozen=True, tag="long"):
    pages: int


class Huge(msgspec.Struct, frozen=True, tag="huge"):
    pages: int


class Typed(TypedDict):
    pages: int


def stage(name: str, takes: Any = int, gives: Any = int, after: str | AnyOf | None = None) -> Stage:
    return Stage(name=name, queue=f"{name}_queue", input=takes, output=gives, after=after)


def pipeline(*stages: Stage) -> Pipeline:
    return Pipeline(name="books", description="Prices books.", stages=stages)


PRICE = stage("price", int, Short | Long)
BRIEF = stage("brief", Short, str, after="price")
BOOK = stage("book", Long, str, after="price")
PRINT = stage("print", str, int, after=AnyOf("brief", "book"))
BOOKS = pipeline(PRICE, BRIEF, BOOK, PRINT)


def test_branches_follow_one_stage_and_meet_in_another() -> None:
    assert BOOKS.followers(PRICE) == (BRIEF, BOOK)
    assert BOOKS.followers(BRIEF) == BOOKS.followers(BOOK) == (PRINT,)
    assert BOOKS.ends == (PRINT,)
    assert BOOKS.result is int
    assert BOOKS.follower(PRICE, "book") is BOOK
    assert BOOKS.follower(PRICE) is None
    assert BOOKS.follower(PRICE, "print") is None
    assert predecessors(BOOKS.stages) == {
        "price": (),
        "brief": ("price",),
        "book": ("price",),
        "print": ("brief", "book"),
    }


def test_a_stage_without_after_follows_the_one_before_it() -> None:
    bind = stage("bind", str, str)
    found = pipeline(PRICE, BRIEF, BOOK, bind, stage("print", str, int, after=AnyOf("brief", "bind")))

    assert found.followers(BOOK) == (bind,)


def test_a_run_ends_with_the_branch_that_it_came_to() -> None:
    found = pipeline(PRICE, stage("brief", Short, Short, after="price"), stage("book", Long, Long, "price"))

    assert [end.name for end in found.ends] == ["brief", "book"]
    assert found.result == Short | Long
    assert result_of(manifest_of(found))["anyOf"][1]["$ref"].endswith("Long")


@pytest.mark.parametrize("none", [None, type(None)])
def test_a_member_may_be_taken_with_others_or_be_none(none: Any) -> None:
    found = pipeline(
        stage("price", int, Short | Long | None),
        stage("book", Short | Long, str, after="price"),
        stage("nothing", none, str, after="price"),
    )

    assert [each.name for each in found.followers(found.first)] == ["book", "nothing"]


@pytest.mark.parametrize(
    ("stages", "what"),
    [
        ((stage("a", after="b"), stage("b")), "'a' is its first stage and follows nothing"),
        ((stage("a"), stage("b", after="b")), "'b' follows 'b', which is itself: the stages before it are: a"),
        ((stage("a"), stage("b", after="c")), "'b' follows 'c', which is no stage of it: .* are: a"),
        ((stage("a"), stage("b", after="c"), stage("c", after="b")), "'b' follows 'c', which comes after it"),
        ((stage("a"), stage("b"), stage("c", after=AnyOf("a", "d"))), "'c' follows 'd', which is no stage"),
        ((stage("a"), stage("b", after="a"), stage("c", after="a")), "'b' and 'c', and it gives .*int"),
        (
            (stage("a", gives=Short | list[int]), stage("b", Short, after="a"), stage("c", list[int], after="a")),
            r"list\[int\] is no class",
        ),
        (
            (stage("a", gives=Typed | int), stage("b", Typed, after="a"), stage("c", int, after="a")),
            "Typed.* is no class of a value",
        ),
        (
            (stage("a", gives=Mapping | int), stage("b", Mapping, after="a"), stage("c", int, after="a")),
            "Mapping.* is no class of a value",
        ),
        (
            (stage("a", gives=Any | int), stage("b", Any, after="a"), stage("c", int, after="a")),
            "Any is no class of a value",
        ),
        (
            (stage("a", gives=Short | Long), stage("b", Short, after="a"), stage("c", Short, after="a")),
            "'b' and 'c' both take .*Short",
        ),
        (
            (stage("a", gives=Short | Long | Huge), stage("b", Short, after="a"), stage("c", Long, after="a")),
            "none of them takes .*Huge.*: add a stage that takes .*Huge, with after='a', or leave it out of the output of 'a'",
        ),
        (
            (stage("a", gives=Short | Long | Huge), stage("b", Short)),
            r"make them the same contract, or add a stage that takes .*Long \| .*Huge, with after='a'$",
        ),
        ((stage("a", gives=Short | list[int]), stage("b", Short)), "make them the same contract$"),
        ((stage("a", gives=Short), stage("b", Short | Long)), "make them the same contract$"),
        ((replace(stage("a", gives=Short), on_failure="skip"), stage("b", Short)), "make them the same contract$"),
        (
            (stage("a", gives=Short | Long), stage("b", Short, after="a"), stage("c", Long | Huge, after="a")),
            "'c' takes .*Huge.* too, which 'a' does not give",
        ),
        (
            (PRICE, BRIEF, BOOK, stage("print", int, int, after=AnyOf("brief", "book"))),
            "'brief' gives .*str.*, but 'print' takes .*int",
        ),
        (
            (PRICE, stage("b", Short, str, after="price"), stage("c", Long, bytes, after="price")),
            "the result, which is that of one of its ends, is .* no JSON form",
        ),
    ],
)  # fmt: skip
def test_a_graph_that_cannot_run_is_refused_with_the_edge(stages: tuple[Stage, ...], what: str) -> None:
    with pytest.raises(ValueError, match=rf"pipeline 'books'.*{what}"):
        pipeline(*stages)


def test_a_stage_is_added_as_the_error_advises() -> None:
    with pytest.raises(ValueError, match=r"add a stage that takes .*Long, with after='a'"):
        pipeline(stage("a", gives=Short | Long), stage("b", Short))

    added = pipeline(stage("a", gives=Short | Long), stage("b", Short), stage("c", Long, after="a"))

    assert [each.name for each in added.followers(added.first)] == ["b", "c"]


@pytest.mark.parametrize("names", [(), ("a",), ("a", "b", "a")])
def test_any_of_names_several_stages(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="name two stages or more, each once"):
        AnyOf(*names)


def test_edges_are_in_the_manifest_and_a_chain_s_is_as_it_was() -> None:
    manifest = msgspec.json.decode(msgspec.json.encode(manifest_of(BOOKS)), type=type(manifest_of(BOOKS)))

    known = pipeline_of(manifest)

    assert [each.after for each in known.stages] == [None, "price", "price", AnyOf("brief", "book")]
    assert known.result == JsonSchema(schema(int))
    assert b'"after"' not in msgspec.json.encode(manifest_of(pipeline(stage("a"), stage("b"))))


def test_ends_with_the_same_contract_give_one_result() -> None:
    found = pipeline(replace(stage("a"), on_failure=Fallback("b")), stage("b", Fallen[int]))

    assert result_of(manifest_of(found)) == schema(int)
