"""Writes what deploys a worker of the catalogue: base, project, service, manifests."""

import re
import tomllib

from mousetrap.api_client import Misused
from mousetrap.workspace.bricks import bricks_in, bricks_reached, imports_of, tasks_in
from mousetrap.workspace.catalogue_text import modules_of, program_of, with_worker, workers_in
from mousetrap.workspace.edits import Edits
from mousetrap.workspace.find import CATALOGUE
from mousetrap.workspace.locks import (
    chosen,
    library,
    lock_of_project,
    requirements_of_project,
    with_all_they_need,
)
from mousetrap.workspace.names import dashed
from mousetrap.workspace.new_bricks import add_task, register_brick
from mousetrap.workspace.templates import filled
from mousetrap.workspace.toml_text import with_entry, with_importer, with_sibling
from mousetrap.workspace.yaml_text import before_service, with_line, with_name

_POLICIES = "deploy/kubernetes/network.yaml"


def add_worker(edits: Edits, name: str) -> None:
    """Adds the deployable of the worker `name`; without such a worker in the catalogue, its task first. Raises Misused."""
    if name not in workers_in(edits.read(CATALOGUE)):
        add_task(edits, name)
    brick = _brick_of(edits, name)
    base = f"{name}_worker"
    words = {
        "name": name,
        "base": base,
        "brick": brick,
        "dashed": dashed(base),
        "program": f"mousetrap-{dashed(base)}",
    }
    _add_base(edits, words)
    _add_project(edits, words)
    _add_service(edits, words)
    _add_manifests(edits, words, list(tasks_in(edits, f"components/mousetrap/{brick}").values()))


def _brick_of(edits: Edits, name: str) -> str:
    """The component of the worker's tasks."""
    catalogue = edits.read(CATALOGUE)
    if program := program_of(catalogue, name):
        raise Misused(f"the worker {name!r} has its own process already: {program}")
    modules = modules_of(catalogue, name)
    brick = modules[0].removeprefix("mousetrap.") if len(modules) == 1 else ""
    if bricks_in(edits).get(brick) != f"components/mousetrap/{brick}":
        raise Misused(
            f"the worker {name!r} is not of the tasks of one component, as `mousetrap new task` writes it: "
            "write its base by hand, as docs/new-worker.md shows"
        )
    return brick


def _add_base(edits: Edits, words: dict[str, str]) -> None:
    base = words["base"]
    folder = f"bases/mousetrap/{base}"
    for file, template in (
        ("__init__.py", "init.py"),
        ("__main__.py", "dunder_main.py"),
        ("main.py", "main.py"),
        ("README.md", "readme.md"),
    ):
        edits.create(f"{folder}/{file}", filled(f"worker/{template}", **words))
    register_brick(edits, folder)
    text = with_sibling(edits.read("pyproject.toml"), base, beside="api")
    text = with_importer(text, "mousetrap.catalogue", f"mousetrap.{base}")
    edits.replace(
        "pyproject.toml", with_entry(text, "project.scripts", words["program"], f"mousetrap.{base}:main")
    )
    catalogue = with_worker(
        edits.read(CATALOGUE), words["name"], f"mousetrap.{words['brick']}", f"mousetrap.{base}"
    )
    edits.replace(CATALOGUE, catalogue)


def _add_project(edits: Edits, words: dict[str, str]) -> None:
    base = words["base"]
    bricks = bricks_reached(edits, base)
    workspace = tomllib.loads(edits.read("pyproject.toml"))["project"]
    lock = edits.read("poetry.lock")
    wanted = chosen(workspace["dependencies"], _libraries(edits, bricks))
    sibling = edits.read("projects/cli/pyproject.toml")
    text = filled(
        "worker/pyproject.toml",
        **words,
        python=workspace["requires-python"],
        dependencies="\n".join(f'    "{each}",' for each in wanted),
        bricks="\n".join(f'"../../{each}" = "mousetrap/{each.split("/")[-1]}"' for each in bricks),
        build=sibling[sibling.index("[tool.hatch.") :],
    )
    folder = f"projects/{base}"
    locked = with_all_they_need(lock, wanted)
    edits.create(f"{folder}/pyproject.toml", text)
    edits.create(f"{folder}/README.md", filled("worker/project_readme.md", **words))
    edits.create(f"{folder}/poetry.lock", lock_of_project(lock, locked, tomllib.loads(text)["project"]))
    exported = requirements_of_project(edits.read("requirements/run.txt"), locked)
    edits.create(f"requirements/{base}.txt", exported)


def _libraries(edits: Edits, bricks: list[str]) -> set[str]:
    return {library(module.replace("_", "-")) for folder in bricks for module in imports_of(edits, folder)}


def _add_service(edits: Edits, words: dict[str, str]) -> None:
    compose, tls = "deploy/compose.yml", "deploy/tls.yml"
    if re.search(rf"^  {words['base']}:", edits.read(compose), re.MULTILINE):
        raise Misused(f"{compose} has a service {words['base']} already: remove it, or choose another name")
    block = filled("worker/compose.yml", **words)
    edits.replace(compose, before_service(edits.read(compose), "migrate", block))
    edits.replace(tls, with_line(edits.read(tls), f"  {words['base']}: *client", after="  api: *client"))
    metrics = "deploy/metrics.yml"
    edits.replace(metrics, with_line(edits.read(metrics), f"  {words['base']}: *worker", after="services:"))


def _add_manifests(edits: Edits, words: dict[str, str], queues: list[str]) -> None:
    file, folder = f"{words['base']}.yaml", "deploy/kubernetes"
    triggers = "".join(
        filled("worker/keda_trigger.yaml", queue=queue, dashed_queue=dashed(queue)) for queue in queues
    )
    edits.create(f"{folder}/{file}", filled("worker/kubernetes.yaml", **words))
    edits.create(f"{folder}/keda/{file}", filled("worker/keda.yaml", **words, triggers=triggers))
    for part, neighbour in ((folder, "api.yaml"), (f"{folder}/keda", "reader.yaml")):
        path = f"{part}/kustomization.yaml"
        edits.replace(path, with_line(edits.read(path), f"  - {file}", after=f"  - {neighbour}"))
    edits.replace(_POLICIES, with_name(edits.read(_POLICIES), words["dashed"], before="migrate"))
