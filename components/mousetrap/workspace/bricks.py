"""Reads what bricks import, from their texts."""

import ast
import re
from collections.abc import Iterator

from mousetrap.workspace.edits import Edits

#: In each text with a decorator of a task.
_DECORATED = re.compile(r"@.*\btask\b", re.DOTALL)


def bricks_in(edits: Edits) -> dict[str, str]:
    """The folder of each brick, by its name."""
    doors = edits.paths("bases/mousetrap/*/__init__.py") + edits.paths("components/mousetrap/*/__init__.py")
    return {door.split("/")[2]: door.removesuffix("/__init__.py") for door in doors}


def bricks_reached(edits: Edits, first: str) -> list[str]:
    """The folders of the brick `first` and of all that it imports, directly or not; in order."""
    folders = bricks_in(edits)
    found: set[str] = set()
    left = [first]
    while left:
        brick = left.pop()
        if brick in folders and brick not in found:
            found.add(brick)
            left += [module.split(".")[1] for module in imports_of(edits, folders[brick]) if _is_ours(module)]
    return sorted(folders[brick] for brick in found)


def imports_of(edits: Edits, folder: str) -> set[str]:
    """The modules that the files of a brick import: ours, as "mousetrap.jobs", and top ones of libraries."""
    found: set[str] = set()
    for path in edits.paths(f"{folder}/**/*.py"):
        for module in _imported(ast.parse(edits.read(path))):
            found.add(module if _is_ours(module) else module.split(".")[0])
    return found


def tasks_in(edits: Edits, folder: str) -> dict[str, str]:
    """The queues of a brick's tasks, by the tasks' names: what decorators name, and else the functions' names."""
    texts = [edits.read(path) for path in edits.paths(f"{folder}/**/*.py")]
    return {
        named.get("name", node.name): named.get("queue", named.get("name", node.name))
        for text in texts
        if _DECORATED.search(text)  # to parse all bricks takes half a second
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for decorator in node.decorator_list
        if (named := _task_options(decorator)) is not None
    }


def _task_options(decorator: ast.expr) -> dict[str, str] | None:
    """The texts that a task's decorator is given; None for another decorator."""
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", None)
    if name != "task":
        return None
    keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
    return {
        each.arg: each.value.value
        for each in keywords
        if each.arg and isinstance(each.value, ast.Constant) and isinstance(each.value.value, str)
    }


def statements(tree: ast.Module) -> Iterator[ast.AST]:
    """All statements at any depth: a tenth of the nodes that `ast.walk` visits, and every import is among them."""
    left: list[ast.AST] = [tree]
    while left:
        node = left.pop()
        yield node
        for inner in ("body", "orelse", "finalbody", "handlers", "cases"):
            left += getattr(node, inner, ())


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in statements(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (
                [f"mousetrap.{alias.name}" for alias in node.names]
                if node.module == "mousetrap"
                else [node.module]
            )
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _is_ours(module: str) -> bool:
    return module.startswith("mousetrap.")
