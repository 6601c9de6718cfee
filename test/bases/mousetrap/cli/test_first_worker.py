"""The page of discovery is run as it is written."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from support.clients import accepted_run, http_client
from support.commands import called
from support.processes import Process

pytestmark = pytest.mark.servers

PAGE = Path(__file__).parents[4] / "docs" / "discovery.md"
#: As the page writes it.
RESULT = ['  "to": 2,', '  "be": 2,', '  "or": 1,', '  "not": 1']


@pytest.fixture
def commands(tmp_path: Path) -> list[list[str]]:
    """The two commands of the page, with its file in the folder that they are run in."""
    text = PAGE.read_text()
    code = re.search(r"```python\n# words\.py\n(.*?)```", text, re.DOTALL)
    assert code
    (tmp_path / "words.py").write_text(code[1])
    found = re.findall(r"^    mousetrap (.*)$", text, re.MULTILINE)[:2]
    return [shlex.split(line) for line in found]


def test_a_file_is_served_and_run_in_three_terminals_without_an_export(
    start_base: Callable[..., Process], commands: list[list[str]]
) -> None:
    _, run = commands
    stack = start_base("cli", "up", MOUSETRAP_API_PORT="0")
    stack.wait_for_line("The API is at", seconds=60)
    serving = start_base("cli", "worker", "words.py")
    serving.wait_for_line("serving count, split")
    assert "mousetrap: found wordcount: split -> count" in serving.lines

    done = called(start_base, *run)

    assert done.wait() == 0, done.output
    assert [line for line in done.lines if line in RESULT] == RESULT
    assert serving.terminate() == 0
    assert stack.terminate(60) == 0


def test_the_address_is_printed_once_the_api_knows_the_pipelines_of_every_worker(
    start_base: Callable[..., Process], tmp_path: Path
) -> None:
    (tmp_path / "late.py").write_text(
        "import time\n\nfrom mousetrap.handlers import task\n\ntime.sleep(2)  # imports more than the others\n\n\n"
        "@task\ndef late(text: str) -> str:\n    return text\n"
    )
    stack = start_base("cli", "up", "late.py", MOUSETRAP_API_PORT="0")
    address = stack.wait_for_line("The API is at", seconds=60).split()[4].rstrip(",")

    with http_client(address) as api:
        assert len(api.get("/workers").json()) == 3
        accepted_run(api, "/pipelines/late/runs", "now")
    assert stack.terminate(60) == 0


def test_up_starts_a_worker_of_the_file_by_itself_and_names_its_pipelines(
    start_base: Callable[..., Process], commands: list[list[str]]
) -> None:
    up, run = commands
    stack = start_base("cli", *up, MOUSETRAP_API_PORT="0")
    stack.wait_for_line("serving count, split", seconds=60)
    stack.wait_for_line("mousetrap worker words.py --concurrency 4", seconds=60)
    assert """  mousetrap run wordcount --input '"text"'""" in stack.lines
    done = called(start_base, *run)
    assert done.wait() == 0, done.output
    assert [line for line in done.lines if line in RESULT] == RESULT
    assert stack.terminate(60) == 0


def test_up_starts_nothing_where_a_file_cannot_be_loaded(
    start_base: Callable[..., Process], tmp_path: Path
) -> None:
    (tmp_path / "words.py").write_text("raise ValueError('not now')")
    stack = start_base("cli", "up", "words.py", MOUSETRAP_API_PORT="0")

    assert stack.wait(60) == 2
    assert f"not loaded: words ({tmp_path}/words.py:1): ValueError: not now" in stack.output
    assert not (tmp_path / ".mousetrap").exists()
