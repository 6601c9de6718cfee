"""Which ends of a worker the stack takes for good."""

import pytest

from mousetrap.local_stack.restarts import Life, next_life


@pytest.mark.parametrize("code", [70, 1, -9, -11])
def test_a_worker_that_the_watchdog_ended_or_that_was_killed_lives_again(code: int) -> None:
    assert next_life(Life(100.0, short=2), code, 200.0) == Life(201.0, short=0)


@pytest.mark.parametrize("code", [0, 2, 75])
def test_a_worker_that_was_asked_to_end_or_cannot_start_does_not(code: int) -> None:
    assert next_life(Life(100.0), code, 200.0) is None


def test_a_worker_that_dies_young_again_and_again_is_given_up() -> None:
    life: Life | None = Life(100.0)
    lives = []
    while life is not None:
        lives.append(life.short)
        life = next_life(life, 70, life.began + 4.9)

    assert lives == [0, 1, 2, 3]
