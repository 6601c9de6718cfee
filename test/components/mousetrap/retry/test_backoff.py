"""The backoff: doubling, its limit, and its jitter."""

import pytest

from mousetrap.retry import Backoff


@pytest.mark.parametrize(
    ("backoff", "failures", "chance", "pause"),
    [
        (Backoff(0.1, 2.0), 1, 0.0, 0.1),
        (Backoff(0.1, 2.0), 2, 0.0, 0.2),
        (Backoff(0.1, 2.0), 5, 0.0, 1.6),
        (Backoff(0.1, 2.0), 6, 0.0, 2.0),
        (Backoff(0.1, 2.0), 10_000_000, 0.0, 2.0),
        (Backoff(0.1, 2.0), 0, 0.0, 0.1),
        (Backoff(0.1, 2.0), 6, 0.5, 1.5),
        (Backoff(0.1, 2.0), 6, 1.0, 1.0),
        (Backoff(0.2, 5.0, jitter=1.0), 3, 0.0, 0.8),
        (Backoff(0.2, 5.0, jitter=1.0), 3, 0.75, 0.2),
        (Backoff(0.2, 5.0, jitter=1.0), 20, 1.0, 0.0),
        (Backoff(0.2, 5.0, jitter=0.0), 1, 0.9, 0.2),
    ],
)
def test_a_pause_doubles_up_to_its_limit_and_chance_shortens_it(
    backoff: Backoff, failures: int, chance: float, pause: float
) -> None:
    assert backoff.pause(failures, chance) == pytest.approx(pause)
