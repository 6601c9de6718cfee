"""Tests the calculator, and the code of its page."""

import re
from pathlib import Path

import pytest

import scale
from support.page_code import run_blocks

_PAGE = Path(__file__).parents[2] / "docs/scale.md"


def test_the_page_shows_what_the_script_prints(capsys: pytest.CaptureFixture[str]) -> None:
    command, shown = re.findall(r"^```(?:sh|text)\n(.*?)^```$", _PAGE.read_text(), re.MULTILINE | re.DOTALL)
    scale.main(command.split()[2:])

    assert capsys.readouterr().out == shown


def test_every_block_of_code_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_blocks(_PAGE, monkeypatch) == 1


def test_what_waits_needs_slots_and_what_computes_needs_cores() -> None:
    waits = scale.needed(scale.Load(runs_a_second=100, wait_ms=1_000), scale.Costs())
    computes = scale.needed(scale.Load(runs_a_second=100, cpu_ms=20), scale.Costs())

    assert (waits.workers, waits.workers_for) == (29, "waiting")
    assert (computes.workers, computes.workers_for) == (6, "computing")


def test_a_rate_beyond_one_queue_takes_several_and_beyond_one_store_a_cluster() -> None:
    need = scale.needed(scale.Load(runs_a_second=50_000), scale.Costs())

    assert need.queues == 7
    assert need.store_cores > 1
    assert "cluster of 2 primaries" in "\n".join(scale.lines(scale.Load(runs_a_second=50_000), scale.Costs()))
