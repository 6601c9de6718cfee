"""Begins runs of either family of records."""

import pytest


@pytest.fixture(params=[2, 5], ids=["hashes", "packed"])
def both_families(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The wire format of new runs: they have hashes, as those have that began before format 5, and packed records in turn."""
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", request.param)
    return int(request.param)
