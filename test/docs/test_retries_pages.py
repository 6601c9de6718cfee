"""Runs the code of the pages on retries and on long jobs."""

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from mousetrap.outbox import open_engine
from mousetrap.retry import Outage, RetryPolicy
from support.page_code import run_blocks

_ROOT = Path(__file__).parents[2]
_RETRIES = _ROOT / "docs/retries.md"
#: How the page writes these defaults.
_WRITTEN: Mapping[Any, str] = {(Exception,): "`Exception`", (): "none", (Outage,): "`Outage`"}


def test_the_page_on_retries_judges_each_error_and_takes_stock_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_engine(database_url) as engine:
        assert run_blocks(_RETRIES, monkeypatch, {"engine": engine}) == 4


def test_every_option_of_a_policy_has_its_row_with_its_default() -> None:
    table = _RETRIES.read_text().partition("## The policy")[2].partition("##")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", table, re.MULTILINE))

    policy = RetryPolicy()
    values = {each.name: getattr(policy, each.name) for each in fields(RetryPolicy)}
    assert rows == {
        name: _WRITTEN.get(value) or (f"{value:g}" if isinstance(value, float) else str(value))
        for name, value in values.items()
    }


def test_the_page_on_long_jobs_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_blocks(_ROOT / "docs/long-jobs.md", monkeypatch) == 3
