"""Graphs on one line."""

import pytest
from msgspec import Struct

from mousetrap.cli.graph_line import graph_line
from mousetrap.pipeline import All, AnyOf, Each, Fallback, Fallen, Gathered, Many, Pipeline, Stage


class Short(Struct, tag="short"):
    text: str


class Long(Struct, tag="long"):
    text: str


class Both(Struct):
    price: str
    stock: str


def stage(name: str, takes: object = str, gives: object = str, **more: object) -> Stage:
    return Stage(name=name, queue=f"q_{name}", input=takes, output=gives, **more)  # type: ignore[arg-type]


WEIGH = stage("weigh", gives=Short | Long)
LEAFLET, BOOK = stage("leaflet", Short, after="weigh"), stage("book", Long, after="weigh")
FIND = stage("find", gives=Many[str])


@pytest.mark.parametrize(
    ("line", "stages"),
    [
        ("a", [stage("a")]),
        ("a -> b -> c", [stage("a"), stage("b"), stage("c")]),
        (
            "weigh -> leaflet or book -> print",
            [WEIGH, LEAFLET, BOOK, stage("print", after=AnyOf("leaflet", "book"))],
        ),
        ("weigh -> leaflet or book; book -> bind", [WEIGH, LEAFLET, BOOK, stage("bind", after="book")]),
        (
            "look -> price and stock -> answer -> print",
            [
                *(stage("look"), stage("price", after="look"), stage("stock", after="look")),
                *(stage("answer", Both, after=All("price", "stock")), stage("print")),
            ],
        ),
        (
            "look -> price and count; count -> stock; price and stock -> answer",
            [
                *(stage("look"), stage("price", after="look"), stage("count", after="look"), stage("stock")),
                stage("answer", Both, after=All("price", "stock")),
            ],
        ),
        (
            "find -> each item: read -> all items: sum",
            [FIND, stage("read", after=Each("find")), stage("sum", Gathered[str], after=All("read"))],
        ),
        (
            "find -> each item: read; read given up -> regret; read or regret -> all items: sum",
            [
                *(FIND, stage("read", after=Each("find"), on_failure=Fallback("regret"))),
                stage("regret", Fallen[str]),
                stage("sum", Gathered[str], after=All(AnyOf("read", "regret"))),
            ],
        ),
        (
            "rate -> ship; rate or ship given up -> regret",
            [
                stage("rate", on_failure=Fallback("regret")),
                stage("ship", on_failure=Fallback("regret")),
                stage("regret", Fallen[str]),
            ],
        ),
    ],
)
def test_a_graph_is_one_line_of_what_leads_where(line: str, stages: list[Stage]) -> None:
    pipeline = Pipeline(name="p", description="Does it.", stages=tuple(stages))

    assert graph_line(pipeline, str) == line


def test_a_stage_is_described_where_it_comes_first() -> None:
    stages = (WEIGH, LEAFLET, BOOK, stage("bind", after="book"))
    pipeline = Pipeline(name="p", description="Does it.", stages=stages)

    assert graph_line(pipeline, lambda name: f"[{name}]") == "[weigh] -> [leaflet] or [book]; book -> [bind]"
