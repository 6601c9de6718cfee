"""Errors in loading a program, with file and line."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mousetrap.local_stack.loading import loading_fault
from support.processes import Process

BROKEN = {
    "syntax": ("x = 1\ndef f(:\n    pass\n", r"SyntaxError: .*, at line 2 of .*main\.py"),
    "import": (
        "import os\nimport no_such_library\n",
        r"ModuleNotFoundError: .*'no_such_library', at line 2 of .*main\.py",
    ),
    "name": ("from os import no_such_name\n", r"ImportError: .*no_such_name.*, at line 1 of .*main\.py"),
    "value": ("x = 1\n\nint('x')\n", r"ValueError: .*, at line 3 of .*main\.py"),
    "end": ("raise SystemExit(1)\n", r"SystemExit: 1, at line 1 of .*main\.py"),
    "null": ("x = 1\0\n", r"SyntaxError: .*"),
}


def program(folder: Path, name: str, text: str) -> dict[str, str]:
    """An environment in which a base of that name has `text` for its main module."""
    place = folder / "mousetrap" / name
    place.mkdir(parents=True)
    (place / "__init__.py").touch()
    (place / "__main__.py").write_text(
        f"import sys\nfrom mousetrap.{name}.main import main\nsys.exit(main())\n"
    )
    (place / "main.py").write_text(text)
    return {**os.environ, "PYTHONPATH": str(folder)}


def test_a_program_without_a_main_module_is_loaded_itself(tmp_path: Path) -> None:
    (tmp_path / "my_worker.py").write_text("print('at work')\n")
    (tmp_path / "my_broken_worker.py").write_text("import no_such_library\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    assert loading_fault("my_worker", environment) is None
    assert "no_such_library" in str(loading_fault("my_broken_worker", environment))


@pytest.mark.parametrize("what", list(BROKEN))
def test_code_that_cannot_be_loaded_is_named_with_its_file_and_line(tmp_path: Path, what: str) -> None:
    text, pattern = BROKEN[what]
    fault = loading_fault("mousetrap.broken", program(tmp_path, "broken", text))
    assert fault is not None
    assert re.fullmatch(pattern, fault), fault


def test_the_line_is_where_the_fault_is_and_not_where_it_was_imported(tmp_path: Path) -> None:
    environment = program(tmp_path, "broken", "import the_handler\n")
    (tmp_path / "the_handler.py").write_text("\n\n1 / 0\n")
    fault = loading_fault("mousetrap.broken", environment)
    assert fault == f"ZeroDivisionError: division by zero, at line 3 of {tmp_path}/the_handler.py"


def test_code_that_loads_has_no_fault_whatever_it_prints(tmp_path: Path) -> None:
    assert loading_fault("mousetrap.fine", program(tmp_path, "fine", "print('SyntaxError: no')\n")) is None


@pytest.mark.servers
def test_a_worker_whose_code_is_broken_ends_the_stack_with_its_name_file_and_line(
    start_base: Callable[..., Process], tmp_path: Path
) -> None:
    environment = program(tmp_path / "broken", "process_worker", BROKEN["syntax"][0])

    stack = start_base("cli", "up", MOUSETRAP_API_PORT="0", PYTHONPATH=environment["PYTHONPATH"])

    assert stack.wait(60) == 1
    errors = [line for line in stack.lines if line.startswith("mousetrap: ")]
    place = f"line 2 of {tmp_path}/broken/mousetrap/process_worker/main.py"
    assert len(errors) == 1
    assert errors[0].startswith("mousetrap: process-worker cannot be loaded: SyntaxError: ")
    assert errors[0].endswith(f", at {place}; stopping the rest")
    assert stack.output.count("SyntaxError") <= 2
