"""Ties a handler, a plain function, to the stage whose jobs it does."""

import functools
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from mousetrap.pipeline import Pipeline, Stage


@asynccontextmanager
async def nothing() -> AsyncIterator[None]:
    """The lifespan of a handler that depends on nothing."""
    yield None


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A stage with the function that does its work, and what the function depends on.

    Raises ValueError for a stage that the pipeline does not have, and for a handler that is a generator.
    """

    pipeline: Pipeline
    #: The stage's name.
    stage: str
    #: Sync (run in a thread) or async; takes the stage's input, and a Context if it has a second parameter.
    handler: Callable[..., Any]
    #: Entered once when the worker starts, left when it ends; what it gives is `Context.deps`.
    lifespan: Callable[[], AbstractAsyncContextManager[Any]] = nothing
    #: Whether the handler runs in a process of its own, which can be killed and takes nobody with it when it dies. Handler
    #: and lifespan must then be importable, and the lifespan is entered in that process.
    isolated: bool = False

    def __post_init__(self) -> None:
        if self.pipeline.stage(self.stage) is None:
            known = ", ".join(stage.name for stage in self.pipeline.stages)
            raise ValueError(f"pipeline {self.pipeline.name!r} has no stage {self.stage!r}; it has: {known}")
        function = _function(self.handler)
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ValueError(
                f"the handler of stage {self.stage!r} is a generator (it has a `yield`), and a handler gives one value: "
                "return it, as a list of what is yielded; context.progress() reports what is done so far"
            )

    @property
    def step(self) -> Stage:
        """The stage itself."""
        stage = self.pipeline.stage(self.stage)
        assert stage is not None  # checked when the binding was made
        return stage

    @property
    def is_async(self) -> bool:
        """Whether the handler runs on the event loop."""
        return any(map(inspect.iscoroutinefunction, (self.handler, _function(self.handler))))

    @property
    def takes_context(self) -> bool:
        """Whether the handler has a second parameter."""
        return len(inspect.signature(self.handler).parameters) > 1


def _function(handler: Callable[..., Any]) -> Callable[..., Any]:
    """The function that runs when the handler is called: of a partial its own, of an object its `__call__`."""
    while not (inspect.isroutine(handler) or inspect.isclass(handler)):
        handler = handler.func if isinstance(handler, functools.partial) else type(handler).__call__
    return handler
