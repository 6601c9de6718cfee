"""Batches of dead letters, and the sum of their replies."""

from mousetrap.cli.repairs import Repaired, in_batches
from mousetrap.shapes import Discarded, Redriven


def test_letters_that_come_meanwhile_are_not_discarded() -> None:
    limits: list[int] = []

    def discard(limit: int) -> Discarded:  # a new letter comes for each that is discarded
        limits.append(limit)
        return Discarded(matched=1200, left=700, unseen=0, discarded=min(500, limit))

    sums: list[int] = []
    done = in_batches(discard, lambda total: sums.append(total.removed))

    assert limits == [500, 500, 200]
    assert sums == [500, 1000]
    assert (done.discarded, done.left) == (1200, 0)


def test_a_request_that_removes_nothing_is_the_last() -> None:
    reply = Discarded(matched=3, left=3, unseen=1, discarded=0)

    assert in_batches(lambda _: reply, lambda _: None) == Repaired(matched=3, left=3, unseen=1)


def test_stale_letters_count_as_removed() -> None:
    first = Redriven(matched=5, left=2, unseen=0, redriven=1, stale=2)
    second = Redriven(matched=2, left=0, unseen=0, redriven=2, stale=0)

    total = Repaired.of(first).plus(Repaired.of(second))

    assert total == Repaired(matched=5, left=0, unseen=0, redriven=3, stale=2)
