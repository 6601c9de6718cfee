"""Draws pipelines as a table and as trees: pure."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from mousetrap.cli.tables.style import table_of
from mousetrap.shapes import Pipeline, Published, Stage

#: An input by its kind of JSON, quoted for a shell.
_INPUTS = {"string": """'"text"'""", "integer": "1", "number": "1.5", "boolean": "true", "array": "'[]'"}


def pipelines_table(pipelines: Sequence[Pipeline]) -> RenderableType:
    """Each pipeline with its stages, in their order."""
    table = table_of("pipeline", "stages", "what")
    for pipeline in pipelines:
        table.add_row(pipeline.name, "\n".join(stage.name for stage in pipeline.stages), pipeline.description)
    return table if table.row_count else "no pipelines: a worker that starts publishes its own"


def graph(pipeline: Pipeline) -> RenderableType:
    """The stages as a tree from the first one on; one that several lead to is drawn where a run comes to it first."""
    title = Text(pipeline.name, "bold").append(f"  {pipeline.description}", "not bold")
    topics = [Text(f"takes {', '.join(pipeline.topics)}", "dim")] if pipeline.topics else []
    names = pipeline.schedules
    schedules = [Text(f"started by its schedules: {', '.join(names)}", "dim")] if names else []
    return Group(title, *topics, *schedules, Text(), _Drawing(pipeline).tree())


def begun_table(published: Published) -> RenderableType:
    """The runs of what was published, by the pipeline that takes it."""
    table = table_of("pipeline", "run", "")
    for run in published.runs:
        table.add_row(run.pipeline, run.run_id, "" if run.new else "was started before")
    return table


class _Drawing:
    def __init__(self, pipeline: Pipeline) -> None:
        self._stages = pipeline.stages
        self._by_name: Mapping[str, Stage] = {stage.name: stage for stage in pipeline.stages}
        self._kinds = {(arrow.source, arrow.target): arrow.kind for arrow in pipeline.arrows}
        self._drawn: set[str] = set()

    def tree(self) -> Tree:
        first = self._stages[0]
        tree = Tree(self._label(first, ""), guide_style="dim")
        self._grow(tree, first)
        return tree

    def _grow(self, tree: Tree, stage: Stage) -> None:
        self._drawn.add(stage.name)
        for each in self._stages:
            if stage.name in each.after:
                self._add(tree, each, self._taken(stage, each))
        if stage.fallback and (fallback := self._by_name.get(stage.fallback)):
            self._add(tree, fallback, "given up")

    def _taken(self, before: Stage, stage: Stage) -> str:
        """What a stage takes of the one before it, where that is not all of it, or not that alone."""
        if stage.edge == "each":
            return "each item"
        if stage.edge == "gather":
            counts = "" if stage.keep else ", counts alone"
            within = f", within {timedelta(seconds=stage.within)}" if stage.within else ""
            return f"after all items{_share(stage.need)}{within}{counts}"
        if stage.edge == "join":
            return f"after {' and '.join(stage.after)}"
        kind = self._kinds.get((before.name, stage.name))
        return {"fork": "in parallel", "branch": type_name(stage.input)}.get(kind or "", "")

    def _add(self, tree: Tree, stage: Stage, edge: str) -> None:
        if stage.name in self._drawn:
            tree.add(self._edge(edge).append(stage.name).append(", as above", "dim"))
        else:
            self._grow(tree.add(self._label(stage, edge)), stage)

    def _label(self, stage: Stage, edge: str) -> Text:
        types = f"{type_name(stage.input)} → {type_name(stage.output)}"
        skips = ", or null" if stage.skips else ", or null and no further" if stage.skips_after else ""
        queue = f"  queue {stage.queue}" if stage.queue != stage.name else ""
        return self._edge(edge).append(stage.name, "bold").append(f"  {types}{skips}{queue}", "dim")

    def _edge(self, edge: str) -> Text:
        return Text(f"{edge}: ", "cyan") if edge else Text()


def _share(need: float | None) -> str:
    """How many of them must be done, where that is not all."""
    if need is None or need == 1:
        return ""
    return f", {need:g} done" if need > 1 else f", {need * 100:g} % done"


def run_arguments(pipeline: Pipeline) -> str:
    """What follows `mousetrap run` for this pipeline: its name, and an input unless none is one too."""
    schema = pipeline.stages[0].input
    if "$ref" in schema:
        schema = schema.get("$defs", {}).get(schema["$ref"].rpartition("/")[2], schema)
    if "properties" in schema and not schema.get("required"):
        return pipeline.name
    return f"{pipeline.name} --input {_INPUTS.get(str(schema.get('type')), 'JSON')}"


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
