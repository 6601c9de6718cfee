"""Checks what is excused of lists that a store has forgotten."""

from types import SimpleNamespace
from typing import Any

import pytest

from mousetrap.run_store import StoredRun
from mousetrap.shapes import RunState
from mousetrap.testing.simulation.store_server import StoreServer
from simulation.final_checks import _lists
from simulation.ledger import Ledger

DAY_MS = 86_400_000
RUN = StoredRun(
    id="r", pipeline="sums", state=RunState.FAILED, stage="add", accepted_ms=7 * DAY_MS, updated_ms=7 * DAY_MS
)


@pytest.mark.parametrize(
    ("forgotten", "complaints"),
    [
        ("", 1),
        ("mousetrap:failed:7", 0),
        ("mousetrap:runs:7", 0),
        ("mousetrap:kept:9", 0),
        ("mousetrap:hints", 0),
        ("mousetrap:failed:8", 1),
        ("mousetrap:cancelled:7", 1),
        ("mousetrap:open:sums:7", 1),
    ],
)
def test_a_run_is_missing_only_from_a_list_that_was_forgotten(forgotten: str, complaints: int) -> None:
    ledger = Ledger(lambda: 0.0)
    ledger.forget(StoreServer(lambda: 0), {forgotten.encode()} if forgotten else set())
    cluster: Any = SimpleNamespace(
        packed=True, ledger=ledger, stored=lambda _: {"r": RUN}, listed=lambda _state: []
    )

    assert len(list(_lists(cluster))) == complaints
