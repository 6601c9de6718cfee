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
    load = scale.Load(runs_a_second=45_000)
    need = scale.needed(load, scale.Costs())

    assert need.queues == 6
    assert (round(need.store_cores, 1), need.primaries) == (5.4, 6)
    assert "cluster of 6 primaries" in "\n".join(scale.lines(load, scale.Costs()))


def test_a_cluster_has_its_own_cost_and_three_primaries_at_least() -> None:
    need = scale.needed(scale.Load(runs_a_second=36_000), scale.Costs(cluster_us=20))

    assert need.primaries == 3
    assert 2 < need.store_cores < 3


def test_a_payload_by_reference_is_in_the_store_too() -> None:
    small, large = (
        scale.needed(scale.Load(runs_a_second=1, payload=size), scale.Costs()) for size in (65_536, 6_553_600)
    )

    assert 90 < large.store_gib / small.store_gib < 100


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        (["--runs", "0"], "argument --runs: it must be above 0"),
        (["--runs", "-3"], "argument --runs: '-3' is no number from 0"),
        (["--runs", "nan"], "argument --runs: 'nan' is no number from 0"),
        (["--runs", "inf"], "argument --runs: 'inf' is no number from 0"),
        (["--runs", "1", "--concurrency", "0"], "argument --concurrency: it must be above 0"),
        (["--runs", "1", "--stages", "1.5"], "argument --stages: '1.5' is no whole number"),
        (["--runs", "1", "--payload", "-1"], "argument --payload: '-1' is no number from 0"),
    ],
)
def test_what_is_no_load_is_refused_by_its_option(
    options: list[str], refusal: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        scale.main(options)

    assert refusal in capsys.readouterr().err
