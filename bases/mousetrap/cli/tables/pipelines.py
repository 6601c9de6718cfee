"""Draws pipelines as a table and as trees: pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from mousetrap.cli.tables.style import table_of
from mousetrap.shapes import Pipeline, Stage


def pipelines_table(pipelines: Sequence[Pipeline]) -> RenderableType:
    """Each pipeline with its stages, in their order."""
    table = table_of("pipeline", "stages", "what")
    for pipeline in pipelines:
        table.add_row(pipeline.name, "\n".join(stage.name for stage in pipeline.stages), pipeline.description)
    return table if table.row_count else "no pipelines: a worker that starts publishes its own"


def graph(pipeline: Pipeline) -> RenderableType:
    """The stages as a tree from the first one on; one that several lead to is drawn where a run comes to it first."""
    title = Text(pipeline.name, "bold").append(f"  {pipeline.description}", "not bold")
    return Group(title, Text(), _Drawing(pipeline).tree())


class _Drawing:
    def __init__(self, pipeline: Pipeline) -> None:
        self._stages = pipeline.stages
        self._by_name: Mapping[str, Stage] = {stage.name: stage for stage in pipeline.stages}
        self._drawn: set[str] = set()

    def tree(self) -> Tree:
        first = self._stages[0]
        tree = Tree(self._label(first, ""), guide_style="dim")
        self._grow(tree, first)
        return tree

    def _grow(self, tree: Tree, stage: Stage) -> None:
        self._drawn.add(stage.name)
        following = [each for each in self._stages if stage.name in each.after]
        for each in following:
            self._add(tree, each, self._taken(each, following))
        if stage.fallback and (fallback := self._by_name.get(stage.fallback)):
            self._add(tree, fallback, "given up")

    def _taken(self, stage: Stage, following: Sequence[Stage]) -> str:
        """What a stage takes of the one before it, where that is not all of it."""
        if stage.edge == "each":
            return "each"
        if stage.edge == "gather":
            return _share(stage.need)
        if stage.edge == "join" or len(following) < 2:
            return "all" if stage.edge == "join" else ""
        runs_all = all(each.input == stage.input for each in following)
        return "both" if runs_all and len(following) == 2 else "all" if runs_all else type_name(stage.input)

    def _add(self, tree: Tree, stage: Stage, edge: str) -> None:
        if stage.name in self._drawn:
            tree.add(self._edge(edge).append(stage.name).append(", as above", "dim"))
        else:
            self._grow(tree.add(self._label(stage, edge)), stage)

    def _label(self, stage: Stage, edge: str) -> Text:
        types = f"{type_name(stage.input)} → {type_name(stage.output)}"
        skips = ", or null" if stage.skips else ""
        return (
            self._edge(edge)
            .append(stage.name, "bold")
            .append(f"  {types}{skips}  queue {stage.queue}", "dim")
        )

    def _edge(self, edge: str) -> Text:
        return Text(f"{edge}: ", "cyan") if edge else Text()


def _share(need: float | None) -> str:
    if need is None or need == 1:
        return "all"
    return f"{need:g} or more" if need > 1 else f"{need * 100:g} % of all"


def type_name(schema: Mapping[str, Any]) -> str:
    """What people call the contract: its class, or its kind of JSON."""
    return _named(schema, schema.get("$defs", {}))


def _named(schema: Mapping[str, Any], defined: Mapping[str, Any]) -> str:
    if isinstance(reference := schema.get("$ref"), str):
        name = reference.rpartition("/")[2]
        return str(
            defined.get(name, {}).get("title", name)
        )  # of a generic class, the title is what people write
    if isinstance(members := schema.get("anyOf"), list):
        return " or ".join(_named(each, defined) for each in members if isinstance(each, dict))
    if isinstance(items := schema.get("items"), dict) and "title" not in schema:
        return f"array of {_named(items, defined)}"
    return next((str(schema[key]) for key in ("title", "type") if isinstance(schema.get(key), str)), "any")
