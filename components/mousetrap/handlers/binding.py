"""Binds a handler to the stage whose jobs it does."""

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mousetrap.handlers.surroundings import Around, Middleware, OnError, check_surroundings
from mousetrap.pipeline import Pipeline, Stage, item_of

if TYPE_CHECKING:  # workers without schedules load nothing of them
    from mousetrap.schedules import Schedule


@asynccontextmanager
async def no_dependencies() -> AsyncIterator[None]:
    """The lifespan of a handler that depends on nothing."""
    yield None


@dataclass(frozen=True, slots=True, init=False)
class Binding:
    """A stage with the function that does its work, and what the function depends on."""

    pipeline: Pipeline
    stage: Stage
    #: Sync (run in a thread) or async; takes the stage's input, and a Context if it has a second parameter.
    handler: Callable[..., Any]
    #: Entered once when the worker starts and left when it ends; its value is `Context.deps`.
    lifespan: Callable[[], AbstractAsyncContextManager[Any]]
    #: Whether the handler runs in a process of its own, which can be killed, and which can die without the worker. Handler
    #: and lifespan must then be importable, and the lifespan is entered in that process.
    isolated: bool
    #: Entered around each attempt, outside of the middleware; takes the context.
    around: Around[Any] | None
    #: Surrounds the handler of each attempt, the first one outermost.
    middleware: tuple[Middleware[Any], ...]
    #: Called with context, error and outcome once a failed attempt is judged; it changes nothing.
    on_error: OnError[Any] | None
    #: Schedules of the pipeline, which are published with it.
    schedules: tuple["Schedule", ...]

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        stage: str | Stage,
        handler: Callable[..., Any],
        lifespan: Callable[[], AbstractAsyncContextManager[Any]] = no_dependencies,
        isolated: bool = False,
        around: Around[Any] | None = None,
        middleware: Sequence[Middleware[Any]] = (),
        on_error: OnError[Any] | None = None,
        schedules: Sequence["Schedule"] = (),
    ) -> None:
        """`stage` is the stage, or its name.

        Raises ValueError for a stage that the pipeline does not have, and for what cannot surround a handler.
        """
        fields = {
            "pipeline": pipeline,
            "stage": _stage(pipeline, stage),
            "handler": handler,
            "lifespan": lifespan,
            "isolated": isolated,
            "around": around,
            "middleware": tuple(middleware),
            "on_error": on_error,
            "schedules": tuple(schedules),
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        if not callable(lifespan):
            raise ValueError(  # noqa: TRY004
                f"stage {self.stage_name!r}: lifespan is {lifespan!r}: give a function that opens what the handler depends on, with "
                "@asynccontextmanager above it"
            )
        check_surroundings(self.stage_name, around, self.middleware, on_error)

    @property
    def stage_name(self) -> str:
        """The name of the stage."""
        return self.stage.name

    @property
    def is_async(self) -> bool:
        """Whether the handler runs on the event loop."""
        functions = (self.handler, _function(self.handler))
        return any(map(inspect.iscoroutinefunction, functions)) or inspect.isasyncgenfunction(functions[1])

    @property
    def is_generator(self) -> bool:
        """Whether the handler yields values."""
        function = _function(self.handler)
        return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)

    @property
    def gives_items(self) -> bool:
        """Whether each value that the handler yields, or that is in what it returns, is the input of a job of its own."""
        return item_of(self.stage.output) is not None

    @property
    def is_surrounded(self) -> bool:
        """Whether more than the handler's call makes an attempt: around, middleware, or what takes its values."""
        return self.around is not None or bool(self.middleware) or self.is_generator or self.gives_items

    @property
    def takes_context(self) -> bool:
        """Whether the handler has a second parameter."""
        return len(inspect.signature(self.handler).parameters) > 1


def _stage(pipeline: Pipeline, name: str | Stage) -> Stage:
    stage = pipeline.stage(name.name if isinstance(name, Stage) else name)
    if stage is None:
        known = ", ".join(each.name for each in pipeline.stages)
        raise ValueError(
            f"pipeline {pipeline.name!r} has no stage {getattr(name, 'name', name)!r}; it has: {known}"
        )
    return stage


def _function(handler: Callable[..., Any]) -> Callable[..., Any]:
    """The function that runs when the handler is called: of a partial its own, of an object its `__call__`."""
    while not (inspect.isroutine(handler) or inspect.isclass(handler)):
        handler = handler.func if isinstance(handler, functools.partial) else type(handler).__call__
    return handler
