"""Delays: never early, at most an eighth late, to the right queue."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mousetrap.job_queue.topology.delay_ladder import DELIVER, RUNGS, longest, rung, wait, way_down
from mousetrap.job_queue.topology.topology import topology
from mousetrap.jobs import QueueOptions

QUEUES = ["x", "y.x", "x.y", "a_long-name.dead"]


@pytest.mark.parametrize(
    ("after", "tenths"),
    [
        (0.001, 1),
        (0.1, 1),
        (0.1001, 2),
        (0.3, 3),
        (1.5, 15),
        (1.6, 16),
        (1.61, 18),
        (60, 640),
        (3600, 36_864),
        (longest(), 15 << 24),
    ],
)
def test_a_delay_becomes_its_tenths_of_a_second_with_four_leading_bits_rounded_up(
    after: float, tenths: int
) -> None:
    exchange, key = way_down("work", after)

    *bits, queue = key.split(".")
    assert queue == "work"
    assert int("".join(bits), 2) == tenths
    assert exchange == rung(tenths.bit_length() - 1)


@pytest.mark.parametrize("after", [0, -1, float("inf"), float("nan"), longest() + 1, 1e300])
def test_a_delay_that_is_none_or_longer_than_the_ladder_is_refused(after: float) -> None:
    with pytest.raises(ValueError, match="a delay of"):
        way_down("work", after)


def test_the_longest_delay_is_most_of_a_year() -> None:
    assert 290 < longest() / 86_400 < 292


@given(st.floats(min_value=0.001, max_value=longest()), st.sampled_from(QUEUES))
def test_every_message_comes_to_its_queue_alone_never_early_and_at_most_an_eighth_late(
    after: float, to: str
) -> None:
    waited, rungs, queues = climb(*way_down(to, after))

    assert queues == [to]
    assert rungs <= 4
    assert after <= waited <= max(after * 1.125, 0.1) + 0.1 + rungs * 0.001


def climb(exchange: str, key: str) -> tuple[float, int, list[str]]:
    """What a broker with our topology would do: the seconds waited, the rungs waited on, and the queues reached."""
    bindings = topology(QUEUES, QueueOptions()).bindings
    waited, rungs = 0.0, 0
    while exchange != DELIVER:
        (taken,) = [each for each in bindings if each.source == exchange and matches(each.key, key)]
        k = int(exchange.rpartition(".")[2])
        if not taken.to_exchange:
            assert taken.to == exchange
            waited, rungs = waited + wait(k) / 1000, rungs + 1
        exchange = rung(k - 1)
    return waited, rungs, [each.to for each in bindings if each.source == DELIVER and matches(each.key, key)]


def matches(pattern: str, key: str) -> bool:
    """AMQP's topic matching, for patterns whose only # is their last word."""
    patterns, words = pattern.split("."), key.split(".")
    if patterns[-1] == "#":
        patterns.pop()
        words = words[: len(patterns)]
    return len(patterns) == len(words) and all(p in ("*", w) for p, w in zip(patterns, words, strict=True))


def test_a_key_fits_into_amqp_for_the_longest_queue_name() -> None:
    _, key = way_down("q" * 63 + ".dead", 1.0)

    assert len(key) == 2 * RUNGS + 68 <= 255
