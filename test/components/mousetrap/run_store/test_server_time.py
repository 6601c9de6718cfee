"""Tests the time of plain commands."""

import pytest

from mousetrap.run_store.packed.server_time import ServerTime


class Clock:
    def __init__(self) -> None:
        self.now_s = 5.0

    def __call__(self) -> float:
        return self.now_s


def test_it_counts_on_from_the_last_measurement() -> None:
    clock = Clock()
    time = ServerTime(clock)
    time.measure(1_000.0)
    clock.now_s += 2.5

    assert time.now_ms() == 1_002_500


def test_it_follows_a_clock_that_leaps_ahead_at_once() -> None:
    clock = Clock()
    time = ServerTime(clock)
    time.measure(1_000.0)
    time.measure(5_000.0)

    assert time.now_ms() == 5_000_000


def test_where_the_clock_is_set_back_it_goes_on_a_tenth_slower() -> None:
    clock = Clock()
    time = ServerTime(clock)
    time.measure(1_000.0)
    time.measure(900.0)
    assert time.now_ms() == 1_000_000
    clock.now_s += 100.0
    time.measure(1_000.0)
    assert time.now_ms() == 1_090_000
    clock.now_s += 2_000.0
    time.measure(3_000.0)
    assert time.now_ms() == 3_000_000


@pytest.mark.parametrize(
    ("note", "now_ms"),
    [
        (b"1000000 60000", 1_060_000),  # noted now, a minute ahead
        (b"900000 60000", 1_050_000),  # a tenth of a hundred seconds less
        (b"1100000 60000", 1_160_000),  # noted before the clock was set back
        (b"100000 0", 1_000_000),
        (b"nonsense", 1_000_000),
        (b"9999999999999 0", 87_400_000),  # at most a day
    ],
)
def test_it_begins_where_the_functions_are(note: bytes, now_ms: int) -> None:
    time = ServerTime(Clock())
    time.measure(1_000.0)
    time.follow(note)

    assert time.now_ms() == now_ms
