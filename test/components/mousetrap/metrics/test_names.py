"""Tests that the page about metrics lists what there is."""

import re
from pathlib import Path

from mousetrap.metrics import API, OUTCOMES, REASONS, WORKER

DOCS = Path(__file__).parents[4] / "docs"
_ROW = re.compile(r"^\| `(mousetrap_\w+)` \| (\w+) \| ([^|]*)\|", re.MULTILINE)


def test_the_page_lists_every_metric_with_its_kind_and_its_labels() -> None:
    page = (DOCS / "metrics.md").read_text()

    listed = {(name, kind, tuple(re.findall(r"\w+", labels))) for name, kind, labels in _ROW.findall(page)}
    assert listed == {(name.name, name.kind, name.labels) for name in (*WORKER, *API)}
    assert all(f"`{outcome}`" in page for outcome in OUTCOMES)


def test_the_reasons_of_dead_letters_are_the_glossary_s() -> None:
    page = (DOCS / "glossary.md").read_text().partition("## Reasons of a dead letter")[2]

    rows = re.findall(r"^\| (`[^|]+) \| ([^|]+)", page.partition("\n## ")[0], re.MULTILINE)
    ours = " ".join(words for words, means in rows if not means.startswith("the broker itself"))
    assert {*re.findall(r"[a-z-]+", ours), "other"} == set(REASONS)
