"""Acknowledgements combined: each tag once, and no open one."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mousetrap.job_queue.deliveries import combined


@pytest.mark.parametrize(
    ("unsent", "unsettled", "sent"),
    [
        ([], {1, 2}, []),
        ([1], {2}, [(1, False)]),
        ([1], set(), [(1, False)]),
        ([1, 2, 3], {4}, [(3, True)]),
        ([3, 1, 2], set(), [(3, True)]),
        ([2, 3], {1, 4}, [(2, False), (3, False)]),
        ([1, 2, 4], {3}, [(2, True), (4, False)]),
        # The second was handed back: it is not open, and not sent.
        ([1, 3], {4}, [(3, True)]),
    ],
)
def test_tags_without_an_open_one_below_them_are_sent_as_one_acknowledgement(
    unsent: list[int], unsettled: set[int], sent: list[tuple[int, bool]]
) -> None:
    assert combined(unsent, unsettled) == sent


@given(st.data())
def test_a_broker_that_receives_them_knows_exactly_what_is_settled(data: st.DataObject) -> None:
    tags = data.draw(st.permutations(range(1, data.draw(st.integers(1, 40)) + 1)))
    unsettled, outstanding, unsent = set(tags), set(tags), []

    for tag in tags[: data.draw(st.integers(0, len(tags)))]:
        unsettled.remove(tag)
        if data.draw(st.booleans()):
            unsent.append(tag)
        else:
            outstanding.remove(tag)  # handed back
        if data.draw(st.booleans()):
            receive(combined(unsent, unsettled), outstanding)
            unsent.clear()
    receive(combined(unsent, unsettled), outstanding)

    assert outstanding == unsettled


def receive(sent: Sequence[tuple[int, bool]], outstanding: set[int]) -> None:
    """Acts as a broker; an acknowledgement of a tag that is not outstanding would close the channel."""
    for tag, multiple in sent:
        assert tag in outstanding
        outstanding -= {each for each in outstanding if each <= tag} if multiple else {tag}
