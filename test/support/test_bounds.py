"""Bounds of replies stay long, whatever a test undoes."""

import pytest

from mousetrap.job_queue import QueueOptions
from mousetrap.store_client import opening


def test_a_test_that_undoes_its_own_patches_still_waits_long_for_busy_servers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opening, "_REPLY_TIMEOUT_S", 1.5)
    monkeypatch.undo()

    assert opening._REPLY_TIMEOUT_S == 30.0
    assert QueueOptions().confirm_deadline == 30.0
