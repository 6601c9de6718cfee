"""Tests that the notebooks run from top to bottom."""

import ast
import asyncio
import inspect
import json
import re
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

from mousetrap.settings import announced

FOLDER = Path(__file__).parents[2] / "development"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
#: Of one notebook in a kernel: its start and its longest cell.
_CELL_TIMEOUT_S = 120


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
    code = compile(
        ast.Module(statements, []), "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
    )
    if inspect.isawaitable(waiting := eval(code, names)):
        await waiting
    expression = compile(
        ast.fix_missing_locations(ast.Expression(last.value)),
        "cell",
        "eval",
        flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
        dont_inherit=True,
    )
    value = eval(expression, names)
    return await value if inspect.iscoroutine(value) else value


def test_there_is_a_story_of_six() -> None:
    assert [notebook.name[:2] for notebook in NOTEBOOKS] == ["01", "02", "03", "04", "05", "06"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_output_is_kept_and_each_link_leads_somewhere(notebook: Path) -> None:
    cells = json.loads(notebook.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    links = re.findall(r"\]\(([^)#]+)\)", "\n".join("".join(cell["source"]) for cell in cells))

    assert [cell for cell in code if cell["outputs"] or cell["execution_count"]] == []
    assert [link for link in links if not (FOLDER / link).exists()] == []


def test_data_are_fetched_and_summed_up() -> None:
    count, bands = run_cells(FOLDER / "01_fetch_data.ipynb")

    assert count >= sum(counted for _, _, counted in bands) > 1_000  # some have no magnitude


def test_a_task_fails_is_given_up_and_is_repaired() -> None:
    _, recovers, given_up, repaired, bad_day = run_cells(FOLDER / "04_failing.ipynb")

    assert recovers == ("completed", 3, 1.5)
    assert given_up == ("failed", "max-retries")
    assert repaired == ("failed", "completed", 0.2)
    assert bad_day == ("completed", 1.5)


def test_a_graph_joins_what_it_could_read() -> None:
    _, inline, in_a_world = run_cells(FOLDER / "05_a_graph.ipynb")

    assert inline == (6, 1)
    assert in_a_world == ("completed", (6, 1), 1)


TIMELINE = [
    ("accepted", "shout", None),
    ("started", "shout", 1),
    ("finished", "shout", 1),
    ("completed", None, None),
]
#: What the cells of a notebook show, one after another; 01 and 06 show what differs from run to run as well.
SHOWN: dict[str, list[Any]] = {
    "02_a_queue": [6, b"hello"],
    "03_a_worker": ["IT IS STILL A FUNCTION", "HELLO", TIMELINE],
    "04_failing": [
        ("completed", 3, 1.5),
        ("failed", "max-retries"),
        ("failed", "completed", 0.2),
        ("completed", 1.5),
    ],
    "05_a_graph": [(6, 1), ("completed", (6, 1), 1)],
}


@pytest.fixture
def on_rabbitmq(broker_url: str, store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOUSETRAP_BROKER_URL", broker_url)
    monkeypatch.setenv("MOUSETRAP_STORE_URL", store_url)
    monkeypatch.setenv("MOUSETRAP_SIGNING_KEYS", "off")


@pytest.mark.usefixtures("on_rabbitmq")
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_runs_in_a_kernel_of_its_own_on_rabbitmq(notebook: Path) -> None:
    cells = nbformat.reads(notebook.read_text(), as_version=4)  # type: ignore[no-untyped-call]

    nbclient.NotebookClient(cells, timeout=_CELL_TIMEOUT_S, kernel_name="python3").execute()

    outputs = [output for cell in cells.cells for output in cell.get("outputs", ()) if "data" in output]
    values = [_literal(output["data"]["text/plain"]) for output in outputs]
    if notebook.stem in SHOWN:
        assert values == SHOWN[notebook.stem]
    elif notebook.stem == "01_fetch_data":
        count, bands = values
        assert count >= sum(counted for _, _, counted in bands) > 1_000
    else:
        words, kinds, spans, _ = values
        picture = outputs[-1]["data"]["application/vnd.vegalite.v5+json"]
        assert words == sum(range(1, 41)) and re.search(r"completed +┆ 40 ", kinds)
        assert [re.search(rf"{stage} +┆ 40 ", spans) for stage in ("count", "split")].count(None) == 0
        assert len(picture["data"]["values"]) == 80


def _literal(text: str) -> Any:
    """The value that a kernel has shown; its text where that is no literal, as of a data frame."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def test_beside_a_local_stack_they_find_addresses_and_keys_by_themselves(
    tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / ".mousetrap"
    place.mkdir(mode=0o700)
    (tmp_path / "development").mkdir()
    monkeypatch.chdir(tmp_path / "development")
    addresses = {"MOUSETRAP_BROKER_URL": store_url, "MOUSETRAP_STORE_URL": store_url}
    with announced(place, {**addresses, "MOUSETRAP_SIGNING_KEYS": "here:a-secret-of-this-stack"}):
        total, on_channel = run_cells(FOLDER / "02_a_queue.ipynb")
        plain, result, timeline = run_cells(FOLDER / "03_a_worker.ipynb")
        words, kinds, spans, picture = run_cells(FOLDER / "06_timelines.ipynb")

    assert (total, on_channel) == (6, b"skipped: the broker here is no RabbitMQ")
    assert (plain, result, timeline) == ("IT IS STILL A FUNCTION", "HELLO", TIMELINE)
    assert words == sum(range(1, 41))
    assert dict(kinds.iter_rows())["completed"] == 40
    assert spans["jobs"].to_list() == [40, 40]
    assert len(picture["data"]["values"]) == 80
