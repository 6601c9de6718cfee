"""Declares tasks that share one lifespan."""

from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, Unpack, overload

from mousetrap.handlers.binding import no_dependencies
from mousetrap.handlers.context import Context
from mousetrap.handlers.surroundings import Around, Middleware, OnError
from mousetrap.handlers.task import AsyncTask, Surroundings, SyncTask, TaskOptions, task_of


class _NoContext(Protocol):
    """What every value is but a Context: a function whose Context has other deps fits none of the overloads below."""

    def __reduce__(self) -> str | tuple[Any, ...]: ...


Deps = TypeVar("Deps")
Q = ParamSpec("Q")
I = TypeVar("I")
J = TypeVar("J", bound=_NoContext)
O = TypeVar("O")


class TaskOf(Generic[Deps]):
    """The decorator `task` of some Tasks: `@app.task` alone, or `@app.task(queue=…, …)` with TaskOptions."""

    def __init__(self, around: Surroundings, options: TaskOptions | None = None) -> None:
        self._around = around
        self._options = options or TaskOptions()

    # An async function is a sync one that gives a coroutine: the first that fits counts.
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[Concatenate[I, Context[Deps], Q], Coroutine[Any, Any, O]], /
    ) -> AsyncTask[Concatenate[I, Context[Deps], Q], O]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[I, Context[Deps], Q], O], /
    ) -> SyncTask[Concatenate[I, Context[Deps], Q], O]: ...
    @overload
    def __call__(self, function: Callable[[I], Coroutine[Any, Any, O]], /) -> AsyncTask[[I], O]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, function: Callable[[I], O], /) -> SyncTask[[I], O]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[Concatenate[I, J, Q], Coroutine[Any, Any, O]], /
    ) -> AsyncTask[Concatenate[I, J, Q], O]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[I, J, Q], O], /
    ) -> SyncTask[Concatenate[I, J, Q], O]: ...
    @overload
    def __call__(self, **options: Unpack[TaskOptions]) -> "TaskOf[Deps]": ...
    def __call__(  # type: ignore[misc]  # its last form has options alone, and no function
        self, function: Callable[..., Any] | None = None, /, **options: Unpack[TaskOptions]
    ) -> Any:
        """The task of the function, or the decorator with these options."""
        if function is not None:
            return task_of(function, self._around, self._options)
        return TaskOf(self._around, TaskOptions(**{**self._options, **options}))


class Tasks(Generic[Deps]):
    """Tasks whose functions share what one lifespan opens, and what surrounds each attempt.

    `Context[Deps]` in them is checked against the lifespan; a worker that serves several of them enters it once. `around`,
    `middleware` and `on_error` are those of Binding. A type checker knows the first two parameters of such a task by their
    place: called directly, give them so.
    """

    @overload
    def __init__(
        self: "Tasks[None]",
        *,
        around: Around[None] | None = None,
        middleware: Sequence[Middleware[None]] = (),
        on_error: OnError[None] | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        lifespan: Callable[[], AbstractAsyncContextManager[Deps]],
        *,
        around: Around[Deps] | None = None,
        middleware: Sequence[Middleware[Deps]] = (),
        on_error: OnError[Deps] | None = None,
    ) -> None: ...
    def __init__(
        self,
        lifespan: Callable[[], AbstractAsyncContextManager[Any]] = no_dependencies,
        *,
        around: Around[Any] | None = None,
        middleware: Sequence[Middleware[Any]] = (),
        on_error: OnError[Any] | None = None,
    ) -> None:
        self.task: TaskOf[Deps] = TaskOf(Surroundings(lifespan, around, tuple(middleware), on_error))
