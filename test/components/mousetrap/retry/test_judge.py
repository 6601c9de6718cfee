"""Failed attempts: repeated, when, or given up."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mousetrap.retry import (
    Again,
    Outage,
    RetryPolicy,
    Stop,
    TimeLimitExceeded,
    TryAgain,
    WaitOut,
    judge,
    outage_pause,
)

NOW = 1_700_000_000.0


class Busy(Exception):
    """An error with a time to retry."""

    retry_after = 7.5


@pytest.mark.parametrize(
    ("attempt", "chance", "after"),
    [
        (1, 0.5, 0.5),
        (2, 0.5, 1.0),
        (3, 0.5, 2.0),
        (4, 1.0, 8.0),
        (9, 1.0, 60.0),
        (5_000, 1.0, 60.0),
        (3, 0.0, 0.0),
    ],
)
def test_the_pause_doubles_up_to_the_cap_and_chance_picks_in_it(
    attempt: int, chance: float, after: float
) -> None:
    policy = RetryPolicy(attempts=10_000, base=1.0, cap=60.0)

    assert judge(OSError(), attempt, policy, chance, NOW) == Again(after)


def test_the_last_attempt_is_the_end() -> None:
    policy = RetryPolicy(attempts=3)

    assert isinstance(judge(OSError(), 2, policy, 0.5, NOW), Again)
    assert judge(OSError(), 3, policy, 0.5, NOW) == Stop("max-retries")


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (ConnectionError(), Again(0.5)),
        (ValueError(), Stop("not-retryable")),
        (ConnectionRefusedError(), Stop("not-retryable")),
    ],
)
def test_the_policy_decides_which_errors_a_retry_can_fix(error: Exception, verdict: Again | Stop) -> None:
    policy = RetryPolicy(retry_on=(OSError,), dont_retry_on=(ConnectionRefusedError,))

    assert judge(error, 1, policy, 0.5, NOW) == verdict


def test_an_error_with_a_time_to_retry_is_believed() -> None:
    assert judge(Busy(), 1, RetryPolicy(cap=5.0), 0.1, NOW) == Again(7.5)


@given(attempt=st.integers(1, 10_000), chance=st.floats(0, 1, exclude_max=True))
def test_no_pause_is_negative_or_beyond_the_cap(attempt: int, chance: float) -> None:
    policy = RetryPolicy(attempts=20_000, base=0.3, cap=45.0)

    verdict = judge(OSError(), attempt, policy, chance, NOW)

    assert isinstance(verdict, Again)
    assert 0 <= verdict.after <= 45.0


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"attempts": "3"}, "attempts is '3': write a whole number"),
        ({"attempts": 1.5}, "attempts is 1.5: write a whole number"),
        ({"crashes": None}, "crashes is None: write a whole number"),
        ({"base": "1s"}, "base is '1s': write seconds"),
        ({"cap": timedelta(seconds=5)}, "write seconds, as cap=2.5"),
    ],
)
def test_what_is_no_number_is_refused_with_what_to_write(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError) as refused:
        RetryPolicy(**fields)
    assert text in str(refused.value)


@pytest.mark.parametrize("numbers", [{"attempts": 0}, {"base": 0.0}, {"base": 10.0, "cap": 1.0}])
def test_a_policy_that_makes_no_sense_is_refused(numbers: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="need"):
        RetryPolicy(**numbers)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "after"),
    [
        (TryAgain(after=90.0), 90.0),
        (TryAgain(at=datetime.fromtimestamp(NOW, UTC) + timedelta(hours=2)), 7200.0),
        (TryAgain(at=datetime.fromtimestamp(NOW, UTC) - timedelta(hours=2)), 0.0),
    ],
)
def test_a_handler_can_ask_to_be_tried_again_after_a_while_or_at_a_time(
    error: TryAgain, after: float
) -> None:
    policy = RetryPolicy(attempts=2, retry_on=(OSError,), dont_retry_on=(TryAgain,))

    assert judge(error, 1, policy, 0.5, NOW) == Again(after)
    assert judge(error, 2, policy, 0.5, NOW) == Stop("max-retries")


@pytest.mark.parametrize("wrong", [{}, {"after": 1.0, "at": datetime.now(UTC)}, {"at": datetime(2026, 1, 1)}])
def test_a_request_to_retry_gives_its_time_in_one_way(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"one of them|has no time zone"):
        TryAgain(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("asked", [math.inf, 1e12])
def test_no_error_can_put_a_job_off_for_more_than_thirty_days(asked: float) -> None:
    error = Busy()
    error.retry_after = asked

    assert judge(error, 1, RetryPolicy(), 0.5, NOW) == Again(30 * 86_400.0)


def test_a_job_can_be_tried_without_end() -> None:
    assert judge(OSError(), 1_000_000, RetryPolicy(attempts=None, cap=60.0), 1.0, NOW) == Again(60.0)


def test_the_policy_decides_whether_a_time_limit_is_worth_another_try() -> None:
    assert judge(TimeLimitExceeded(), 1, RetryPolicy(), 0.5, NOW) == Again(0.5)
    assert judge(TimeLimitExceeded(), 1, RetryPolicy(on_timeout=False), 0.5, NOW) == Stop("timeout")


def test_a_policy_must_leave_room_to_find_out_which_job_kills_its_workers() -> None:
    with pytest.raises(ValueError, match="crashes"):
        RetryPolicy(crashes=2)


class DatabaseAway(Outage):
    """A handler's own error class for an outage."""


