"""Delays: never early, at most a hundredth late, to the right queue."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mousetrap.job_queue.topology.delay_ladder import DELIVER, RUNGS, rung, wait, way_down
from mousetrap.job_queue.topology.topology import topology
from mousetrap.jobs import LONGEST_DELAY_S, QueueOptions

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
        (1.61, 17),
        (9.9, 99),
        (12.7, 128),
        (60, 600),
        (3600, 0b1000111 << 9),
        (86_400, 0b110101 << 14),
        (LONGEST_DELAY_S, 15 << 24),
    ],
)
def test_a_delay_becomes_its_tenths_of_a_second_rounded_up_to_the_fewest_rungs_in_a_hundredth(
    after: float, tenths: int
) -> None:
    exchange, key = way_down("work", after)

    *bits, queue = key.split(".")
    assert queue == "work"
    assert int("".join(bits), 2) == tenths
    assert exchange == rung(tenths.bit_length() - 1)


@pytest.mark.parametrize("after", [0, -1, float("inf"), float("nan"), LONGEST_DELAY_S + 1, 1e300])
def test_a_delay_that_is_none_or_longer_than_the_ladder_is_refused(after: float) -> None:
    with pytest.raises(ValueError, match="a delay of"):
        way_down("work", after)


def test_the_longest_delay_is_most_of_a_year() -> None:
    assert 290 < LONGEST_DELAY_S / 86_400 < 292


@given(st.floats(min_value=0.001, max_value=LONGEST_DELAY_S), st.sampled_from(QUEUES))
def test_every_message_comes_to_its_queue_alone_never_early_and_at_most_a_hundredth_late(
    after: float, to: str
) -> None:
    waited, rungs, queues = climb(*way_down(to, after))

    assert queues == [to]
    assert rungs <= 7
    assert after <= waited <= after * 1.01 + 0.1 + rungs * 0.001


@given(st.integers(min_value=1, max_value=100_000))
@example(649)  # as seconds, ten times 64.9 is a little more than 649: it waits for 656 tenths
def test_no_number_of_tenths_within_a_hundredth_waits_on_fewer_rungs(tenths: int) -> None:
    _, key = way_down("work", tenths / 10)

    chosen = key.count("1")
    assert chosen <= min(other.bit_count() for other in range(tenths, tenths + tenths // 100 + 1))


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
