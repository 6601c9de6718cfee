"""Handlers that fail in uncommon ways: each is one failed attempt."""

import asyncio
import concurrent.futures
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, NoReturn


class Panic(BaseException):
    """As a library in another language raises it; no `except Exception` catches it."""


class TextRaises(Exception):
    """Its text raises, and so does its form for programmers."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class TextPanics(Exception):
    """Its text raises what no `except Exception` catches."""

    def __str__(self) -> str:
        raise Panic("no text")

    __repr__ = __str__


class NoText(Exception):
    """Its text is no text."""

    def __str__(self) -> str:
        return 5  # type: ignore[return-value]  # noqa: PLE0307


class OddText(str):
    """A text that cannot be encoded, cut or formatted."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise Panic("no")

    encode = __getitem__ = __format__ = __str__ = __len__ = _refuse


class TextIsOdd(Exception):
    """Its text is of a class of its own."""

    def __str__(self) -> str:
        return OddText("odd")


class AttributesRaise(Exception):
    """Everything that one can ask of it raises."""

    def __getattribute__(self, name: str) -> Any:
        raise Panic(f"no {name}")


class PartsRaise(Exception):
    """What a traceback is made of raises."""

    @property
    def __cause__(self) -> NoReturn:  # type: ignore[override]
        raise Panic("no cause")

    @property
    def __notes__(self) -> NoReturn:  # type: ignore[override]
        raise Panic("no notes")

    @property
    def __traceback__(self) -> NoReturn:  # type: ignore[override]
        raise Panic("no traceback")

    @property
    def retry_after(self) -> NoReturn:
        raise Panic("no time")


class _Nameless(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in ("__module__", "__qualname__", "__name__"):
            raise Panic(f"no {name}")
        return super().__getattribute__(name)


class Nameless(Exception, metaclass=_Nameless):
    """Its class has no name."""


class ClassRaises(Exception):
    """Its class cannot be read."""

    @property  # type: ignore[misc]
    def __class__(self) -> NoReturn:  # type: ignore[override]
        raise Panic("no class")


class Unpicklable(Exception):
    """Cannot be made again from its arguments."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(lambda: one + two)


class OddNumber(int):
    """Cannot be compared."""

    def __gt__(self, other: object) -> NoReturn:
        raise Panic("no")

    __lt__ = __gt__


class OddPause(Exception):
    """Asks for a retry after a number that is none."""

    retry_after = OddNumber(3)


def _group() -> BaseException:
    return BaseExceptionGroup("several", [Panic("one"), asyncio.CancelledError(), ValueError("\udcff")])


def _noted() -> BaseException:
    error = ValueError("noted")
    error.add_note("\udcff" * 10)
    error.__notes__.append(5)  # type: ignore[arg-type]
    return error


def _deep() -> BaseException:
    error: Exception = ValueError("the first")
    for number in range(2_000):
        later = ExceptionGroup(f"nested {number}", [error])
        later.__cause__, error = error, later
    return error


#: What can be raised, by its name.
ERRORS: dict[str, Callable[[], BaseException]] = {
    "cancelled": asyncio.CancelledError,
    "future-cancelled": concurrent.futures.CancelledError,
    "panic": lambda: Panic("index out of range"),
    "generator-exit": GeneratorExit,
    "keyboard": KeyboardInterrupt,
    "system-exit": lambda: SystemExit("\udcff"),
    "group": _group,
    "stop": lambda: StopIteration(1),
    "stop-async": StopAsyncIteration,
    "surrogate": lambda: FileNotFoundError(2, "No such file", "caf\udce9"),
    "text-raises": TextRaises,
    "text-panics": TextPanics,
    "no-text": NoText,
    "text-is-odd": TextIsOdd,
    "attributes-raise": AttributesRaise,
    "parts-raise": PartsRaise,
    "nameless": Nameless,
    "class-raises": ClassRaises,
    "unpicklable": lambda: Unpicklable(1, 2),
    "odd-pause": OddPause,
    "huge": lambda: ValueError("x" * 20_000_000),
    "noted": _noted,
    "deep": _deep,
    "wide": lambda: ExceptionGroup("wide", [ValueError(number) for number in range(50_000)]),
    "timeout": lambda: TimeoutError("not ours"),
    "memory": MemoryError,
    "recursion": RecursionError,
}


def fail(kind: str) -> NoReturn:
    """Raises it."""
    raise ERRORS[kind]()


async def fail_later(kind: str) -> NoReturn:
    """Raises it after an await."""
    await asyncio.sleep(0)
    raise ERRORS[kind]()


async def await_cancelled(_: str) -> str:
    """Waits for a task that is cancelled."""
    task = asyncio.create_task(asyncio.sleep(600))
    asyncio.get_running_loop().call_soon(task.cancel)
    await task
    return "woke up"


async def cancel_self(_: str) -> str:
    """Cancels its own task, and waits."""
    _own_task().cancel()
    await asyncio.sleep(600)
    return "woke up"


async def cancel_self_and_return(_: str) -> str:
    """Cancels its own task, and returns before that takes effect."""
    _own_task().cancel()
    return "returned"


async def cancel_self_and_swallow(_: str) -> str:
    """Cancels its own task again and again, and gets one cancellation: the rest stays in the task's count."""
    task = _own_task()
    for _time in range(3):
        task.cancel()
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        raise ValueError("swallowed") from None
    return "woke up"


def _own_task() -> "asyncio.Task[Any]":
    task = asyncio.current_task()
    assert task is not None
    return task


#: Handlers that meet a cancellation which is not the worker's.
CANCELLED: tuple[Callable[[str], Awaitable[str]], ...] = (
    await_cancelled,
    cancel_self,
    cancel_self_and_return,
    cancel_self_and_swallow,
)

shared: contextvars.ContextVar[str] = contextvars.ContextVar("shared", default="nothing")


@asynccontextmanager
async def setting() -> AsyncIterator[None]:
    """Sets what every attempt is to see."""
    shared.set("what the lifespan set")
    yield


def see_and_set(number: int) -> str:
    """Gives what it sees in a context variable, and sets it."""
    seen = shared.get()
    shared.set(f"what {number} set")
    return seen


async def see_and_set_later(number: int) -> str:
    """The same, async."""
    return see_and_set(number)


async def leave_in_a_task(kind: str) -> str:
    """Has a task of its own raise what stops an event loop."""
    await asyncio.create_task(fail_later(kind))
    return "went on"


async def stop_the_loop(how: str) -> str:
    """Has the event loop stopped in every way there is, and fails."""
    loop = asyncio.get_running_loop()
    if how == "stop":
        loop.stop()
    else:
        loop.call_soon(fail, how)
    await asyncio.sleep(0.01)
    raise ValueError("the loop went on")


def gives_coroutine(kind: str) -> Any:
    """Forgets to await."""
    return fail_later(kind)


def yields(kind: str) -> Iterator[str]:
    """A generator."""
    yield kind


async def yields_later(kind: str) -> AsyncIterator[str]:
    """An async generator."""
    yield kind


class Yields:
    """Its call is a generator."""

    def __call__(self, kind: str) -> Iterator[str]:
        yield kind


class Later:
    """Its call is async."""

    async def __call__(self, kind: str) -> str:
        await asyncio.sleep(0)
        return kind
