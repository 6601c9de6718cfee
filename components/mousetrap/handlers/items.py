"""Passes on the items that the handler of a fan-out gives."""

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import msgspec

from mousetrap.handlers.binding import Binding
from mousetrap.handlers.sync_calls import SyncCalls
from mousetrap.handlers.yields import YieldRefused, run_async_generator, run_generator
from mousetrap.pipeline import ContractBroken, Keyed, Payload, Stage, item_of, write_payload

#: Characters of a key.
_LONGEST_KEY = 255


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
    """The items that one attempt has given so far."""

    def __init__(self, binding: Binding, children: Children, largest: int) -> None:
        """An item may have `largest` bytes."""
        (taker,) = binding.pipeline.followers(binding.stage)
        self._stage = binding.stage.name
        self._item = item_of(binding.stage.output)
        self._taker: Stage = taker
        self._children = children
        self._largest = largest
        self._count = 0

    async def add(self, value: Any) -> None:
        """Returns when the next one may come. Raises YieldRefused, FanRefused, and AttemptOver."""
        which = f"item {self._count} of stage {self._stage!r}"
        key = None
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
        self._count += 1
        await self._children.add(payload, key)

    async def run(self, binding: Binding, calls: SyncCalls, arguments: tuple[Any, ...]) -> Opened:
        """Calls the handler, and passes on what it yields, or what is in the iterable that it returns."""
        handler = binding.handler
        if binding.is_async:
            given = (
                handler(*arguments) if binding.is_generator else _each_async(handler(*arguments), self._stage)
            )
            returned = await run_async_generator(given, self.add)
        else:
            generator = handler if binding.is_generator else partial(_each, handler, self._stage)
            returned = await calls.run(partial(run_generator, generator, arguments, self.add, calls.wait))
        if returned is not None:
            raise YieldRefused(
                f"the handler of stage {self._stage!r} returned a value beside its items: yield it, or leave it out"
            )
        return Opened(await self._children.close())


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
