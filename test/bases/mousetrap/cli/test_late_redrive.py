"""A redrive that comes too late for its run is no repair."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from mousetrap.api_client import Reply
from mousetrap.cli import main
from mousetrap.shapes import Operation, Run, RunState


class _Api:
    """Answers as an API whose run r1 has this state, and two dead letters."""

    def __init__(self, state: str) -> None:
        self._state = state

    def run(self, run_id: str) -> Reply[Run]:
        run = Run(
            id=run_id,
            pipeline="papers",
            state=RunState(self._state),
            stage="sum",
            accepted_ms=0,
            updated_ms=0,
        )
        return Reply(msgspec.json.encode(run), Run)

    def redrive(self, *_: Any, **__: Any) -> Reply[Operation]:
        operation = Operation(
            id="o1", kind="redrive", state="done", filter={}, rate=1.0, who="ops", matched=2, done=2,
            created_ms=0, updated_ms=0,
        )  # fmt: skip
        return Reply(msgspec.json.encode(operation), Operation)


@pytest.mark.parametrize(
    ("state", "more"),
    [
        ("failed", ""),
        ("completed", "the run stays as it is: it went on, or ended, without them before\n"),
    ],
)
def test_a_run_that_has_ended_without_them_is_not_called_repaired(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: str, more: str
) -> None:
    @contextmanager
    def open_api(**_: Any) -> Iterator[_Api]:
        yield _Api(state)

    monkeypatch.setattr("mousetrap.cli.dead.open_api", open_api)

    assert main(["dead", "redrive", "--run", "r1"]) == 0
    assert capsys.readouterr().out == f"2 redriven\n{more}"
