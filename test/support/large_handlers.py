"""A handler of large inputs that another process imports by its name."""

import msgspec


class Order(msgspec.Struct, frozen=True):
    """A customer's order, with a long text."""

    customer: str
    text: str


def handle(order: Order) -> str:
    return order.customer + order.text
