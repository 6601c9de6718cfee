"""Removes the example's bricks, and all that names them."""

import re
import tomllib
from collections.abc import Iterator
from os.path import normpath
from pathlib import PurePosixPath

from mousetrap.api_client import Misused
from mousetrap.workspace.bricks import bricks_in
from mousetrap.workspace.catalogue_without import catalogue_without
from mousetrap.workspace.edits import Edits
from mousetrap.workspace.example_tests import tests_of_example
from mousetrap.workspace.find import CATALOGUE
from mousetrap.workspace.names import dashed
from mousetrap.workspace.without import (
    without_block,
    without_documents,
    without_items,
    without_lines,
    without_names,
    without_tables,
)

#: The contract of import-linter that lists the example's bricks.
_CONTRACT = "The engine does not know the example"
#: Files that are the example's alone, beside its bricks.
_FILES = (
    "deploy/offline.yml",
    "deploy/offline/feed.py",
    "deploy/postgres/users.sql",
    "development/trace_way.py",
)
#: What compose has for the example's results alone.
_DATABASE = re.compile(
    r"MOUSETRAP_DATABASE_URL_FILE|^  (database_url|postgres_password)|^      postgres: |^  postgres: \{\}"
)
_SECRETS = ("database_url_api", "database_url_worker", "database_url_migrate")
_PAGES = ("*.md", "deploy/*.md", "docs/*.md", "docs/decisions/*.md")
_POLICIES = ("feeds-are-fetched", "database-is-reached")


