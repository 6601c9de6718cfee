"""Checks how an edited input is compared with the former one."""

import pytest

from mousetrap.dashboard.changes import changes, mark_of


def test_only_what_is_other_is_shown_with_what_is_around_it() -> None:
    before = b'{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6, "g": 7, "h": 8, "i": 9}'
    after = before.replace(b'"b": 2', b'"b": 20').replace(b'"i": 9', b'"i": 9.0')

    found = changes(before, after)

    assert [(it.kind[0], it.text.strip()) for it in found.lines] == [
        ("s", "{"), ("s", '"a": 1,'), ("r", '"b": 2,'), ("a", '"b": 20,'), ("s", '"c": 3,'), ("s", '"d": 4,'),
        ("g", ""), ("s", '"g": 7,'), ("s", '"h": 8,'), ("r", '"i": 9'), ("a", '"i": 9.0'), ("s", "}"),
    ]  # fmt: skip
    assert not found.is_cut and found.mark == mark_of(after) != mark_of(before)


@pytest.mark.parametrize("count", [500, 5_000])
def test_much_is_cut(count: int) -> None:
    found = changes(b"[" + b"1," * count + b"1]", b"[" + b"2," * count + b"1]")

    assert found.is_cut and len(found.lines) == (200 if count == 500 else 0)


def test_what_is_no_json_is_compared_as_it_is() -> None:
    assert [it.text for it in changes(b"1", b"NaN").lines] == ["1", "NaN"]
