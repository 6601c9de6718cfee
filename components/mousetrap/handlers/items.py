"""Passes on the items that the handler of a fan-out gives."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Generator, Iterable, Mapping
from contextlib import aclosing, closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import msgspec

from mousetrap.handlers.binding import Binding
from mousetrap.handlers.soft_timeout import SoftTimeout
from mousetrap.handlers.sync_calls import SyncCalls
from mousetrap.handlers.yields import Result, YieldRefused
from mousetrap.pipeline import ContractBroken, Keyed, Payload, Stage, item_of, write_payload

#: Characters of a key.
_LONGEST_KEY = 255
#: How many items of a sync handler are passed on together at most, and the seconds after which the next one is not held.
_HELD, _HELD_S = 64, 0.02


class Children(Protocol):
    """The jobs that one attempt opens, one for each item."""

    async def add(self, item: Payload, key: str | None) -> None:
        """Takes the next item, written as outcomes hold it; returns when the next one may come.

        Raises FanRefused, and AttemptOver where the attempt counts no more.
        """
        ...

    async def close(self) -> int:
        """How many jobs there are, once all of them are with the broker. Raises as `add`."""
        ...


class FanRefused(Exception):
    """The fan-out cannot be: its job is given up with `reason`."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Opened(msgspec.Struct, frozen=True):
    """What the call of a fan-out's handler gives: how many jobs it has opened."""

    children: int


@dataclass(slots=True)
class CountedChildren:
    """Counts items and keeps none, where nothing runs them."""

    count: int = 0

    async def add(self, item: Payload, key: str | None) -> None:
        self.count += 1

    async def close(self) -> int:
        return self.count


