"""Tests the import of what a catalogue names."""

import math

import pytest

from mousetrap.catalogue_entries import load


def test_a_name_leads_to_its_object() -> None:
    assert load("math:sqrt") is math.sqrt


@pytest.mark.parametrize("name", ["math:no_such", "no_such_module:x", "math", "", ":x"])
def test_a_name_that_leads_nowhere_is_shown(name: str) -> None:
    with pytest.raises(ValueError, match="in the catalogue cannot be imported") as raised:
        load(name)

    assert repr(name) in str(raised.value)
