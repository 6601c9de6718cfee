"""Calls a handler within all that its binding puts around it."""

from collections.abc import Awaitable
from functools import partial
from typing import Any

from mousetrap.handlers.binding import Binding
from mousetrap.handlers.context import Context
from mousetrap.handlers.items import Items
from mousetrap.handlers.surroundings import Middleware, Next
from mousetrap.handlers.sync_calls import SyncCalls
from mousetrap.handlers.yields import Yields, run_async_generator, run_generator


async def run_surrounded(
    binding: Binding, calls: SyncCalls, given: Yields | Items, payload: Any, context: Context[Any]
) -> Any:
    """The value of one attempt: `around` is entered first, then the middleware in its order, then the handler is called.

    `given` takes what the handler gives beside its value; of a fan-out, the value is how many items that were.
    """
    call_next: Next = partial(_call_handler, binding, calls, given, context)
    for middleware in reversed(binding.middleware):
        call_next = partial(_call_middleware, middleware, context, call_next)
    value = None  # of an `around` that suppresses the error
    if binding.around is None:
        value = await call_next(payload)
    else:
        async with binding.around(context):
            value = await call_next(payload)
    if isinstance(given, Items):
        given.check(value)
    return value


def _call_middleware(
    middleware: Middleware[Any], context: Context[Any], call_next: Next, payload: Any
) -> Awaitable[Any]:
    return middleware(context, payload, call_next)


async def _call_handler(
    binding: Binding, calls: SyncCalls, given: Yields | Items, context: Context[Any], payload: Any
) -> Any:
    arguments = (payload, context) if binding.takes_context else (payload,)
    handler = binding.handler
    if isinstance(given, Items):
        return await given.run(calls, arguments)
    if not binding.is_generator:
        if binding.is_async:
            return await handler(*arguments)
        return await calls.run(partial(handler, *arguments))
    if binding.is_async:
        return await run_async_generator(handler(*arguments), given.add)
    return await calls.run(partial(run_generator, handler, arguments, given.add, calls.wait))