@pytest.mark.parametrize("attempt", [1, 5, 1_000])
def test_an_outage_is_waited_out_whichever_attempt_meets_it(attempt: int) -> None:
    assert judge(DatabaseAway(), attempt, RetryPolicy(), 0.5, NOW) == WaitOut(0.0)


def test_a_policy_decides_which_errors_are_outages() -> None:
    policy = RetryPolicy(outages=(ConnectionError,), retry_on=(ValueError,))

    assert judge(ConnectionRefusedError(), 9, policy, 0.5, NOW) == WaitOut(0.0)
    assert judge(Outage(), 1, policy, 0.5, NOW) == Stop("not-retryable")
    assert judge(ValueError(), 5, policy, 0.5, NOW) == Stop("max-retries")


def test_an_error_that_no_retry_will_fix_is_no_outage() -> None:
    policy = RetryPolicy(dont_retry_on=(DatabaseAway,))

    assert judge(DatabaseAway(), 1, policy, 0.5, NOW) == Stop("not-retryable")


def test_an_outage_may_give_a_time_to_retry() -> None:
    assert judge(Busy(), 1, RetryPolicy(outages=(Busy,)), 0.5, NOW) == WaitOut(7.5)
    assert outage_pause(7.5, 0.0, RetryPolicy(), 0.5) == Again(7.5)


@pytest.mark.parametrize(
    ("waited", "chance", "after"), [(0.0, 0.0, 0.5), (8.0, 0.5, 6.0), (8.0, 1.0, 8.0), (5e5, 1.0, 60.0)]
)
def test_pauses_grow_with_the_outage_up_to_the_cap_and_chance_parts_those_who_wait(
    waited: float, chance: float, after: float
) -> None:
    assert outage_pause(0.0, waited, RetryPolicy(base=1.0, cap=60.0), chance) == Again(after)


def test_an_outage_that_does_not_end_is_one_no_more() -> None:
    policy = RetryPolicy(outage_limit=3_600.0)

    assert isinstance(outage_pause(0.0, 3_599.0, policy, 0.5), Again)
    assert outage_pause(0.0, 3_600.0, policy, 0.5) == Stop("outage")
    assert isinstance(outage_pause(0.0, 1e12, RetryPolicy(outage_limit=math.inf), 0.5), Again)


@pytest.mark.parametrize("limit", [0.0, -1.0, math.nan])
def test_a_limit_of_outages_that_makes_no_sense_is_refused(limit: float) -> None:
    with pytest.raises(ValueError, match="outage_limit"):
        RetryPolicy(outage_limit=limit)


@pytest.mark.parametrize("name", ["retry_on", "dont_retry_on", "outages"])
@pytest.mark.parametrize("errors", [OSError, [OSError], ("OSError",), (OSError(),), None, "OSError", (int,)])
def test_errors_that_are_no_tuple_of_classes_are_refused(name: str, errors: object) -> None:
    with pytest.raises(ValueError, match=f"{name} is .*: need a tuple"):
        RetryPolicy(**{name: errors})  # type: ignore[arg-type]


@given(base=st.floats(min_value=1e-9), more=st.floats(min_value=1.0), waited=st.floats(0, 1e12))
def test_no_outage_is_waited_out_for_longer_than_thirty_days_at_a_time(
    base: float, more: float, waited: float
) -> None:
    policy = RetryPolicy(base=base, cap=base * more, outage_limit=math.inf)

    again = outage_pause(0.0, waited, policy, 1.0)

    assert isinstance(again, Again)
    assert 0 <= again.after <= 30 * 86_400


def test_a_number_of_crashes_that_the_store_cannot_take_is_refused() -> None:
    with pytest.raises(ValueError, match="crashes"):
        RetryPolicy(crashes=10**30)
