"""A pipeline's stages and arrows are what a picture of it needs."""

import msgspec

from mousetrap.pipeline import All, AnyOf, Each, Fallback, Fallen, Gathered, Level, Many, Pipeline, Stage


class Short(msgspec.Struct, tag="short"):
    text: str


class Long(msgspec.Struct, tag="long"):
    text: str


class Both(msgspec.Struct):
    price: int
    stock: int


def stage(name: str, takes: object, gives: object, **more: object) -> Stage:
    return Stage(name=name, queue=f"{name}_jobs", input=takes, output=gives, **more)  # type: ignore[arg-type]


GRAPH = Pipeline(
    name="graph",
    description="Has every kind of arrow.",
    stages=(
        stage("find", str, Many[str]),
        stage("weigh", str, Short | Long, after=Each("find")),
        stage("leaflet", Short, str, after="weigh"),
        stage("book", Long, str, after="weigh"),
        stage("print", str, int, after=AnyOf("leaflet", "book"), on_failure=Fallback("regret")),
        stage("regret", Fallen[str], int),
        stage("sum", Gathered[int], int, after=All(AnyOf("print", "regret"), need=0.5)),
        stage("price", int, int, after="sum"),
        stage("stock", int, int, after="sum"),
        stage("answer", Both, str, after=All("price", "stock")),
    ),
)


def test_every_arrow_has_its_kind() -> None:
    assert [tuple(arrow) for arrow in GRAPH.arrows] == [
        ("find", "weigh", "each"),
        ("weigh", "leaflet", "branch"),
        ("weigh", "book", "branch"),
        ("leaflet", "print", "next"),
        ("book", "print", "next"),
        ("print", "regret", "fallback"),
        ("print", "sum", "gather"),
        ("regret", "sum", "gather"),
        ("sum", "price", "fork"),
        ("sum", "stock", "fork"),
        ("price", "answer", "join"),
        ("stock", "answer", "join"),
    ]


def test_a_chain_is_arrows_from_each_stage_to_the_next() -> None:
    chain = Pipeline(
        name="chain",
        description="Adds, and prints.",
        stages=(stage("add", int, int), stage("print", int, str)),
    )
    assert [tuple(arrow) for arrow in chain.arrows] == [("add", "print", "next")]


def test_the_levels_of_a_stage_are_the_fans_that_its_jobs_are_in() -> None:
    levels = {stage.name: GRAPH.levels(stage) for stage in GRAPH.stages}

    of_items = (Level("find", "weigh", None),)
    assert levels == {
        **dict.fromkeys(("find", "sum", "answer"), ()),
        **dict.fromkeys(("weigh", "leaflet", "book", "print", "regret"), of_items),
        "price": (Level("sum", "price", 0),),
        "stock": (Level("sum", "stock", 1),),
    }
