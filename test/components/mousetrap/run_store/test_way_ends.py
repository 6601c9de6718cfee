"""Tests how many ends of ways one call records."""

from itertools import pairwise

import pytest

from mousetrap.run_store.packed.call import Call
from mousetrap.run_store.packed.way_ends import WayEnds
from support.packed import packed_first


@pytest.mark.parametrize(
    ("size", "of_each"),
    [(100, [64, 64, 2]), (300_000, [3] * 43 + [1]), (2_000_000, [1] * 130)],
)
def test_one_call_has_at_most_64_ends_and_a_mebibyte_of_records(size: int, of_each: list[int]) -> None:
    parent, call = packed_first("r1"), Call()
    ends = WayEnds(call)
    children = [parent.child("read", b"1", index=index, fence=1) for index in range(130)]

    places = [ends.add(child, b"c", b"x" * size) for child in children]
    ends.close(0, 1)

    sizes = [
        sum(map(len, (word for word in command if isinstance(word, bytes)))) for command in call.commands
    ]
    assert [[place for place, _ in places].count(n) for n in range(len(call.commands))] == of_each
    assert all(second == (place, nth + 1) for (place, nth), second in pairwise(places) if second[0] == place)
    assert max(sizes) < max(size, 1024 * 1024) + 10_000
