"""Declares a small shop, whose suppliers fail now and then."""

import logging
import time

import msgspec

from mousetrap.handlers import Context, chain, each, gather, task
from mousetrap.pipeline import Gathered, Many
from mousetrap.retry import RetryPolicy

_log = logging.getLogger("shop")
_ONCE_MORE = RetryPolicy(attempts=2, base=0.2)
#: Suppliers whose service fails, each in its own way.
_CLOSED, _SLOW = ("Nordwind", "Sudan Trade"), "Okavango"


class SupplierAway(Exception):
    """The supplier's service answers with an error."""


class Order(msgspec.Struct, frozen=True):
    """What a customer ordered."""

    number: int
    item: str
    supplier: str
    amount: int = 1


class Priced(msgspec.Struct, frozen=True):
    """An order with its price, in cents."""

    order: Order
    cents: int


@task
def price(order: Order) -> Priced:
    """Looks up what an order costs."""
    _log.info("priced order %d", order.number)
    return Priced(order, 1_990 * order.amount)


@task(retry=_ONCE_MORE, timeout=30)
def reserve(priced: Priced) -> Priced:
    """Reserves the goods at the supplier."""
    if priced.order.supplier in _CLOSED:
        raise SupplierAway(f"the service of {priced.order.supplier} answers 503")
    if priced.order.supplier == _SLOW:
        time.sleep(20)
    return priced


@task
def ship(priced: Priced) -> dict[str, int]:
    """Hands the parcel over."""
    return {"order": priced.order.number, "cents": priced.cents}


@task
def pages(catalogue: str) -> Many[int]:
    """Finds the pages of a catalogue."""
    yield from range(400 if catalogue == "spring" else 40)


@task(retry=_ONCE_MORE)
def read(page: int, context: Context[None]) -> int:
    """Reads one page, and counts the articles on it."""
    if page % 97 == 13:
        raise ValueError(f"page {page} has no price in column 7")
    time.sleep(0.01)
    return 3 + page % 4


@task
def contents(counts: Gathered[int]) -> int:
    """Sums up the articles."""
    return sum(counts.values())


orders = chain("orders", price, reserve, ship)
catalogue = chain("catalogue", pages, each(read), gather(contents, need=0.95))
