"""Writes the texts of a component with tasks: pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from mousetrap.workspace.names import class_name
from mousetrap.workspace.templates import filled

#: Of a line of code.
_WIDTH = 110


class Texts(NamedTuple):
    """The files of a component by name, and its test."""

    files: Mapping[str, str]
    test: str


def task_texts(name: str) -> Texts:
    """A component with one task."""
    contracts = [f"{class_name(name)}Input", f"{class_name(name)}Output"]
    ours = {f"mousetrap.{name}.contracts": contracts}
    words = {"name": name, "Name": class_name(name)}
    door = _imports({**ours, f"mousetrap.{name}.tasks": [name]})
    return Texts(
        {
            "__init__.py": filled("task/init.py", **words, imports=door, all=_all([*contracts, name])),
            "contracts.py": filled("task/contracts.py", **words),
            "tasks.py": filled(
                "task/tasks.py", **words, imports=_imports({**ours, "mousetrap.handlers": ["task"]})
            ),
            "README.md": filled("task/readme.md", **words),
        },
        filled("task/test.py", **words, imports=_imports({f"mousetrap.{name}": [*contracts, name]})),
    )


def pipeline_texts(name: str, stages: Sequence[str]) -> Texts:
    """A component with a task for each stage, and their chain."""
    contracts = [f"{class_name(name)}Input", *(f"{class_name(stage)}Output" for stage in stages)]
    ours = {f"mousetrap.{name}.contracts": contracts}
    door = _imports({**ours, f"mousetrap.{name}.tasks": [name, *stages]})
    # Each stage takes what the one before it returns.
    each = [
        {"name": name, "stage": stage, "Given": given, "Returned": returned, "then": then}
        for stage, given, returned, then in zip(
            stages, contracts, contracts[1:], [*stages[1:], ""], strict=False
        )
    ]
    return Texts(
        {
            "__init__.py": filled(
                "pipeline/init.py", name=name, imports=door, all=_all([*contracts, name, *stages])
            ),
            "contracts.py": filled("pipeline/contracts.py", name=name, first=contracts[0])
            + "".join(
                filled("pipeline/stage_contract.py", **words, use=_use(words["then"])) for words in each
            ),
            "tasks.py": filled(
                "pipeline/tasks.py",
                name=name,
                imports=_imports({**ours, "mousetrap.handlers": ["chain", "task"]}),
                stages="".join(filled("pipeline/stage.py", **words) for words in each),
                chain=_listed(f"{name} = chain(", [f'"{name}"', *stages], ")"),
            ),
            "README.md": filled(
                "pipeline/readme.md", name=name, stages=", then ".join(f"`{it}`" for it in stages)
            ),
        },
        filled(
            "pipeline/test.py",
            name=name,
            imports=_imports({f"mousetrap.{name}": [*contracts, *stages]}),
            tests="".join(filled("pipeline/stage_test.py", **words) for words in each),
        ),
    )


def _use(then: str) -> str:
    return f"and `{then}` takes" if then else "the result of a run"


def _imports(names: Mapping[str, Iterable[str]]) -> str:
    """The lines that import these names by module, in the order of the linter."""
    return "".join(
        _listed(f"from {module} import ", _ordered(names[module]), "", brackets=("(", ")"))
        for module in sorted(names)
    )


def _all(names: Iterable[str]) -> str:
    return _listed("__all__ = [", [f'"{name}"' for name in _ordered(names)], "]")


def _ordered(names: Iterable[str]) -> list[str]:
    """Classes, then functions."""
    return sorted(names, key=lambda name: (name[0].islower(), name))


def _listed(start: str, items: Sequence[str], end: str, brackets: tuple[str, str] = ("", "")) -> str:
    """Start, items and end on one line, or a line for each item where that would be too long."""
    line = f"{start}{', '.join(items)}{end}"
    if len(line) > _WIDTH:
        opening, closing = brackets
        line = f"{start}{opening}\n" + "".join(f"    {item},\n" for item in items) + f"{closing}{end}"
    return f"{line}\n"
