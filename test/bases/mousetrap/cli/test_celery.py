"""Commands for Celery refuse wrong files, and read an app."""

from pathlib import Path

import pytest

from mousetrap.cli import main


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "cannot read declared.toml"),
        ("[tasks", "declared.toml: "),
        ("", "it declares no task, or no queue"),
    ],
)
def test_declarations_that_cannot_be_used_are_bad_usage(
    text: str | None, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        Path("declared.toml").write_text(text)

    assert main(["celery", "take", "declared.toml"]) == 2
    assert why in capsys.readouterr().err


def test_an_app_is_printed_as_tasks_and_as_declarations(capsys: pytest.CaptureFixture[str]) -> None:
    Path("shop").mkdir()
    Path("shop/tasks.py").write_text("@app.task\ndef resize(path: str) -> str:\n    return path\n")

    assert main(["celery", "read", "shop/tasks.py"]) == 0
    assert "def resize(path: str) -> str:" in capsys.readouterr().out
    assert main(["celery", "read", "shop/tasks.py", "--declarations"]) == 0
    assert '"shop.tasks.resize" = "resize"' in capsys.readouterr().out


@pytest.mark.parametrize("source", ["def", "\0"])
def test_what_is_no_python_is_bad_usage(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.py").write_text(source)

    assert main(["celery", "read", "a.py"]) == 2
    assert "no Python" in capsys.readouterr().err
