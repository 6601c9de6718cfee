"""Declares what a stage that fans out gives."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from types import NoneType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, get_args, get_origin

import msgspec

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Keyed(Generic[T_co]):
    """An item with a key of its own: a later attempt may give its items in another order, and equal keys are one job."""

    key: str
    value: T_co


if TYPE_CHECKING:  # so that a generator and a list are what an annotation with it allows

    class Many(Protocol[T_co]):
        """What a sync handler of a fan-out returns."""

        def __iter__(self) -> Iterator[T_co]: ...

    class AsyncMany(Protocol[T_co]):
        """What an async generator of a fan-out returns; the same contract."""

        def __aiter__(self) -> AsyncIterator[T_co]: ...

else:

    class Many(Generic[T_co]):
        """Any number of items, as the contract of an output: a stage that follows with Each has a job for every one.

        The handler is a generator, sync or async, or returns an iterable, of items or of Keyed items.
        """

    class AsyncMany:
        """Many, in the annotation of an async generator."""

        def __class_getitem__(cls, item):
            return Many[item]


class Counts(msgspec.Struct, frozen=True):
    """The result of a run whose fan-out nothing joins."""

    #: The jobs of the fan-out: all of them, those that are done, and those that were given up.
    total: int
    done: int
    lost: int


def item_of(contract: Any) -> Any:
    """The contract of each item of Many, without its key; None for what is not Many."""
    if get_origin(contract) is not Many:
        return None
    (item,) = get_args(contract)
    if get_origin(item) is Keyed:
        (item,) = get_args(item)
    return NoneType if item is None else item
