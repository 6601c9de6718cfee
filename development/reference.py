"""Writes the pages on commands and HTTP from the code.

`PYTHONPATH=development python -m reference` writes docs/command-line.md and docs/http.md; a test compares them with the code.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from mousetrap.api import create_app
from mousetrap.api.problems import Kind
from mousetrap.cli.app import app
from mousetrap.settings import Settings

DOCS = Path(__file__).parents[1] / "docs"
_METHODS = ("get", "put", "post", "delete", "patch")
#: Of each command, and not of interest.
_OF_ALL = {"help", "install_completion", "show_completion"}


def pages() -> Mapping[Path, str]:
    """The text of each page."""
    return {
        DOCS / "command-line.md": "\n".join(_command_line()) + "\n",
        DOCS / "http.md": "\n".join(_http()) + "\n",
    }


def _command_line() -> Iterator[str]:
    yield "# Commands"
    yield ""
    yield "Made from the code by `development/reference.py`. `mousetrap COMMAND --help` prints the same on a terminal; exit codes are on"
    yield "[the page of what to do](runbook.md#exit-codes)."
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        yield from _command([name], command)


def _command(path: Sequence[str], command: Any) -> Iterator[str]:
    if not command.hidden:
        yield from ("", f"## {' '.join(path)}" if len(path) == 1 else f"### {' '.join(path)}", "")
        yield _plain(command.help or command.short_help or "")
        yield from _parameters(command)
    for name, each in getattr(command, "commands", {}).items():
        yield from _command([*path, name], each)


def _parameters(command: Any) -> Iterator[str]:
    shown = [
        each for each in command.params if each.name not in _OF_ALL and not getattr(each, "hidden", False)
    ]
    if not shown:
        return
    yield from ("", "| | |", "|---|---|")
    for each in shown:
        yield f"| `{_cell(_label(each))}` | {_cell(getattr(each, 'help', None) or '')} |"


def _label(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper()).strip("[]")
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    return names if parameter.is_flag else f"{names} {parameter.metavar or parameter.name.upper()}"


def _http() -> Iterator[str]:
    document = json.loads(json.dumps(create_app(Settings(), {}).openapi()))
    yield "# The HTTP interface"
    yield ""
    yield "Made from the code by `development/reference.py`; [openapi.json](openapi.json) has each member, and an API serves it with its own"
    yield "pipelines at `/openapi.json`, readable at `/docs`. A scope is what the caller's key must have."
    yield from ("", "| request | scope | does |", "|---|---|---|")
    for path, operations in document["paths"].items():
        for method in _METHODS:
            if method in operations:
                yield _request(method, path, operations[method])
    yield from ("", "## Problems", "")
    yield "Each error is a problem document (RFC 9457) whose `type` is `urn:mousetrap:problem:KIND`, and whose `detail` has what to do."
    yield from ("", "| kind | status | means |", "|---|--:|---|")
    for kind in Kind:
        yield f"| `{kind.value}` | {kind.status} | {kind.headline} |"


def _request(method: str, path: str, operation: Mapping[str, Any]) -> str:
    scopes = {scope for way in operation.get("security", ()) for found in way.values() for scope in found}
    about = (operation.get("description") or operation.get("summary") or "").partition("\n\n")[0]
    return f"| `{method.upper()} {path}` | {', '.join(sorted(scopes))} | {_cell(about)} |"


def _plain(text: str) -> str:
    """Without the marks of a terminal."""
    return re.sub(r"\[/?[a-z]+\]", "", text).strip()


def _cell(text: str) -> str:
    return " ".join(_plain(text).replace("|", "\\|").split())


def main() -> None:
    for page, text in pages().items():
        page.write_text(text)


if __name__ == "__main__":
    main()
