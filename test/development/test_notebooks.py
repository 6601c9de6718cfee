"""Tests that the notebooks run from top to bottom."""

import ast
import asyncio
import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from mousetrap.settings import announced

FOLDER = Path(__file__).parents[2] / "development"


def run_cells(notebook: Path) -> list[Any]:
    """The value of each code cell's last line, the cells run one after another as a notebook does."""
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    names: dict[str, Any] = {}

    async def run() -> list[Any]:
        return [await _value("".join(cell["source"]), names) for cell in cells]

    return asyncio.run(run())


async def _value(source: str, names: dict[str, Any]) -> Any:
    *statements, last = ast.parse(source).body
    if not isinstance(last, ast.Expr):
        statements, last = [*statements, last], ast.Expr(ast.Constant(None))
    code = compile(ast.Module(statements, []), "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if inspect.isawaitable(waiting := eval(code, names)):
        await waiting
    return eval(compile(ast.fix_missing_locations(ast.Expression(last.value)), "cell", "eval"), names)


NOTEBOOK = FOLDER / "01_a_worker_step_by_step.ipynb"
TIMELINE = [
    ("accepted", "shout", None),
    ("started", "shout", 1),
    ("finished", "shout", 1),
    ("completed", None, None),
]


def test_a_worker_is_built_step_by_step(
    broker_url: str, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOUSETRAP_BROKER_URL", broker_url)
    monkeypatch.setenv("MOUSETRAP_STORE_URL", store_url)
    monkeypatch.setenv("MOUSETRAP_SIGNING_KEYS", "off")

    bands, _, result, timeline, body, waiting = run_cells(NOTEBOOK)

    assert sum(band.count for band in bands) == 40
    assert result == "HELLO"
    assert timeline == TIMELINE
    assert body == b"hello"
    assert waiting == {"start_fetch": 0, "data_processing": 0}


def test_beside_a_local_stack_it_finds_addresses_and_keys_by_itself(
    tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / ".mousetrap"
    place.mkdir(mode=0o700)
    (tmp_path / "development").mkdir()
    monkeypatch.chdir(tmp_path / "development")
    addresses = {"MOUSETRAP_BROKER_URL": store_url, "MOUSETRAP_STORE_URL": store_url}
    with announced(place, {**addresses, "MOUSETRAP_SIGNING_KEYS": "here:a-secret-of-this-stack"}):
        *_, result, timeline, skipped, waiting = run_cells(NOTEBOOK)

    assert result == "HELLO"
    assert timeline == TIMELINE
    assert (skipped, waiting) == ("skipped: the broker here is no RabbitMQ", {})