class Items:
    """The items that one attempt has given so far.

    None is lost at a soft timeout, which is raised in the handler's code or in what calls it, once, and which the handler may
    outlive: an item is kept before anything is waited for, and what is under way goes on.
    """

    def __init__(self, binding: Binding, children: Children, largest: int) -> None:
        """An item may have `largest` bytes."""
        (taker,) = binding.pipeline.followers(binding.stage)
        self._binding = binding
        self._stage = binding.stage.name
        self._item = item_of(binding.stage.output)
        self._taker: Stage = taker
        self._children = children
        self._largest = largest
        self._passed = 0
        #: Those that are not passed on yet, and when some were.
        self._held: deque[tuple[Payload, str | None]] = deque()
        self._passed_at = 0.0
        self._passing: asyncio.Future[None] | None = None

    async def run(self, calls: SyncCalls, arguments: tuple[Any, ...]) -> Opened:
        """Calls the handler, and passes on what it yields, or what is in the iterable that it returns."""
        handler, is_generator = self._binding.handler, self._binding.is_generator
        try:
            if self._binding.is_async:
                work = handler(*arguments)
                await self._take_all_async(work if is_generator else _each_async(work, self._stage))
            else:
                function = handler if is_generator else partial(_each, handler, self._stage)
                await calls.run(partial(self._take_all, function, arguments, calls.wait))
            await self._pass_on()
            return Opened(await self._children.close())
        finally:
            if self._passing is not None:
                self._passing.cancel()

    def check(self, value: Any) -> None:
        """Raises YieldRefused for what is not what `run` gave, once it has passed the middleware."""
        if type(value) is not Opened:
            raise YieldRefused(
                f"the middleware of stage {self._stage!r} did not return what `call_next` gave: a fan-out's items are jobs by then"
            )

    def _take_all(
        self,
        function: Callable[..., Generator[Any, None, Any]],
        arguments: tuple[Any, ...],
        wait: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """In a thread, or in a process of its own while its event loop is paused."""
        with closing(function(*arguments)) as generator:
            step = partial(next, generator)
            while True:
                try:
                    value = step()
                except StopIteration as end:
                    self._refuse(end.value)
                    return
                step = partial(next, generator)
                given = self._count
                try:
                    self._hold(value)
                    if self._is_time():
                        wait(self._pass_on())
                except SoftTimeout as soft:  # it is the handler's, which waits at its `yield`
                    self._hold_once(value, given)
                    step = partial(generator.throw, soft)

    async def _take_all_async(self, values: AsyncGenerator[Any, None]) -> None:
        async with aclosing(values):
            step = anext(values)
            while True:
                try:
                    value = await step
                except StopAsyncIteration:
                    return
                given = self._count
                try:
                    self._hold(value)
                    await self._pass_on()
                    step = anext(values)
                except SoftTimeout as soft:
                    self._hold_once(value, given)
                    step = values.athrow(soft)

    @property
    def _count(self) -> int:
        # Of two numbers that change in one step each: an interruption finds an item counted and held, or neither.
        return self._passed + len(self._held)

    def _hold(self, value: Any) -> None:
        """Raises YieldRefused and FanRefused."""
        self._held.append(self._checked(value))

    def _hold_once(self, value: Any, given: int) -> None:
        """Holds a value that came when `given` were there, unless it is held: the interruption may have been before or after."""
        if self._count == given:
            self._hold(value)

    def _is_time(self) -> bool:
        """Whether to pass on what a sync handler gave: to wait for the event loop costs 30 µs, and an item alone 1."""
        return len(self._held) >= _HELD or time.monotonic() - self._passed_at > _HELD_S

    async def _pass_on(self) -> None:
        """Returns when all that is held is taken. Raises FanRefused, and AttemptOver."""
        if self._binding.stage.soft_timeout is None:
            await self._pass_all()
        else:
            while self._held or self._passing is not None:
                self._passing = self._passing or asyncio.ensure_future(self._pass_all())
                await asyncio.shield(self._passing)
                self._passing = None
        self._passed_at = time.monotonic()

    async def _pass_all(self) -> None:
        while self._held:
            item, key = self._held.popleft()
            self._passed += 1
            await self._children.add(item, key)

    def _checked(self, value: Any) -> tuple[Payload, str | None]:
        which, key = f"item {self._count} of stage {self._stage!r}", None
        if isinstance(value, Result):
            raise YieldRefused(
                f"{which} is a Result, and a fan-out has no output but its items: yield items alone"
            )
        if isinstance(value, Keyed):
            key, value = _checked_key(value.key, which), value.value
        try:
            payload = write_payload(value, self._item, self._taker)
        except ContractBroken as error:
            raise YieldRefused(f"{which}: {error.what}", error.where) from error
        if len(payload.raw) > self._largest:
            raise FanRefused(
                "too-large",
                f"{which} has {len(payload.raw)} bytes, and MOUSETRAP_PAYLOAD_MAX_BYTES allows {self._largest}: give less",
            )
        return payload, key

    def _refuse(self, returned: Any) -> None:
        if returned is not None:
            raise YieldRefused(
                f"the handler of stage {self._stage!r} returned a value beside its items: yield it, or leave it out"
            )


def _checked_key(key: Any, which: str) -> str:
    if not isinstance(key, str) or not 0 < len(key) <= _LONGEST_KEY:
        raise YieldRefused(f"{which} has the key {key!r:.300}: give a text of 1 to {_LONGEST_KEY} characters")
    return key


def _each(handler: Callable[..., Any], stage: str, *arguments: Any) -> Generator[Any, None, Any]:
    return (yield from _iterable(handler(*arguments), stage))


async def _each_async(work: Any, stage: str) -> AsyncGenerator[Any, None]:
    given = await work
    if isinstance(given, AsyncIterable):
        async for value in given:
            yield value
    else:
        for value in _iterable(given, stage):
            yield value


def _iterable(given: Any, stage: str) -> Iterable[Any]:
    # A text and a dict can be iterated over, and its letters or keys are no items.
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise YieldRefused(
            f"the handler of stage {stage!r} returned a {type(given).__name__}: return a list of items, or yield them"
        )
    return given
