"""Writes the list of workers in the catalogue: pure."""

import ast
from typing import Any

from mousetrap.api_client import Misused
from mousetrap.workspace.find import CATALOGUE

#: Of a line of code.
_WIDTH = 110


def workers_in(text: str) -> list[str]:
    """The names of the workers that the catalogue's text lists."""
    return [ast.literal_eval(key) for key in _workers(text).keys if key is not None]


def with_worker(text: str, name: str, module: str, program: str | None = None) -> str:
    """The catalogue's text with a worker that serves the tasks of `module`, in a process of `program` if there is one."""
    workers = _workers(text)
    lines = text.split("\n")
    entry = _entry(name, module, program)
    if name in workers_in(text):
        value = workers.values[workers_in(text).index(name)]
        return _checked(_replaced(lines, value, entry), name)
    return _checked(_added(lines, workers, f'    "{name}": {entry},'), name)


def modules_of(text: str, name: str) -> tuple[str, ...]:
    """The modules of the worker; none for one with a binder."""
    return tuple(_given(text, name).get("modules") or ())


def program_of(text: str, name: str) -> str | None:
    """The module of the worker's own process."""
    return _given(text, name).get("program")


def _given(text: str, name: str) -> dict[str, Any]:
    """What the worker's entry gives, by field."""
    match _workers(text).values[workers_in(text).index(name)]:
        case ast.Call(args=args, keywords=keywords):
            values = dict(zip(("binder", "program", "modules"), args, strict=False))
            values |= {each.arg: each.value for each in keywords if each.arg}
            try:
                return {field: ast.literal_eval(value) for field, value in values.items()}
            except ValueError:
                raise _unknown_form() from None
    raise _unknown_form()


def _entry(name: str, module: str, program: str | None) -> str:
    """A worker's entry, as the formatter leaves it."""
    given = f'modules=("{module}",)' + (f', program="{program}"' if program else "")
    line = f"Worker({given})"
    fits = len(f'    "{name}": {line},') <= _WIDTH
    return line if fits else f"Worker(\n        {given}\n    )"


def _workers(text: str) -> ast.Dict:
    for node in ast.parse(text).body:
        match node:
            case ast.AnnAssign(target=ast.Name("WORKERS"), value=ast.Dict() as workers):
                return workers
    raise _unknown_form()


def _added(lines: list[str], workers: ast.Dict, entry: str) -> str:
    end = (workers.end_lineno or 0) - 1
    if workers.lineno - 1 == end:  # the empty list on its line
        line = lines[end].removesuffix("}")
        return "\n".join([*lines[:end], line, entry, "}", *lines[end + 1 :]])
    return "\n".join([*lines[:end], entry, *lines[end:]])


def _replaced(lines: list[str], value: ast.expr, entry: str) -> str:
    first, last = value.lineno - 1, (value.end_lineno or 0) - 1
    line = lines[first][: value.col_offset] + entry + lines[last][value.end_col_offset :]
    return "\n".join([*lines[:first], line, *lines[last + 1 :]])


def _checked(text: str, name: str) -> str:
    try:
        if name in workers_in(text):
            return text
    except (SyntaxError, ValueError):
        pass
    raise _unknown_form()


def _unknown_form() -> Misused:
    return Misused(
        f"{CATALOGUE} has another form than this command knows: WORKERS is to be one dict of names, a line each"
    )
