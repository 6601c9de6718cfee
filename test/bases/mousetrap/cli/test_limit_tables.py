"""Tests the table of limits."""

from rich.console import Console

from mousetrap.cli.tables.limits import limits_table
from mousetrap.shapes import Limit, LimitHolder, LimitKey

HOLDER = LimitHolder(run_id="019b1f0c6a7e", job="j", worker="w1", since_ms=1, until_ms=2)
PLACES = Limit(
    stage="orders.charge", queue="charges", most=3, burst=3, per="customer", waiting=1997, more=12,
    keys=(
        LimitKey(key="k", of="customer=acme", running=3, waiting=1997, holders=(HOLDER,)),
        LimitKey(key="l", of="customer=[red]else", running=1, waiting=0),
    ),
)  # fmt: skip
RATE = Limit(stage="orders.mail", queue="mails", most=50, every="second", burst=5, fair="customer", waiting=0)


def drawn(*limits: Limit) -> str:
    console = Console(width=140)
    with console.capture() as capture:
        console.print(limits_table(limits))
    return capture.get()


def test_each_key_has_a_row_with_who_runs_and_how_many_wait() -> None:
    lines = [" ".join(line.split()) for line in drawn(PLACES, RATE).splitlines()]

    assert "orders.charge 3 at once per customer customer=acme 3 1,997 019b1f0c6a7e" in lines
    assert "customer=[red]else 1 0" in lines
    assert "orders.mail 50 a second, fair by customer 0 0" in lines
    assert "orders.charge: 12 keys more" in lines


def test_holders_are_named_by_ids_that_can_be_given_to_a_command() -> None:
    ids = [f"01a22da2{number:024x}" for number in range(7)]
    holders = tuple(LimitHolder(run_id=it, job="j", worker="w1", since_ms=1, until_ms=2) for it in ids)
    key = LimitKey(key="k", of="", running=7, waiting=3, holders=holders)
    shown = drawn(Limit(stage="mail.mail", queue="mails", most=7, burst=7, waiting=3, keys=(key,)))

    assert [it for it in ids if it in shown] == ids[:5]
    assert "and 2 more" in shown


def test_without_a_limit_that_is_what_is_shown() -> None:
    assert "no limits" in drawn()
