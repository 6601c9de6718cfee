"""Checks that an impossible limit is refused where it is written."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from mousetrap.pipeline import AtMost, Payload, Rate, Stage, limits_met


class Order(msgspec.Struct):
    customer: str
    amount: int = 0


def stage(limit: Any, contract: Any = Order) -> Stage:
    return Stage(name="charge", queue="charges", input=contract, output=int, limit=limit)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: AtMost(0), r"AtMost\(most=0.*most is 0: write a whole number from 1 to 1,000,000"),
        (lambda: AtMost(-3), "most is -3: write a whole number"),
        (lambda: AtMost(2.5), "most is 2.5: write a whole number"),  # type: ignore[arg-type]
        (lambda: AtMost(True), "most is True: write a whole number"),
        (lambda: Rate(0), "most is 0: write a whole number from 1 to 100,000"),
        (lambda: Rate(5, burst=0), "burst is 0: write a whole number"),
        (lambda: Rate(5, every="day"), "every is 'day': write one of second, minute, hour"),  # type: ignore[arg-type]
        (lambda: AtMost(3, per=""), "per is '': write the name of a field"),
        (
            lambda: AtMost(3, per="customer", fair="customer"),
            "each value has its own room already: leave out fair, or per",
        ),
        (lambda: stage(3), "stage 'charge': limit is 3: write AtMost"),
        (
            lambda: stage((AtMost(3), AtMost(4))),
            "stage 'charge': limit has two of a kind, .*: keep one of them",
        ),
        (
            lambda: stage(AtMost(3, per="client")),
            "stage 'charge': .* names the field 'client', and its input has: customer, amount",
        ),
        (lambda: stage(AtMost(3, per="client"), int), "names the field 'client', and its input has: none"),
    ],
)
def test_an_impossible_limit_is_refused_with_the_place_and_what_to_write(
    make: Callable[[], object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_a_stage_has_its_limits_in_the_order_in_which_they_are_written() -> None:
    assert stage(None).limits == ()
    assert stage(AtMost(3)).limits == (AtMost(3),)
    assert stage((Rate(50), AtMost(3, per="customer"))).limits == (Rate(50), AtMost(3, per="customer"))


def test_an_input_that_may_have_other_fields_may_be_limited_by_one_of_them() -> None:
    assert stage(AtMost(3, per="client"), dict[str, str]).limits


def test_jobs_with_the_same_value_meet_the_same_limit() -> None:
    limited = stage((AtMost(3, per="customer"), Rate(50, fair="customer")))

    def met(body: bytes) -> Any:
        return limits_met(Payload(body), "orders", limited)

    (one, rate), (other, _) = met(b'{"customer": "acme"}'), met(b'{"amount":3, "customer":"acme"}')
    assert one == other
    assert one.key.startswith("orders.charge:n:") and one.of == "customer=acme"
    assert met(b'{"customer": "else"}')[0].key != one.key
    assert (rate.key, rate.interval_ms, rate.at_once, rate.of) == ("orders.charge:r", 20.0, 5, "")
    assert rate.line != met(b'{"customer": "else"}')[1].line
    assert met(b"no JSON") == met(b"{}")


@pytest.mark.parametrize(
    ("rate", "interval_ms", "at_once"),
    [
        (Rate(50), 20.0, 5),
        (Rate(3), 1000 / 3, 1),
        (Rate(60, every="minute"), 1000.0, 1),
        (Rate(10, every="hour", burst=4), 360_000.0, 4),
    ],
)
def test_a_rate_is_spread_over_its_time(rate: Rate, interval_ms: float, at_once: int) -> None:
    assert (rate.interval_ms, rate.at_once) == (interval_ms, at_once)
