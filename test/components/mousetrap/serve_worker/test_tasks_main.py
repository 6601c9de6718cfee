"""Tests that modules are served whole, or not at all."""

import sys
from pathlib import Path

import pytest

from mousetrap.job_queue import open_queue
from mousetrap.serve_worker import tasks_main


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import no_such_library\n", "no_such_library"),
        ("nothing = 1\n", "not started, for half_a_worker is not served whole"),
    ],
)
def test_a_module_that_fails_or_has_no_task_is_exit_code_2_with_the_reason(
    text: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "half_a_worker.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "half_a_worker", raising=False)

    code = tasks_main(open_queue, ["half_a_worker"], "mousetrap-half-worker", "Serves nothing.")

    assert code == 2
    assert reason in capsys.readouterr().err
