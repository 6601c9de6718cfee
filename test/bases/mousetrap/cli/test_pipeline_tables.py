"""Pipelines on a terminal of 80 columns."""

import re
from typing import Any

import pytest

from mousetrap.cli.tables.pipelines import begun_table, graph, pipelines_table, type_name
from mousetrap.shapes import Arrow, Pipeline, Published, PublishedRun, Stage
from support.terminal import shown


def stage(name: str, *after: str, takes: Any = "string", gives: Any = "string", **more: Any) -> Stage:
    def contract(kind: str) -> dict[str, Any]:
        return {"$ref": f"#/$defs/{kind}"} if kind.istitle() else {"type": kind}

    options = {"fallback": None, "skips": False} | more
    return Stage(
        name=name, queue=f"{name}_jobs", after=after, input=contract(takes), output=contract(gives), **options
    )


def arrows(kind: str, source: str, *targets: str) -> tuple[Arrow, ...]:
    return tuple(Arrow(source=source, target=target, kind=kind) for target in targets)


BOOKS = Pipeline(
    name="books",
    description="Prints what was written.",
    stages=(
        stage("weigh", gives="Draft", fallback="regret"),
        stage("leaflet", "weigh", takes="Short", skips=True),
        stage("book", "weigh", takes="Long", skips_after=True),
        stage("print", "leaflet", "book", gives="integer"),
        stage("regret", takes="Fallen"),
    ),
    arrows=arrows("branch", "weigh", "leaflet", "book"),
)


def test_a_graph_is_drawn_from_its_first_stage_on() -> None:
    assert shown(graph(BOOKS)) == (
        "books  Prints what was written.\n"
        "\n"
        "weigh  string → Draft  queue weigh_jobs\n"
        "├── Short: leaflet  Short → string, or null  queue leaflet_jobs\n"
        "│   └── print  string → integer  queue print_jobs\n"
        "├── Long: book  Long → string, or null and no further  queue book_jobs\n"
        "│   └── print, as above\n"
        "└── given up: regret  Fallen → string  queue regret_jobs"
    )


def test_the_topics_that_it_takes_are_under_its_name() -> None:
    pipeline = Pipeline(name="mails", description="Mails.", stages=(stage("mail"),), topics=("orders.*", "#"))

    assert shown(graph(pipeline)).splitlines()[:2] == ["mails  Mails.", "takes orders.*, #"]


def test_what_was_published_is_a_line_for_each_run() -> None:
    runs = (
        PublishedRun(pipeline="mails", run_id="abc", url="/runs/abc", new=True),
        PublishedRun(pipeline="books", run_id="def", url="/runs/def", new=False),
    )

    text = shown(begun_table(Published(topic="orders.created", key="k", runs=runs)))

    assert re.search(r"mails +abc", text)
    assert re.search(r"books +def +was started before", text)


PAPERS = Pipeline(
    name="papers",
    description="Reads papers.",
    stages=(
        stage("find", gives="array"),
        stage("read", "find", edge="each"),
        stage("sum", "read", edge="gather", need=0.95),
        stage("price", "sum", gives="integer"),
        stage("stock", "sum"),
        stage("answer", "price", "stock", edge="join", takes="Both"),
    ),
    arrows=arrows("fork", "sum", "price", "stock"),
)


def test_a_fan_out_a_fork_and_their_joins_are_drawn() -> None:
    assert shown(graph(PAPERS)) == (
        "papers  Reads papers.\n"
        "\n"
        "find  string → array  queue find_jobs\n"
        "└── each item: read  string → string  queue read_jobs\n"
        "    └── after all items, 95 % done: sum  string → string  queue sum_jobs\n"
        "        ├── in parallel: price  string → integer  queue price_jobs\n"
        "        │   └── after price and stock: answer  Both → string  queue answer_jobs\n"
        "        └── in parallel: stock  string → string  queue stock_jobs\n"
        "            └── after price and stock: answer, as above"
    )


@pytest.mark.parametrize(
    ("need", "label"), [(1.0, "all items: "), (3, "all items, 3 done: "), (0.0, "all items, 0 % done: ")]
)
def test_what_a_join_needs_is_drawn(need: float, label: str) -> None:
    stages = (*PAPERS.stages[:2], stage("sum", "read", edge="gather", need=need))

    assert label + "sum" in shown(graph(Pipeline(name="papers", description="", stages=stages)))


def test_the_time_and_the_counts_of_a_join_are_drawn() -> None:
    more = {"edge": "gather", "need": 0.95, "within": 5400.0, "keep": False}
    stages = (*PAPERS.stages[:2], stage("sum", "read", **more))

    assert "after all items, 95 % done, within 1:30:00, counts alone: sum" in shown(
        graph(Pipeline(name="papers", description="", stages=stages))
    )


def test_pipelines_are_listed_with_their_stages() -> None:
    assert shown(pipelines_table([BOOKS])).splitlines()[2:4] == [
        "books     weigh    Prints what was written.",
        "          leaflet",
    ]
    assert shown(pipelines_table([])).startswith("no pipelines")


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        ({"$ref": "#/$defs/Short"}, "Short"),
        ({"anyOf": [{"$ref": "#/$defs/Short"}, {"type": "null"}]}, "Short or null"),
        ({"$ref": "#/$defs/Fallen_str_", "$defs": {"Fallen_str_": {"title": "Fallen[str]"}}}, "Fallen[str]"),
        ({"title": "Page", "type": "object"}, "Page"),
        ({"type": "integer"}, "integer"),
        ({"type": "array", "items": {"$ref": "#/$defs/Page"}}, "array of Page"),
        ({}, "any"),
        ({"type": ["string", "null"]}, "any"),
    ],
)
def test_a_contract_has_a_short_name(schema: dict[str, Any], name: str) -> None:
    assert type_name(schema) == name
