"""Options of a submission are checked, and a time becomes a delay."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mousetrap.jobs import LONGEST_DELAY_S
from mousetrap.submit_run import OptionInvalid, SubmitOptions, delay_until

NOON = datetime(2027, 1, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({}, 0.0),
        ({"delay": 0}, 0.0),
        ({"delay": 1.5}, 1.5),
        ({"delay": timedelta(minutes=2)}, 120.0),
        ({"delay": LONGEST_DELAY_S}, LONGEST_DELAY_S),
        ({"at": NOON}, 0.0),
        ({"at": NOON + timedelta(seconds=90)}, 90.0),
        ({"at": NOON - timedelta(seconds=1)}, 0.0),
        ({"at": datetime(2027, 1, 15, 14, tzinfo=timezone(timedelta(hours=1)))}, 3600.0),
    ],
)
def test_a_delay_or_a_time_is_so_many_seconds_from_now(given: dict[str, Any], seconds: float) -> None:
    assert delay_until(**given, now=NOON) == seconds


@pytest.mark.parametrize(
    ("given", "option", "text"),
    [
        ({"delay": -1}, "delay", "give a number from 0 on"),
        ({"delay": float("nan")}, "delay", "give a number from 0 on"),
        ({"delay": float("inf")}, "delay", "give a number from 0 on"),
        ({"delay": timedelta(days=-1)}, "delay", "give a number from 0 on"),
        ({"delay": LONGEST_DELAY_S + 1}, "delay", r"the longest delay is 25165824 \(291 days\)"),
        ({"delay": timedelta(days=365)}, "delay", "delay is 31536000 seconds from now"),
        ({"at": NOON - timedelta(seconds=1.1)}, "at", "1 s ago: give a later time"),
        ({"at": NOON - timedelta(days=1)}, "at", "86400 s ago"),
        ({"at": NOON + timedelta(days=365)}, "at", "at is 31536000 seconds from now"),
        ({"at": NOON.replace(tzinfo=None)}, "at", "without a time zone: give one, as in 2027-01-15T12:00:00"),
        ({"at": NOON, "delay": 1}, "at", "delay and at are both given: give one of them"),
        ({"at": NOON, "delay": 0}, "at", "delay and at are both given: give one of them"),
    ],
)
def test_what_is_no_time_to_begin_is_refused_with_the_option_and_the_fix(
    given: dict[str, Any], option: str, text: str
) -> None:
    with pytest.raises(OptionInvalid, match=text) as refused:
        delay_until(**given, now=NOON)

    assert refused.value.option == option


@pytest.mark.parametrize(
    ("given", "option", "text"),
    [
        ({"delay_s": -0.001}, "delay", "give a number from 0 on"),
        ({"delay_s": LONGEST_DELAY_S + 1}, "delay", "longest delay"),
        ({"expires_in": 0.0}, "expires_in", "more than 0"),
        ({"expires_in": float("nan")}, "expires_in", "more than 0"),
        ({"expires_in": 10.0**12}, "expires_in", "less than a hundred years"),
        ({"expires_in": 60.0, "delay_s": 60.0}, "expires_in", "it would never begin"),
        (
            {"expires_in": 30.0, "delay_s": 3600.0},
            "expires_in",
            "30 seconds from now, and the run may begin in 3600",
        ),
        ({"tags": ("a",) * 17}, "tags", "17 tags: give at most 16"),
        ({"tags": ("",)}, "tags", "1 to 64 printable characters"),
        ({"tags": ("x" * 65,)}, "tags", "1 to 64 printable characters"),
        ({"tags": ("a\nb",)}, "tags", "1 to 64 printable characters"),
        ({"tags": ("\x1b[31m",)}, "tags", "1 to 64 printable characters"),
    ],
)
def test_options_without_a_meaning_cannot_be_made(given: dict[str, Any], option: str, text: str) -> None:
    with pytest.raises(OptionInvalid, match=text) as refused:
        SubmitOptions(**given)

    assert refused.value.option == option


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_any_number_is_a_delay_or_refused(delay: float) -> None:
    try:
        seconds = delay_until(delay=delay, now=NOON)
    except OptionInvalid:
        assert not 0 <= delay <= LONGEST_DELAY_S
    else:
        assert seconds == delay
        SubmitOptions(delay_s=seconds)


@given(st.datetimes(timezones=st.just(UTC)))
def test_any_time_is_a_delay_or_refused(at: datetime) -> None:
    seconds = (at - NOON).total_seconds()
    try:
        delay = delay_until(at=at, now=NOON)
    except OptionInvalid:
        assert not -1 <= seconds <= LONGEST_DELAY_S
    else:
        assert delay == max(0.0, seconds)
