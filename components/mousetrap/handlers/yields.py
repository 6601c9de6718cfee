"""Passes on what a generator handler yields, and finds its output."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import aclosing, closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Literal, TypeVar

from mousetrap.handlers.context import AttemptInfo
from mousetrap.handlers.soft_timeout import SoftTimeout
from mousetrap.pipeline import ContractBroken, write

Output = TypeVar("Output")

#: Bytes of JSON of one yielded value; how many a run keeps is the store's bound.
LARGEST_VALUE = 65_536

#: Keeps a yielded value (JSON), the attempt's so-manieth: `full` beyond what a run keeps, `stale` or `over` where the attempt
#: counts no more.
Emit = Callable[[AttemptInfo, int, bytes], Awaitable[Literal["recorded", "full", "stale", "over"]]]


@dataclass(frozen=True, slots=True)
class Result(Generic[Output]):
    """The output of a generator handler: yield it where a generator cannot return, and the last one counts."""

    value: Output


class YieldRefused(ContractBroken):
    """A yielded value has no JSON form, or is too large: the job is given up, as for an output outside its contract."""


class AttemptOver(BaseException):
    """The attempt counts no more: another worker has the job, its run has ended, or its time is over."""


async def drop_value(attempt: AttemptInfo, number: int, value: bytes) -> Literal["recorded"]:
    """Keeps no value: there is no run that could have it."""
    return "recorded"


class Yields:
    """The values that one attempt has yielded so far."""

    def __init__(self, attempt: AttemptInfo, emit: Emit) -> None:
        self._attempt = attempt
        self._emit = emit
        self._count = 0
        self._full = False

    async def add(self, value: Any) -> None:
        """Returns once the value is kept, or left out as the run keeps no more. Raises YieldRefused, and AttemptOver."""
        self._count += 1
        raw = self._written(value)
        if self._full:
            return
        kept = await self._emit(self._attempt, self._count, raw)
        if kept in ("stale", "over"):
            raise AttemptOver
        self._full = kept == "full"

    def _written(self, value: Any) -> bytes:
        which = f"value {self._count} that stage {self._attempt.stage!r} yielded"
        try:
            raw = write(value, Any)
        except ContractBroken as error:
            raise YieldRefused(f"{which}: {error.what}", error.where) from error
        if len(raw) > LARGEST_VALUE:
            raise YieldRefused(
                f"{which} has {len(raw)} bytes, over {LARGEST_VALUE}: yield less, or return it"
            )
        return raw


async def run_async_generator(
    generator: AsyncGenerator[Any, None], add: Callable[[Any], Awaitable[None]]
) -> Any:
    """Passes on each value that the handler yields; its output is that of the last Result, else None.

    The generator is closed whatever ends it.
    """
    output = None
    async with aclosing(generator):
        step = anext(generator)
        while True:
            try:
                value = await step
            except StopAsyncIteration:
                return output
            try:
                if isinstance(value, Result):
                    output = value.value
                else:
                    await add(value)
                step = anext(generator)
            except SoftTimeout as soft:  # it is the handler's, which waits at its `yield`
                step = generator.athrow(soft)


def run_generator(
    function: Callable[..., Generator[Any, None, Any]],
    arguments: tuple[Any, ...],
    add: Callable[[Any], Coroutine[Any, Any, None]],
    wait: Callable[[Coroutine[Any, Any, None]], None],
) -> Any:
    """As `run_async_generator`, for a sync one: what it returns is the output, unless that is None."""
    output = None
    with closing(function(*arguments)) as generator:
        step = partial(next, generator)
        while True:
            try:
                value = step()
            except StopIteration as end:
                return output if end.value is None else end.value
            step = partial(next, generator)
            try:
                if isinstance(value, Result):
                    output = value.value
                else:
                    wait(add(value))
            except SoftTimeout as soft:  # it is the handler's, which waits at its `yield`
                step = partial(generator.throw, soft)
