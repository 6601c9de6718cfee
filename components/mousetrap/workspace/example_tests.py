"""Finds the tests that need the example's bricks."""

import ast
import re
from collections.abc import Sequence

from mousetrap.workspace.bricks import statements
from mousetrap.workspace.edits import Edits

#: These need the example by more than an import: they run its workers, or expect what the catalogue lists of it.
_MORE = (
    "test/bases/mousetrap/cli/test_contracts.py",
    "test/bases/mousetrap/cli/test_example_workers.py",
    "test/bases/mousetrap/cli/test_migrate.py",
    "test/bases/mousetrap/cli/test_remove.py",
    "test/components/mousetrap/workspace/test_new.py",
    "test/deploy/test_secrets.py",
    "test/development/test_autoscaling.py",
    "test/docs/test_coming_from.py",
    "test/docs/test_commands.py",
    "test/docs/test_migrating_page.py",
    "test/projects/test_without_example.py",
    "test/stack/composed.py",
)


def tests_of_example(edits: Edits, bricks: Sequence[str]) -> list[str]:
    """The files in test/ that import one of these bricks, directly or through another file there, or run its program."""
    files = {path: edits.read(path) for path in edits.paths("test/**/*.py")}
    modules = {path.removeprefix("test/").removesuffix(".py").replace("/", "."): path for path in files}
    imports = {path: _imported(text) for path, text in files.items()}
    program = re.compile(rf'"mousetrap\.({"|".join(bricks)})\b')
    ours = {f"mousetrap.{brick}" for brick in bricks}
    folders = tuple(f"test/{kind}/mousetrap/{brick}/" for kind in ("bases", "components") for brick in bricks)
    gone = {
        path
        for path, text in files.items()
        if path in _MORE or path.startswith(folders) or imports[path] & ours or program.search(text)
    }
    while True:
        more = {
            path
            for path in files.keys() - gone
            if any(modules.get(module) in gone for module in imports[path]) or _conftest_of(path, gone)
        }
        if not more:
            return sorted(gone)
        gone |= more


def _conftest_of(path: str, gone: set[str]) -> bool:
    """Whether a file of fixtures is gone that the tests of this folder are given."""
    parts = path.split("/")
    return any(f"{'/'.join(parts[:count])}/conftest.py" in gone for count in range(1, len(parts)))


def _imported(text: str) -> set[str]:
    found: set[str] = set()
    for node in statements(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found
