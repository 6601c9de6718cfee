"""A worker whose input has a field of every kind."""

from enum import Enum
from typing import Annotated

import msgspec
from msgspec import Meta

from mousetrap.handlers import task


class Colour(Enum):
    """A choice."""

    RED = "red"
    BLUE = "blue"


class Round(msgspec.Struct, tag="round"):
    """One alternative."""

    radius: float = 1.0


class Square(msgspec.Struct, tag="square"):
    """The other one."""

    side: int = 2


class Order(msgspec.Struct):
    """What is ordered."""

    name: str
    count: Annotated[int, Meta(ge=1, le=10, description="How many.")]
    colour: Colour = Colour.RED
    shape: Round | Square | None = None
    reply_to: str | None = None
    regions: list[str] = []
    is_gift: bool = False


@task
def orders(order: Order) -> Order:
    """Gives the order back."""
    return order
