"""Writes a component with one task, or with a pipeline of several."""

from collections.abc import Sequence

from mousetrap.api_client import Misused
from mousetrap.workspace.bricks import bricks_in, tasks_in
from mousetrap.workspace.catalogue_text import with_worker, workers_in
from mousetrap.workspace.edits import Edits
from mousetrap.workspace.find import CATALOGUE
from mousetrap.workspace.names import check_name, check_stages
from mousetrap.workspace.texts import Texts, pipeline_texts, task_texts
from mousetrap.workspace.toml_text import with_entry, with_layer

#: The project whose programs run every worker of the catalogue.
_CLI = "projects/cli/pyproject.toml"


def add_task(edits: Edits, name: str) -> None:
    """Adds the component `name` with one task, its test, and its line in the catalogue. Raises Misused."""
    _check(edits, name)
    _add_component(edits, name, task_texts(name))


def add_pipeline(edits: Edits, name: str, stages: Sequence[str]) -> None:
    """Adds the component `name` with a task for each stage and their chain, its test, and its line in the catalogue.

    Raises Misused.
    """
    _check(edits, name)
    check_stages(name, stages)
    for folder in bricks_in(edits).values():
        if again := tasks_in(edits, folder).keys() & set(stages):
            raise Misused(
                f"{folder} has a task {min(again)!r} already: choose another name, for each is a pipeline too"
            )
    _add_component(edits, name, pipeline_texts(name, stages))


def _check(edits: Edits, name: str) -> None:
    check_name(name, {*bricks_in(edits), *workers_in(edits.read(CATALOGUE))})


def _add_component(edits: Edits, name: str, texts: Texts) -> None:
    folder = f"components/mousetrap/{name}"
    for file, text in texts.files.items():
        edits.create(f"{folder}/{file}", text)
    edits.create(f"test/{folder}/test_{name}.py", texts.test)
    edits.replace(CATALOGUE, with_worker(edits.read(CATALOGUE), name, f"mousetrap.{name}"))
    register_brick(edits, folder)
    edits.replace("pyproject.toml", with_layer(edits.read("pyproject.toml"), name, below="job_queue"))


def register_brick(edits: Edits, folder: str) -> None:
    """Adds a brick to the workspace's list and to that of the command line's project."""
    brick = f"mousetrap/{folder.split('/')[-1]}"
    for project, path in (("pyproject.toml", folder), (_CLI, f"../../{folder}")):
        edits.replace(project, with_entry(edits.read(project), "tool.polylith.bricks", path, brick))
