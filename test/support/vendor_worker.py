"""Runs a worker whose vendor is away until a file is there."""

import sys
from pathlib import Path

import msgspec

from mousetrap.handlers import Binding
from mousetrap.job_queue import open_queue
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.retry import RetryPolicy
from mousetrap.serve_worker import worker_main
from mousetrap.settings import Settings


class Order(msgspec.Struct, frozen=True):
    """What is priced; `mark` is the file."""

    number: int
    mark: str


class VendorAway(Exception):
    """The vendor does not answer."""


def price(order: Order) -> int:
    """As the vendor answers."""
    if not Path(order.mark).exists():
        raise VendorAway(f"the vendor answers 503 for order {order.number}")
    return order.number


VENDOR = Pipeline(
    name="vendor",
    description="Asks a vendor for prices.",
    stages=(
        Stage(name="price", queue="vendor_price", input=Order, output=int, retry=RetryPolicy(attempts=1)),
    ),
)


def bind(_: Settings) -> Binding:
    """The stage with its handler."""
    return Binding(pipeline=VENDOR, stage="price", handler=price)


if __name__ == "__main__":
    sys.exit(worker_main(open_queue, [bind], "vendor", "Serves a handler whose vendor can be away."))
