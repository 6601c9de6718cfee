"""The order of recording and publishing keeps its promises in every interleaving."""

import pytest

from model.explore import explore
from model.order import Order


@pytest.mark.slow
@pytest.mark.parametrize("beside", [True, False], ids=["beside", "record, then publish"])
def test_no_outcome_is_decided_twice_and_nothing_follows_from_a_lost_one(beside: bool) -> None:
    explored = explore(Order(beside=beside), faults=2)

    assert explored.breach == ()
    assert explored.stuck == 0
    # Every interleaving of this size, and not a part of it.
    assert explored.states > 10_000


def test_with_one_fault_every_state_can_still_end_well() -> None:
    explored = explore(Order(), faults=1)

    assert (explored.breach, explored.stuck) == ((), 0)


@pytest.mark.parametrize("order", [Order(looks_at_parent=False), Order(compares_fences=False)], ids=str)
def test_without_a_rule_the_second_stage_starts_on_an_outcome_that_is_not_recorded(order: Order) -> None:
    explored = explore(order, faults=1)

    assert explored.breach
    assert explored.breach[-1].startswith("the second stage starts on")
