"""Acknowledgements combined: each tag once, and no open one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mousetrap.job_queue.ack_batches import Acknowledgements


@pytest.mark.parametrize(
    ("settled", "sent"),
    [
        ([1], [(1, False)]),
        ([1, 2, 3], [(3, True)]),
        ([3, 1, 2], [(3, True)]),
        ([2, 3], [(2, False), (3, False)]),
        ([1, 2, 4], [(2, True), (4, False)]),
    ],
)
def test_tags_without_a_gap_are_sent_as_one_acknowledgement(
    settled: list[int], sent: list[tuple[int, bool]]
) -> None:
    acknowledgements = Acknowledgements()
    for tag in settled:
        acknowledgements.settle(tag)

    assert acknowledgements.take() == sent
    assert acknowledgements.take() == []


def test_a_tag_handed_back_closes_its_gap_and_is_not_sent() -> None:
    acknowledgements = Acknowledgements()
    acknowledgements.settle(1)
    acknowledgements.settle(3)
    acknowledgements.skip(2)

    assert acknowledgements.take() == [(3, True)]


def test_only_the_first_settled_tag_since_the_last_time_asks_for_a_flush() -> None:
    acknowledgements = Acknowledgements()

    assert [acknowledgements.settle(1), acknowledgements.settle(2)] == [True, False]
    acknowledgements.take()
    assert acknowledgements.settle(3)


@given(st.data())
def test_a_broker_that_receives_them_knows_exactly_what_is_settled(data: st.DataObject) -> None:
    tags = data.draw(st.permutations(range(1, data.draw(st.integers(1, 40)) + 1)))
    acknowledgements = Acknowledgements()
    outstanding, settled = set(tags), set()

    for tag in tags[: data.draw(st.integers(0, len(tags)))]:
        settled.add(tag)
        if data.draw(st.booleans()):
            acknowledgements.settle(tag)
        else:
            acknowledgements.skip(tag)
            outstanding.remove(tag)
        if data.draw(st.booleans()):
            receive(acknowledgements.take(), outstanding)
    receive(acknowledgements.take(), outstanding)

    assert outstanding == set(tags) - settled


def receive(sent: list[tuple[int, bool]], outstanding: set[int]) -> None:
    """Acts as a broker; an acknowledgement of a tag that is not outstanding would close the channel."""
    for tag, multiple in sent:
        assert tag in outstanding
        outstanding -= {each for each in outstanding if each <= tag} if multiple else {tag}
