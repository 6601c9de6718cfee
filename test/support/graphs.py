"""Draws graphs with their handlers, and what each gives for a number."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import msgspec
from hypothesis import strategies as st

from mousetrap.handlers import Binding
from mousetrap.pipeline import All, AnyOf, Each, Gathered, Many, Pipeline, Stage, needed
from mousetrap.pipeline.after import After
from mousetrap.retry import RetryPolicy

#: Items of one fan-out at most, and how large the numbers are that go through a graph.
_MOST_ITEMS, _MODULUS = 4, 1_000
#: A number with this rest makes its job fail for good.
_POISON, _OF = 5, 11


class Odd(msgspec.Struct, tag="odd"):
    n: int


class Even(msgspec.Struct, tag="even"):
    n: int


class Lost(Exception):
    """The job is given up."""


@dataclass(frozen=True)
class Step:
    """One stage: adds to a number, and fails for some of them."""

    plus: int


@dataclass(frozen=True)
class Row:
    """One part after the other."""

    first: Any
    then: Any


@dataclass(frozen=True)
class FanOut:
    """A part for each of a few numbers, and their sum."""

    body: Any
    need: float


@dataclass(frozen=True)
class Fork:
    """Two parts that both run, and their sum."""

    one: Any
    other: Any


@dataclass(frozen=True)
class Branch:
    """One part for odd numbers and one for even ones."""

    odd: Any
    even: Any


def parts(deep: int = 3) -> st.SearchStrategy[Any]:
    """Parts with so many fan-outs and forks inside one another at most."""
    steps = st.builds(Step, st.integers(0, 9))
    if deep == 0:
        return steps
    inner = st.deferred(lambda: parts(deep - 1))
    need = st.sampled_from((1.0, 0.5, 0.0, 2))
    same = st.deferred(
        lambda: st.one_of(steps, st.builds(FanOut, inner, need), st.builds(Fork, inner, inner))
    )
    return st.one_of(same, st.builds(Row, same, same), st.builds(Branch, same, same))


def result(part: Any, n: int) -> int:
    """What a part gives for a number, by plain calls. Raises Lost."""
    match part:
        case Step(plus):
            return stepped(plus, n)
        case Row(first, then):
            return result(then, result(first, n))
        case Fork(one, other):
            return (result(one, n) + result(other, n)) % _MODULUS
        case Branch(odd, even):
            return result(odd if n % 2 else even, n)
        case FanOut(body, need):
            items = items_of(n)
            done = [value for item in items if (value := _or_none(body, item)) is not None]
            if len(done) < needed(need, len(items)):
                raise Lost
            return sum(done) % _MODULUS
    raise TypeError(part)


def stepped(plus: int, n: int) -> int:
    if (n + plus) % _OF == _POISON:
        raise Lost
    return (n * 3 + plus) % _MODULUS


def items_of(n: int) -> list[int]:
    return [n + place for place in range(n % (_MOST_ITEMS + 1))]


def _or_none(part: Any, n: int) -> int | None:
    try:
        return result(part, n)
    except Lost:
        return None


def bindings(
    part: Any, name: str = "drawn", retry: RetryPolicy | None = None, *, in_threads: bool = False
) -> list[Binding]:
    """The part as a pipeline, with a handler for each stage, which is async unless it is to run in a thread."""
    making = _Making(name, retry or RetryPolicy(attempts=1), in_threads)
    making.add(part, None, int)
    pipeline = Pipeline(name=name, description="Drawn.", stages=tuple(making.stages))
    return [Binding(pipeline=pipeline, stage=it, handler=making.handlers[it.name]) for it in pipeline.stages]


@dataclass
class _Making:
    """The stages so far, each behind those that it follows."""

    name: str
    retry: RetryPolicy
    in_threads: bool
    stages: list[Stage] = field(default_factory=list)
    handlers: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)

    def add(self, part: Any, after: After | None, takes: Any) -> str:
        """The name of the part's last stage."""
        match part:
            case Step(plus):
                return self._stage(takes, int, after, lambda given: stepped(plus, _number(given)))
            case Row(first, then):
                return self.add(then, self.add(first, after, takes), int)
            case FanOut(body, need):
                opener = self._stage(takes, Many[int], after, lambda given: items_of(_number(given)))
                return self._stage(
                    Gathered[int], int, All(self.add(body, Each(opener), int), need=need), _total
                )
            case Fork(one, other):
                opener = self._stage(takes, int, after, _number)
                ends = [self.add(one, opener, int), self.add(other, opener, int)]
                both: Any = msgspec.defstruct("Both", [(end, int) for end in ends])
                return self._stage(
                    both, int, All(*ends), lambda given: sum(msgspec.structs.astuple(given)) % _MODULUS
                )
            case Branch(odd, even):
                opener = self._stage(takes, Odd | Even, after, lambda given: _by_kind(_number(given)))
                met = AnyOf(self.add(odd, opener, Odd), self.add(even, opener, Even))
                return self._stage(int, int, met, _number)
        raise TypeError(part)

    def _stage(self, takes: Any, gives: Any, after: After | None, handler: Callable[[Any], Any]) -> str:
        name = f"s{next(self.numbers)}"
        queue = f"{self.name}_{name}"
        self.stages.append(
            Stage(name=name, queue=queue, input=takes, output=gives, after=after, retry=self.retry)
        )
        self.handlers[name] = handler if self.in_threads else _later(handler)
        return name


def _number(given: Any) -> int:
    number: int = given if isinstance(given, int) else given.n
    return number


def _by_kind(n: int) -> Odd | Even:
    return Odd(n) if n % 2 else Even(n)


def _total(gathered: Gathered[int]) -> int:
    return sum(gathered.values()) % _MODULUS


async def _total_later(gathered: Gathered[int]) -> int:
    return sum([value async for _, value in gathered]) % _MODULUS


def _later(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """As a handler on the event loop: a simulation runs many more of these than of threads."""

    async def handler(given: Any) -> Any:
        return function(given)

    return _total_later if function is _total else handler
