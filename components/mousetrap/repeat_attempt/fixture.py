"""Python that leads to a handler."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mousetrap.handlers import Binding


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixture:
    """A handler, and the lines that import it with what it needs."""

    #: A binding, or what has bindings: `repeat` takes it.
    target: Any
    #: An expression for the target.
    expression: str
    imports: tuple[str, ...]
    #: Those of the standard library.
    standard: tuple[str, ...] = ()
    #: Between the two.
    before: tuple[str, ...] = ()
    #: What there is to know about it.
    note: str = ""


def fixture_of_binder(name: str, binding: Binding) -> Fixture:
    """The way to the binding that the function "module:name" makes of the settings; the catalogue lists it."""
    module, _, function = name.partition(":")
    return Fixture(
        target=binding,
        expression=f"{function}(Settings.from_environ(os.environ, SETTINGS))",
        standard=("import os",),
        imports=(
            "from mousetrap.catalogue import SETTINGS",
            f"from {module} import {function}",
            "from mousetrap.settings import Settings",
        ),
        note="It opens what the worker opens, by the settings of the environment: those of a test, not of production.",
    )


def fixture_of_name(module: str, name: str, target: Any, folder: Path) -> Fixture:
    """The way to what `module` has the name for, from a file in `folder`."""
    root = _root(module)
    if root is None or root in _installed():
        return Fixture(target=target, expression=name, imports=(f"from {module} import {name}",))
    beside = Path(os.path.relpath(root, folder.resolve())).as_posix()
    return Fixture(
        target=target,
        expression=name,
        standard=("import sys", "from pathlib import Path"),
        before=(f'sys.path.insert(0, str(Path(__file__).parent / "{beside}"))',),
        imports=(f"from {module} import {name}",),
    )


def _root(module: str) -> Path | None:
    """The folder that the module's first package or file is in."""
    file = getattr(sys.modules[module], "__file__", None)
    if file is None:
        return None
    path = Path(file).resolve()
    depth = module.count(".") + (path.name == "__init__.py")
    return path.parents[depth]


def _installed() -> set[Path]:
    """The folders that this Python imports from, wherever it is started."""
    command = [sys.executable, "-I", "-c", "import sys; print(*sys.path, sep=chr(10))"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {Path(line).resolve() for line in done.stdout.splitlines()}
