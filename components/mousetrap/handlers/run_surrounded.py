"""Calls a handler within all that its binding puts around it."""

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Protocol

from mousetrap.handlers.binding import Binding
from mousetrap.handlers.context import Context
from mousetrap.handlers.surroundings import Middleware, Next
from mousetrap.handlers.yields import Emit, Yields, run_async_generator, run_generator


class SyncCalls(Protocol):
    """Calls one sync handler, wherever such handlers run."""

    async def run(self, function: Callable[[], Any]) -> Any:
        """The value of `function`. Raises what it raises."""
        ...

    def wait(self, work: Coroutine[Any, Any, None]) -> None:
        """Called by the function: returns when `work` is done on the event loop."""
        ...


async def run_surrounded(
    binding: Binding, calls: SyncCalls, emit: Emit, payload: Any, context: Context[Any]
) -> Any:
    """The value of one attempt: `around` is entered first, then the middleware in its order, then the handler is called."""
    call_next: Next = partial(_call_handler, binding, calls, emit, context)
    for middleware in reversed(binding.middleware):
        call_next = partial(_call_middleware, middleware, context, call_next)
    if binding.around is None:
        return await call_next(payload)
    async with binding.around(context):
        return await call_next(payload)


def _call_middleware(
    middleware: Middleware[Any], context: Context[Any], call_next: Next, payload: Any
) -> Awaitable[Any]:
    return middleware(context, payload, call_next)


async def _call_handler(
    binding: Binding, calls: SyncCalls, emit: Emit, context: Context[Any], payload: Any
) -> Any:
    arguments = (payload, context) if binding.takes_context else (payload,)
    handler = binding.handler
    if not binding.is_generator:
        if binding.is_async:
            return await handler(*arguments)
        return await calls.run(partial(handler, *arguments))
    yields = Yields(context, emit)
    if binding.is_async:
        return await run_async_generator(handler(*arguments), yields.add)
    return await calls.run(partial(run_generator, handler, arguments, yields.add, calls.wait))