def example_bricks(edits: Edits) -> list[str]:
    """The names of the example's bricks. Raises Misused where they are gone."""
    contracts = tomllib.loads(edits.read("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    for contract in contracts:
        if contract["name"].startswith(_CONTRACT):
            return [module.removeprefix("mousetrap.") for module in contract["protected_modules"]]
    raise Misused("the example is removed already: pyproject.toml has no contract about it")


def remove_example(edits: Edits) -> list[str]:
    """Removes bricks, projects, services, manifests, tests, entries of the catalogue and rows of the docs.

    Returns where the example is still named, "path: lines", for people to rewrite. Raises Misused.
    """
    bricks = example_bricks(edits)
    folders = bricks_in(edits)
    workers = [brick for brick in bricks if folders.get(brick, "").startswith("bases/")]
    prefixes = _settings_of(edits, [folders[brick] for brick in bricks if brick in folders])
    tests = tests_of_example(edits, bricks)
    gone = [f"{folders[brick]}/**/*" for brick in bricks if brick in folders]
    gone += [f"projects/{worker}/**/*" for worker in workers]
    gone += [f"requirements/{worker}.txt" for worker in workers]
    gone += [f"deploy/kubernetes/**/{worker}.yaml" for worker in workers]
    for path in (*(path for pattern in gone for path in edits.paths(pattern)), *tests, *_FILES):
        if edits.exists(path):
            edits.remove(path)
    edits.replace(CATALOGUE, catalogue_without(edits.read(CATALOGUE), bricks))
    _change_lists(edits, bricks)
    _change_compose(edits, workers)
    _change_manifests(edits, workers)
    _change_docs(edits, bricks, prefixes)
    _change_links(edits)
    return list(_mentions(edits, bricks))


def _mentions(edits: Edits, bricks: list[str]) -> Iterator[str]:
    name = re.compile(rf"earthquake|\b({'|'.join({*bricks, *map(dashed, bricks)})})\b", re.IGNORECASE)
    for pattern in ("README.md", "Makefile", "tools/*", "deploy/*", "docs/*.md", "development/*.ipynb"):
        for path in edits.paths(pattern):
            if count := len(name.findall(edits.read(path))):
                yield f"{path}: {count}"


def _settings_of(edits: Edits, folders: list[str]) -> list[str]:
    """The first words of the settings that these bricks declare, as "DATABASE"."""
    texts = [edits.read(path) for folder in folders for path in edits.paths(f"{folder}/**/*.py")]
    return [found.upper() for text in texts for found in re.findall(r'\bGroup\(\s*"(\w+)"', text)]


def _change_lists(edits: Edits, bricks: list[str]) -> None:
    ours = re.compile(
        rf'/({"|".join(bricks)})" = |= "mousetrap\.({"|".join(bricks)}):main"|^    "mousetrap\.({"|".join(bricks)})",$'
    )
    for path in ("pyproject.toml", *edits.paths("projects/*/pyproject.toml")):
        edits.replace(path, without_lines(edits.read(path), ours.search))
    text = without_tables(
        edits.read("pyproject.toml"),
        "tool.importlinter.contracts",
        lambda table: _CONTRACT in table or re.search(rf'= \["mousetrap\.({"|".join(bricks)})"\]\n', table),
    )
    start, end = text.index("layers = ["), text.index("]", text.index("layers = ["))
    layers = without_names(text[start:end], bricks)
    only_ours = re.compile(rf'^    "({"|".join(bricks)})",')
    edits.replace("pyproject.toml", text[:start] + without_lines(layers, only_ours.search) + text[end:])


def _change_compose(edits: Edits, workers: list[str]) -> None:
    environment = "deploy/.env.example"
    edits.replace(environment, without_lines(edits.read(environment), re.compile("^#POSTGRES_").match))
    for path in edits.paths("deploy/*.yml"):
        text = edits.read(path)
        for service in (*workers, "postgres"):
            text = without_block(text, service, 2)
        text = without_names(without_lines(text, _DATABASE.search), _SECRETS)
        edits.replace(path, text)


def _change_manifests(edits: Edits, workers: list[str]) -> None:
    for path in edits.paths("deploy/kubernetes/**/*.yaml"):
        text = without_lines(
            edits.read(path),
            lambda line: (
                "MOUSETRAP_DATABASE_URL_FILE" in line
                or line.strip() in [f"- {worker}.yaml" for worker in workers]
            ),
        )
        text = without_documents(text, _POLICIES)
        edits.replace(path, without_names(text, [dashed(worker) for worker in workers]))


def _change_docs(edits: Edits, bricks: list[str], prefixes: list[str]) -> None:
    names = re.compile(rf"\b({'|'.join(bricks)})/")
    setting = re.compile(rf"^\| `MOUSETRAP_({'|'.join(prefixes)})_")
    page = "docs/architecture.md"
    edits.replace(page, without_items(edits.read(page), names.search))
    page = "docs/settings.md"
    edits.replace(page, without_lines(edits.read(page), setting.search))
    page = "docs/guarantees.md"
    edits.replace(page, _promises(edits.read(page), edits))


def _change_links(edits: Edits) -> None:
    """Makes plain text of links to files that are gone."""
    for path in (path for pattern in _PAGES for path in edits.paths(pattern)):
        folder = PurePosixPath(path).parent

        def without(link: re.Match[str], folder: PurePosixPath = folder) -> str:
            target = normpath(folder / link[2].partition("#")[0])
            return link[1] if edits.is_removed(target) else link[0]

        edits.replace(path, re.sub(r"\[([^\]]*)\]\((?!https?:)([^)]+)\)", without, edits.read(path)))


def _promises(text: str, edits: Edits) -> str:
    """The promises without tests that are gone, and without those promises that no test is left for."""
    tests = "\n".join(edits.read(path) for path in edits.paths("test/**/test_*.py"))
    known = set(re.findall(r"\bdef (test_\w+)\(", tests))
    gone = {f"`{name}`" for name in re.findall(r"`(test_\w+)`", text)} - {f"`{name}`" for name in known}
    only_gone = re.compile(r"^\| .*\| (`test_\w+`(, )?)+ \|$")
    text = without_lines(
        text,
        lambda line: only_gone.match(line.rstrip()) and set(re.findall(r"`test_\w+`", line)) <= gone,
    )
    return without_names(text, gone)
