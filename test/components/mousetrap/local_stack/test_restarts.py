"""Which processes of a stack are restarted."""

import pytest

from mousetrap.local_stack.restarts import MAX_SHORT_RUNS, Start, next_start


@pytest.mark.parametrize("code", [70, 1, -9, -11])
def test_a_worker_that_the_watchdog_ended_or_that_was_killed_is_restarted(code: int) -> None:
    assert next_start(Start(100.0, short_runs=2), code, 200.0) == Start(201.0, short_runs=0)


@pytest.mark.parametrize("code", [0, 2, 75])
def test_a_worker_that_was_asked_to_end_or_cannot_start_is_not(code: int) -> None:
    assert next_start(Start(100.0), code, 200.0) is None


def test_a_worker_is_not_restarted_after_too_many_short_runs_in_a_row() -> None:
    start: Start | None = Start(100.0)
    short_runs = []
    while start is not None:
        short_runs.append(start.short_runs)
        start = next_start(start, 70, start.at_s + 4.9)

    assert short_runs == list(range(MAX_SHORT_RUNS + 1)) == [0, 1, 2, 3]
