"""Unconfirmed messages after a confirm, a return or a loss."""

import asyncio
from collections.abc import Sequence

import pytest

from mousetrap.job_queue.in_flight import InFlight, Pending


@pytest.mark.parametrize(
    ("confirms", "settled", "left"),
    [
        ([(2, False)], ["m2"], ["m1", "m3", "m4"]),
        ([(3, True)], ["m1", "m2", "m3"], ["m4"]),
        ([(2, False), (3, True)], ["m2", "m1", "m3"], ["m4"]),
        ([(4, True), (2, False)], ["m1", "m2", "m3", "m4"], []),
        ([(9, False)], [], ["m1", "m2", "m3", "m4"]),
    ],
)
def test_a_confirm_is_for_one_message_or_for_all_up_to_it(
    confirms: list[tuple[int, bool]], settled: list[str], left: list[str]
) -> None:
    table = in_flight("m1", "m2", "m3", "m4")

    taken = [pending for tag, multiple in confirms for pending in table.confirmed(tag, multiple)]

    assert ids(taken) == settled
    assert ids(table.lost()) == left


def test_a_return_marks_the_oldest_of_that_id_and_queue_that_is_not_marked() -> None:
    table = in_flight("a", "b", "b", "c")

    table.returned("b", "q")
    table.returned("b", "q")
    table.returned("c", "elsewhere")

    assert [pending.returned for pending in table.lost()] == [False, True, True, False]


def test_after_a_loss_the_next_channel_counts_from_one() -> None:
    table = in_flight("old1", "old2")
    table.lost()

    table.add(message("new"))

    assert ids(table.confirmed(1, False)) == ["new"]


def test_a_late_message_is_removed_and_its_confirm_has_no_effect() -> None:
    table = InFlight()
    for each, deadline in (("early", 10.0), ("late", 5.0)):
        table.add(message(each, deadline=deadline))

    assert ids(table.late(7.0)) == ["late"]
    assert ids(table.confirmed(2, False)) == []
    assert ids(table.lost()) == ["early"]


def test_there_is_room_until_messages_or_bytes_are_too_many_and_again_after_a_confirm() -> None:
    many, large = InFlight(), InFlight()
    for _ in range(2_000):
        assert many.has_room
        many.add(message("small"))
    for _ in range(2):
        assert large.has_room
        large.add(message("large", body=bytes(16_777_216)))

    assert not many.has_room
    assert not large.has_room
    many.confirmed(1, False)
    large.confirmed(1, True)
    assert many.has_room
    assert large.has_room


def message(name: str, *, deadline: float = 1.0, body: bytes = b"x") -> Pending:
    loop = asyncio.new_event_loop()
    loop.close()
    return Pending(
        queue="q",
        exchange="mousetrap.jobs",
        key="q",
        id=name,
        properties=b"",
        body=body,
        deadline=deadline,
        done=loop.create_future(),
    )


def in_flight(*names: str) -> InFlight:
    table = InFlight()
    for name in names:
        table.add(message(name))
    return table


def ids(pending: Sequence[Pending]) -> list[str]:
    return [each.id for each in pending]
