"""Any text becomes safe to print, and otherwise stays the same."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mousetrap.telemetry import one_line, printable, printable_json
from support.characters import ANY_TEXT, unsafe


@given(ANY_TEXT)
def test_whatever_the_text_it_steers_no_terminal_and_stays_as_long(text: str) -> None:
    shown = printable(text)

    assert not unsafe(shown, but="\n\t")
    assert len(shown) == len(text)
    assert all(new in (old, "\N{REPLACEMENT CHARACTER}") for old, new in zip(text, shown, strict=True))


@given(ANY_TEXT)
def test_whatever_the_text_it_is_one_line(text: str) -> None:
    shown = one_line(text)

    assert not unsafe(shown)
    assert len(shown.splitlines()) <= 1


@given(
    st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
@pytest.mark.parametrize("ascii_only", [False, True])
def test_json_is_the_same_document_without_what_steers_a_terminal(ascii_only: bool, document: object) -> None:
    shown = printable_json(json.dumps(document, ensure_ascii=False), ascii_only=ascii_only)

    assert json.loads(shown) == document
    assert not unsafe(shown)
    assert shown.isascii() or not ascii_only


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain é 日本 👩‍🚀 שלום", "plain é 日本 👩‍🚀 שלום"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x1b[2J\x07\x7f\x9b1m", "\\x1b[2J\\x07\\x7f\\x9b1m"),
        ("user\u202etxt.exe\u2066", "user\\u202etxt.exe\\u2066"),
        ("\udcff", "\\udcff"),
    ],
)
def test_a_line_shows_what_was_there(text: str, line: str) -> None:
    assert one_line(text) == line
