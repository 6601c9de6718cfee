"""Reads a worker's version from the wheel that it was installed from."""

from pathlib import Path

import pytest

from mousetrap.telemetry import version_of_program


def test_the_version_is_that_of_the_distribution_whose_command_starts_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, version, starts in (
        ("another", "9.9", "elsewhere:main"),
        ("words", "1.2", "mousetrap.words:main"),
    ):
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (folder / "entry_points.txt").write_text(f"[console_scripts]\n{name} = {starts}\n")
    monkeypatch.syspath_prepend(tmp_path)

    assert version_of_program() == "1.2"


def test_a_checkout_has_no_version() -> None:
    assert version_of_program() == "unreleased"
