"""A redrive that comes too late for its run is no repair."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from mousetrap.api_client import LetterFilter, Reply
from mousetrap.cli import main
from mousetrap.shapes import Fan, LetterLine, LetterPage, Operation, Run, RunState, Stage

LATE = "the run stays as it is: it went on, or ended, without them before\n"
OPEN = Fan(job="j", stage="list", state="closed", opened=2, total=2, done=1, lost=1)
FIRED = replace(OPEN, state="fired")


class _Api:
    """Answers as an API whose run r1 is as this, and one of whose dead letters is of this stage."""

    def __init__(self, state: str, lost: str, fans: tuple[Fan, ...]) -> None:
        self._state, self._lost, self._fans = state, lost, fans
        #: Two of those letters that could be read, or none of eight that could not.
        self.matched = 2

    def run(self, run_id: str) -> Reply[Run]:
        run = Run(
            id=run_id,
            pipeline="papers",
            state=RunState(self._state),
            stage="sum",
            accepted_ms=0,
            updated_ms=0,
            fans=self._fans,
        )
        return Reply(msgspec.json.encode(run), Run)

    def stages(self, _: str) -> tuple[Stage, ...]:
        inside = {"read": ("list",)}
        return tuple(
            Stage(name=name, queue=name, input={}, output={}, inside=inside.get(name, ()))
            for name in ("list", "read", "sum")
        )

    def letters(self, letters: LetterFilter, *, limit: int) -> Reply[LetterPage]:
        found = LetterLine(
            id="d1",
            queue="q",
            believed=True,
            reason="r",
            error_kind="E",
            error="",
            run_id="r1",
            stage=self._lost,
        )
        page = LetterPage(letters=(found,), matched=1, seen=1, unseen=0)
        return Reply(msgspec.json.encode(page), LetterPage)

    def redrive(self, *_: Any, **__: Any) -> Reply[Operation]:
        operation = Operation(
            id="o1", kind="redrive", state="done", filter={}, rate=1.0, who="ops", matched=self.matched, done=self.matched,
            unseen=8 - 4 * self.matched, created_ms=0, updated_ms=0,
        )  # fmt: skip
        return Reply(msgspec.json.encode(operation), Operation)


@pytest.mark.parametrize("selected", [("--run", "r1"), ("d1",)], ids=["of the run", "by its id"])
@pytest.mark.parametrize(
    ("state", "lost", "fans", "more"),
    [
        ("failed", "list", (), ""),
        ("failed", "read", (OPEN,), ""),
        ("failed", "sum", (FIRED,), ""),
        ("running", "read", (FIRED,), LATE),
        ("completed", "read", (FIRED,), LATE),
        ("cancelled", "list", (), LATE),
    ],
)
def test_a_run_that_has_gone_on_without_them_is_not_called_repaired(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    state: str,
    lost: str,
    fans: tuple[Fan, ...],
    more: str,
    selected: tuple[str, ...],
) -> None:
    @contextmanager
    def open_api(**_: Any) -> Iterator[_Api]:
        yield _Api(state, lost, fans)

    monkeypatch.setattr("mousetrap.cli.dead.open_api", open_api)

    assert main(["dead", "redrive", *selected]) == 0
    assert capsys.readouterr().out == f"2 redriven\n{more}"


@pytest.mark.parametrize("selected", [("--reason", "max-retries"), ("d1",)], ids=["by reason", "by its id"])
def test_letters_that_could_not_be_read_are_not_called_unknown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], selected: tuple[str, ...]
) -> None:
    @contextmanager
    def open_api(**_: Any) -> Iterator[_Api]:
        api = _Api("failed", "list", ())
        api.matched = 0
        yield api

    monkeypatch.setattr("mousetrap.cli.dead.open_api", open_api)

    assert main(["dead", "redrive", *selected]) == 1
    assert "8 could not be read just now: repeat the command" in capsys.readouterr().err
