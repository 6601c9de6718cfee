"""Declares which tasks of a chain take items, and which joins."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Concatenate, Generic, Literal, Protocol, TypeVar, overload

from mousetrap.handlers.task import Task
from mousetrap.pipeline import All, AsyncMany, Counts, Each, Gathered, Keyed, Many

A = TypeVar("A")
A_contra = TypeVar("A_contra", contravariant=True)
B = TypeVar("B")
B_co = TypeVar("B_co", covariant=True)
C = TypeVar("C")
D = TypeVar("D")
I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)

#: What a task before `each` gives.
_Items = Many[A] | Many[Keyed[A]] | AsyncMany[A] | AsyncMany[Keyed[A]]


class Spread(Counts, Generic[B_co], frozen=True):
    """For type checkers: one output for each item. A chain that ends there gives their counts."""


@dataclass(frozen=True, slots=True)
class Part:
    """A task of a chain, and how it takes what the one before it gives."""

    task: Any
    #: None where it takes the one output.
    edge: type[Each] | type[All] | None = None
    need: float = 1.0
    keep: bool = True
    within: timedelta | None = None

    def after(self, before: str) -> Each | All | None:
        """What its stage follows, where the one before it has this name."""
        if self.edge is All:
            return All(before, need=self.need, keep=self.keep, within=self.within)
        return Each(before) if self.edge is Each else None


class Step(Generic[I_contra, O_co]):
    """What `each` and `gather` give, for a chain: generic over what it takes and gives."""

    def __init__(self, parts: tuple[Part, ...]) -> None:
        self.parts = parts


class Takes(Protocol[A_contra, B_co]):
    """A task by what it takes first and what it gives: mypy finds no A in Task[Concatenate[A, ...], B]."""

    def __call__(self, first: A_contra, /, *args: Any, **kwargs: Any) -> object: ...

    @property
    def given(self) -> B_co: ...


@overload
def each(a: Takes[A, B], /) -> Step[_Items[A], Spread[B]]: ...
@overload
def each(a: Takes[A, B], b: Task[Concatenate[B, ...], C] | Step[B, C], /) -> Step[_Items[A], Spread[C]]: ...
@overload
def each(
    a: Takes[A, B],
    b: Task[Concatenate[B, ...], C] | Step[B, C],
    c: Task[Concatenate[C, ...], D] | Step[C, D],
    /,
) -> Step[_Items[A], Spread[D]]: ...
def each(first: Any, /, *more: Any) -> Any:
    """In a chain: these tasks, in a row, for each item of the one before, whose output is Many.

    A row that has an `each` of its own has its `gather` too; raises ValueError for one without.
    """
    parts = (Part(first, Each), *(part for one in more for part in parts_of(one)))
    edges = [part.edge for part in parts[1:]]
    if edges.count(Each) != edges.count(All):
        raise ValueError(
            "each(…) within each(…) is joined there too: write each(find, each(read), gather(total)), and gather those after it"
        )
    return Step(parts)


@overload
def gather(
    task: Takes[Gathered[A], B],
    /,
    *,
    need: float = 1.0,
    keep: Literal[True] = True,
    within: timedelta | None = None,
) -> Step[Spread[A], B]: ...
@overload
def gather(
    task: Takes[Gathered[None], B],
    /,
    *,
    need: float = 1.0,
    keep: Literal[False],
    within: timedelta | None = None,
) -> Step[Spread[Any], B]: ...
def gather(task: Any, /, *, need: float = 1.0, keep: bool = True, within: timedelta | None = None) -> Any:
    """In a chain: this task when all before it, which `each` began, are done or given up; the options are those of All."""
    return Step((Part(task, All, need, keep, within),))


def parts_of(one: Any) -> tuple[Part, ...]:
    """The tasks of one place in a chain."""
    return one.parts if isinstance(one, Step) else (Part(one),)
