"""Gives letters time to come on a busy machine."""

import pytest


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look takes a silence of half a second for a letter that another process holds; here none does."""
    monkeypatch.setattr("mousetrap.dead_letters.held._NEXT_TIMEOUT_S", 10.0)
