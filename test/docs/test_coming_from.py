"""Runs the blocks and rows of the pages about elsewhere."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from mousetrap.handlers import Chain, Task
from mousetrap.settings import Settings
from support.client_worker import served
from support.published import beat
from support.rows_page import RowsPage

DECLARING = RowsPage("coming-from.md")
SUBMITTING = RowsPage("coming-from-submitting.md")


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the page's blocks define, in their order."""
    return DECLARING.run_blocks()


def test_every_row_has_a_check() -> None:
    assert len(DECLARING.rows) == DECLARING.count_rows() > 100
    assert len(SUBMITTING.rows) == SUBMITTING.count_rows() > 60


def test_the_checks_of_all_rows_hold_in_their_order(names: dict[str, Any]) -> None:
    assert DECLARING.wrong_rows(names) == []


@pytest.fixture
def submitting(store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What the blocks of the page on submitting define, beside a worker that serves their tasks."""
    settings = Settings(broker_url=store_url, store_url=store_url, signing_keys="test:a-secret-for-the-tests")
    for name in ("broker_url", "store_url", "signing_keys"):
        monkeypatch.setenv(f"MOUSETRAP_{name.upper()}", getattr(settings, name))
    with ExitStack() as open_now:

        def serve(names: dict[str, Any]) -> None:
            work = [each for each in names.values() if isinstance(each, Task | Chain)]
            pipelines = {each.pipeline.name: each.pipeline for each in work}
            asyncio.run(beat(store_url, "w", *pipelines.values(), keyring=settings.keyring))
            open_now.enter_context(served(settings, *(it for each in work for it in _bindings(each))))

        names = SUBMITTING.run_blocks(serve)
        open_now.callback(names["engine"].dispose)
        for name in ("client", "topics"):
            open_now.callback(names[name].close)
        yield names


def _bindings(work: Any) -> tuple[Any, ...]:
    return work.bindings if isinstance(work, Chain) else (work.binding,)


@pytest.mark.servers
def test_the_checks_of_all_rows_on_submitting_hold_beside_a_worker(submitting: dict[str, Any]) -> None:
    assert SUBMITTING.wrong_rows(submitting) == []
