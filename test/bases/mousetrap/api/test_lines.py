"""A body is split into the same lines, whatever its parts."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mousetrap.api.lines import Line, Lines

BODY = b'{"input": 1}\n\n  \r\n{"input": 2}\r\nlonger than sixteen bytes\nlast'
LINES = [
    Line(1, b'{"input": 1}'),
    Line(4, b'{"input": 2}\r'),
    Line(5, None),
    Line(6, b"last"),
]


def split(*parts: bytes) -> list[Line]:
    lines = Lines(16)
    return [line for part in parts for line in lines.feed(part)] + lines.end()


@given(st.lists(st.integers(0, len(BODY)), max_size=len(BODY)))
def test_the_parts_do_not_matter(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(BODY)]

    assert split(*(BODY[a:b] for a, b in pairwise(places))) == LINES


@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n\t\n"])
def test_blank_lines_are_none(body: bytes) -> None:
    assert split(body) == []


def test_a_line_without_end_is_not_kept() -> None:
    lines = Lines(16)
    for _ in range(1_000):
        assert lines.feed(b"x" * 10) == []
        assert len(lines._rest) <= 16

    assert lines.feed(b"\nnext\n") == [Line(1, None), Line(2, b"next")]
