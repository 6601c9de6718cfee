"""What a binding may put around its handler, in which order."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from mousetrap.handlers.context import Context
from mousetrap.jobs import GiveUp, RetryLater

Deps = TypeVar("Deps")

#: Calls what is inside: the next middleware, at last the handler. It gets the payload, and gives the handler's value.
Next = Callable[[Any], Awaitable[Any]]
#: Surrounds the handler: takes the context, the payload and the next call, and gives the value that counts.
Middleware = Callable[[Context[Deps], Any, Next], Coroutine[Any, Any, Any]]
#: Entered before the middleware of each attempt and left after it.
Around = Callable[[Context[Deps]], AbstractAsyncContextManager[Any]]
#: Called once a failed attempt is judged, with its error and what follows.
OnError = Callable[[Context[Deps], BaseException, RetryLater | GiveUp], Awaitable[None] | None]


def check_surroundings(stage: str, around: Any, middleware: Sequence[Any], on_error: Any) -> None:
    """Raises ValueError, with the fix, for what cannot surround a handler."""
    if around is not None and (inspect.isasyncgenfunction(around) or inspect.iscoroutinefunction(around)):
        raise ValueError(
            f"stage {stage!r}: around is {_name(around)}, a bare generator or coroutine function: put @asynccontextmanager on it"
        )
    if around is not None and not callable(around):
        raise ValueError(f"stage {stage!r}: around is {around!r}: give a function that takes the context")
    for each in middleware:
        if not inspect.iscoroutinefunction(each) and not inspect.iscoroutinefunction(
            getattr(each, "__call__", None)  # noqa: B004  the method itself is looked at
        ):
            raise ValueError(
                f"stage {stage!r}: middleware {_name(each)} is not async: write "
                "`async def name(context, payload, call_next): return await call_next(payload)`"
            )
    if on_error is not None and not callable(on_error):
        raise ValueError(
            f"stage {stage!r}: on_error is {on_error!r}: give a function of context, error and outcome"
        )


def _name(function: Any) -> str:
    return str(getattr(function, "__qualname__", function))
