"""Tests that any value is accepted or refused in one line."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mousetrap.catalogue import SETTINGS
from mousetrap.settings import Settings, SettingsWrong
from support.characters import ANY_TEXT
from support.settings import ANY_VALUE, NAMES

# Each value is given to every setting: making it takes longer than reading it.
_EACH = settings(
    max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@_EACH
@given(ANY_VALUE)
def test_any_value_is_right_or_one_line_that_names_the_setting(value: str) -> None:
    for name in NAMES:
        _is_right_or_one_line(name, {name: value})


@_EACH
@given(ANY_VALUE)
def test_any_name_of_a_file_is_right_or_one_line(value: str) -> None:
    for name in NAMES:
        _is_right_or_one_line(name, {f"{name}_FILE": f"/nowhere/{value}"})


@settings(parent=_EACH, max_examples=30)
@given(content=st.binary() | ANY_VALUE.map(lambda text: text.encode(errors="replace")))
def test_any_content_of_a_file_is_right_or_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "value").write_bytes(content)

    for name in NAMES:
        _is_right_or_one_line(name, {f"{name}_FILE": str(tmp_path / "value")})


@given(ANY_TEXT)
def test_a_variable_that_does_not_exist_is_one_line(name: str) -> None:
    with pytest.raises(SettingsWrong) as wrong:
        Settings.from_environ({f"MOUSETRAP_X{name}": "1"})

    assert len(str(wrong.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["RABBITMQ_HOST", "RABBITMQ_USER", "RABBITMQ_PASSWORD"])
@_EACH
@given(ANY_VALUE)
def test_the_tutorials_variables_are_right_or_one_line(name: str, value: str) -> None:
    _is_right_or_one_line("RABBITMQ_PASSWORD", {"RABBITMQ_HOST": "localhost", name: value})


def _is_right_or_one_line(name: str, environ: dict[str, str]) -> None:
    try:
        Settings.from_environ(environ, SETTINGS)
    except SettingsWrong as wrong:
        assert name in str(wrong)
        assert len(str(wrong).splitlines()) == 1
