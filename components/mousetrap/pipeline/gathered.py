"""Reads the outputs that a join takes, a page at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, get_args, get_origin

import msgspec

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

#: Outputs of one page at most.
PAGE = 256


class Page(NamedTuple):
    """Some outputs of a fan-out, in the order of their index."""

    #: Index and JSON of each job that is done, from the index that was asked for on.
    outputs: Sequence[tuple[int, bytes]]
    #: The index that the next page begins with; None after the last.
    next: int | None


class Pages(Protocol):
    """The outputs of one fan-out. Its method returns at once, in any thread."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that the futures need, which must not wait for them; None where they need none."""
        ...

    def get(self, first: int) -> "Future[Page]":
        """The page from the index `first` on."""
        ...


@dataclass(frozen=True, slots=True)
class MemoryPages:
    """Outputs in this process's memory, by index: for tests, and for attempts by hand."""

    outputs: Sequence[tuple[int, Any]]
    loop: asyncio.AbstractEventLoop | None = None

    def get(self, first: int) -> "Future[Page]":
        rest = [each for each in self.outputs if each[0] >= first]
        page: Future[Page] = Future()
        page.set_result(Page(rest[:PAGE], rest[PAGE][0] if len(rest) > PAGE else None))
        return page


class OutputsMissing(Exception):
    """The store has not all outputs that a join counts on: the join is given up, for what it made of the rest would be wrong."""

    reason = "fan-forgotten"


class Counted(msgspec.Struct, frozen=True):
    """What the message of a join holds: how many jobs there are, and where their outputs are."""

    #: The jobs of the fan-out: all of them, those that are done, and those that were given up.
    total: int
    done: int
    lost: int
    #: The id of the job that opened the fan-out, behind the run's id and a slash where that is another run, which this one
    #: repeats; in a test of one handler, nothing.
    fan: str = ""


class Gathered(Generic[T_co]):
    """The outputs of a fan-out's jobs, as the contract of what a join takes; they are read a page at a time, and only then.

    `async for index, value in gathered` in an async handler, `for index, value in gathered` in a sync one: of the jobs that are
    done, in the order of their items, whose index counts from 0. It may be read again from the start. Raises OutputsMissing at the end
    where there were fewer than `done`.
    """

    __slots__ = ("_pages", "_read", "counted")

    def __init__(self, counted: Counted, pages: Pages | None, read: Callable[[bytes], Any]) -> None:
        self.counted = counted
        self._pages = pages
        self._read = read

    @classmethod
    def of(cls, values: Iterable[T], *, lost: int = 0) -> "Gathered[T]":
        """These values, and so many lost ones behind them: for a test that calls the handler."""
        outputs = tuple(enumerate(values))
        counted = Counted(len(outputs) + lost, len(outputs), lost)
        return Gathered(counted, MemoryPages(outputs), lambda value: value)

    @property
    def total(self) -> int:
        """How many jobs there are."""
        return self.counted.total

    @property
    def done(self) -> int:
        """How many of them are done; so many values there are."""
        return self.counted.done

    @property
    def lost(self) -> int:
        """How many of them were given up."""
        return self.counted.lost

    def values(self) -> list[T_co]:
        """All values at once, for a fan-out that fits into memory; in a sync handler."""
        return [value for _, value in self]

    def __iter__(self) -> Iterator[tuple[int, T_co]]:
        pages = self._opened()
        if pages.loop is not None and pages.loop is _running_loop():
            raise RuntimeError("an async handler reads what was gathered by `async for index, value in …`")
        first: int | None = 0 if self.total else None
        seen = 0
        while first is not None:
            page = pages.get(first).result()
            yield from ((index, self._read(output)) for index, output in page.outputs)
            first, seen = page.next, seen + len(page.outputs)
        self._check(seen)

    async def __aiter__(self) -> AsyncIterator[tuple[int, T_co]]:
        pages = self._opened()
        first: int | None = 0 if self.total else None
        seen = 0
        while first is not None:
            page = await asyncio.wrap_future(pages.get(first))
            for index, output in page.outputs:
                yield index, self._read(output)
            first, seen = page.next, seen + len(page.outputs)
        self._check(seen)

    def __repr__(self) -> str:
        return f"<gathered {self.done} of {self.total}, {self.lost} lost>"

    def _check(self, seen: int) -> None:
        if seen < self.done:
            raise OutputsMissing(
                f"the store has {seen} of the {self.done} outputs that were gathered: re-run the run from the stage that fans out"
            )

    def _opened(self) -> Pages:
        if self._pages is None:
            raise RuntimeError(
                "the outputs of a fan-out are read in an attempt of its join, and not in this process"
            )
        return self._pages


#: The pages of the run whose values are being read, by the job that opened the fan-out; None outside of a run.
_current: "ContextVar[Callable[[str], Pages | None] | None]" = ContextVar("current_pages", default=None)


def use_pages(pages_of: Callable[[str], Pages | None] | None) -> None:
    """From now on what was gathered and is read in this context has these pages."""
    _current.set(pages_of)


def is_gathered(contract: Any) -> bool:
    """Whether it is Gathered outputs of something."""
    return contract is Gathered or get_origin(contract) is Gathered


def takes_gathered(stage: Any) -> bool:
    """Whether a stage reads outputs: it joins a fan-out, or what joins one falls back to it."""
    return any(is_gathered(each) for each in (stage.input, *get_args(stage.input)))


def gathered_item(contract: Any) -> Any:
    """The contract of each output."""
    return next(iter(get_args(contract)), Any)


def read_gathered(contract: Any, counted: Any, read: Callable[[bytes, Any], Any]) -> Any:
    """What was gathered, of the plain form of its counts; `read` reads an output of a contract."""
    found, item, pages_of = msgspec.convert(counted, Counted), gathered_item(contract), _current.get()
    pages = pages_of(found.fan) if pages_of is not None else None
    return Gathered(found, pages, lambda raw: read(raw, item))


def written_gathered(value: Any) -> Counted:
    """What is written of it. Raises TypeError for any other value."""
    if not isinstance(value, Gathered):
        raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")
    return value.counted


def schema_of_gathered(outputs: dict[str, Any]) -> dict[str, Any]:
    """The schema of what the message of a join holds, and of the `outputs`, which its handler reads beside it."""
    own: dict[str, Any] = msgspec.json.schema(Counted)["$defs"]["Counted"]
    return own | {"title": "Gathered", "properties": own["properties"] | {"outputs": outputs}}


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
