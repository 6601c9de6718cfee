"""Makes a pipeline of one stage from a function with annotations."""

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from mousetrap.handlers.binding import Binding, no_dependencies
from mousetrap.handlers.call import Call, input_of
from mousetrap.handlers.context import Context
from mousetrap.handlers.parameters import Parameter, TaskRefused, parameters_of, place_of
from mousetrap.handlers.surroundings import Around, Middleware, OnError
from mousetrap.handlers.task_call import handler_of
from mousetrap.pipeline import (
    REQUIRED,
    AtMost,
    ContractBroken,
    Limit,
    Lock,
    Pipeline,
    Rate,
    Serializer,
    Stage,
    is_gathered,
    item_of,
    named_fields,
    type_text,
    write,
)
from mousetrap.retry import RetryPolicy

P = ParamSpec("P")
Q = ParamSpec("Q")
I = TypeVar("I")
O = TypeVar("O")
O_co = TypeVar("O_co", covariant=True)
V = TypeVar("V")

Lifespan = Callable[[], AbstractAsyncContextManager[Any]]

_OF_STAGE = ("retry", "timeout", "soft_timeout", "lock", "limit", "serializer")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a task's function runs in, as Binding has it."""

    lifespan: Lifespan = no_dependencies
    around: Around[Any] | None = None
    middleware: tuple[Middleware[Any], ...] = ()
    on_error: OnError[Any] | None = None


class TaskOptions(TypedDict, total=False):
    """The options of a task; each has a default."""

    #: Of the task, its stage and its pipeline: the function's name.
    name: str
    #: The queue's plain name: the task's name.
    queue: str
    retry: RetryPolicy
    #: As the limits of Stage.
    timeout: float | None
    soft_timeout: float | None
    lock: Lock | None
    limit: AtMost | Rate | tuple[Limit, ...] | None
    #: How messages to it carry its input, as Stage has it.
    serializer: Literal["json", "msgpack"] | Serializer
    #: Whether it runs in a process of its own, as Binding has it.
    isolated: bool
    #: Seconds after which a run of the task's own pipeline is not begun any more.
    expires_after: float | None
    #: What the task's own pipeline takes of what is published, as `orders.*`.
    topics: tuple[str, ...]
    #: One sentence for readers: the first line of the function's docstring.
    description: str


class Task(Generic[P, O_co]):
    """A function with all that a worker and a submitter need of it; called, it is the plain function.

    Generic over the function's parameters and what it gives: `Task[Concatenate[Page, ...], Words]` takes a Page first.
    Raises TaskRefused, with the place and the fix, for a function that no job could call.
    """

    def __init__(self, function: Callable[..., Any], around: Surroundings, options: TaskOptions) -> None:
        functools.update_wrapper(cast(Any, self), function)
        _check_options(function, options)
        self.function = function
        self._around = around
        self.isolated = options.get("isolated", False)
        self.parameters = parameters_of(function)
        self.name = options.get("name", function.__name__)
        described = options.get("description") or _first_line(function)
        #: Whether its author described it.
        self.is_described = bool(described)
        self.description = described or f"Runs {self.name}."
        #: The contract of its stage's input: of one parameter its type, of several (or none) a JSON object of their names.
        self.input = self._input_contract()
        try:
            self.stage = self._stage(options)
            self._own = None if self.is_part else self._own_pipeline(options)
            self._binding = None if self._own is None else self.bound_to(self._own)
        except ValueError as error:
            raise TaskRefused(function, str(error)) from None

    if TYPE_CHECKING:

        @property
        def given(self) -> O_co:
            """For type checkers: what it gives, whether it is sync or async."""

    @property
    def is_part(self) -> bool:
        """Whether it can run in a chain alone, as it gives Many items or takes Gathered outputs."""
        return item_of(self.stage.output) is not None or is_gathered(self.stage.input)

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline of this task alone. Raises TaskRefused for one that is a part of others."""
        if self._own is None:
            raise self._refused()
        return self._own

    @property
    def binding(self) -> Binding:
        """The function, bound to the stage of its own pipeline. Raises TaskRefused as `pipeline` does."""
        if self._binding is None:
            raise self._refused()
        return self._binding

    @property
    def place(self) -> str:
        """The file and line of its function."""
        return place_of(self.function)

    def bound_to(self, pipeline: Pipeline) -> Binding:
        """The function, bound to the stage of this name in a pipeline, its own or a chain's."""
        stage = next(each for each in pipeline.stages if each.name == self.name)
        several = len(self.parameters.inputs) != 1 and stage.input is self.input
        return Binding(
            pipeline=pipeline,
            stage=stage,
            handler=handler_of(self, by_name=several),
            isolated=self.isolated,
            lifespan=self._around.lifespan,
            around=self._around.around,
            middleware=self._around.middleware,
            on_error=self._around.on_error,
        )

    # A context after the first parameter is the worker's to give.
    @overload
    def call(
        self: "Task[Concatenate[I, Context[Any], Q], O]", first: I, /, *args: Q.args, **kwargs: Q.kwargs
    ) -> Call[O]: ...
    @overload
    def call(self, *args: P.args, **kwargs: P.kwargs) -> Call[O_co]: ...
    def call(self, *args: Any, **kwargs: Any) -> Call[Any]:  # type: ignore[misc]
        """Its pipeline with these arguments, for `Client.submit`; without the context, which the worker gives.

        Raises TypeError where they do not fit its parameters, ContractBroken where a value does not fit its contract.
        """
        return Call(self.pipeline, input_of(self, args, kwargs))

    def __repr__(self) -> str:
        return f"<task {self.name!r} of {self.place}>"

    def __reduce__(self) -> str:
        return self.function.__qualname__  # the name by which another process imports it

    def _refused(self) -> TaskRefused:
        gives = item_of(self.stage.output) is not None
        what = f"gives {type_text(self.stage.output)}" if gives else f"takes {type_text(self.stage.input)}"
        return TaskRefused(
            self.function,
            f"it {what}, and so is a part of a chain: write chain('name', find, each(read), gather(total)), and use that",
        )

    def _own_pipeline(self, options: TaskOptions) -> Pipeline:
        return Pipeline(
            name=self.name,
            description=self.description,
            stages=(self.stage,),
            expires_after=options.get("expires_after"),
            topics=options.get("topics", ()),
        )

    def _stage(self, options: TaskOptions) -> Stage:
        limits: dict[str, Any] = {name: value for name, value in options.items() if name in _OF_STAGE}
        return Stage(
            name=self.name,
            queue=options.get("queue", self.name),
            input=self.input,
            output=self.parameters.output,
            **limits,
        )

    def _input_contract(self) -> Any:
        inputs = self.parameters.inputs
        if len(inputs) == 1:
            return inputs[0].contract
        for each in inputs:
            self._check_default(each)
        name = "".join(map(str.capitalize, self.function.__name__.split("_"))) + "Input"
        fields = {each.name: (each.contract, each.default) for each in inputs}
        try:
            contract = named_fields(name, self.function.__module__, fields)
        except (TypeError, ValueError, NameError) as error:
            raise TaskRefused(self.function, f"its parameters cannot be one contract: {error}") from error
        contract.__qualname__ = f"{self.function.__qualname__}.input"  # its name in another process
        return contract

    def _check_default(self, parameter: Parameter) -> None:
        if parameter.default is REQUIRED:
            return
        try:
            write(parameter.default, parameter.contract)
        except ContractBroken as error:
            raise TaskRefused(
                self.function,
                f"the default of {parameter.name!r} does not fit its annotation {type_text(parameter.contract)}: {error}",
            ) from error


class AsyncTask(Task[P, O_co]):
    """A task of an async function."""

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> O_co:
        value: O_co = await self.function(*args, **kwargs)
        return value


class SyncTask(Task[P, O_co]):
    """A task of a sync function."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> O_co:
        value: O_co = self.function(*args, **kwargs)
        return value


class GeneratorTask(Task[P, O_co], Generic[P, V, O_co]):
    """A task of a generator: each value that it yields is an event of its run."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> V:
        values: V = self.function(*args, **kwargs)
        return values


class _Decorator:
    def __init__(self, around: Surroundings, options: TaskOptions) -> None:
        self._around = around
        self._options = options

    # An async function is a sync one that gives a coroutine: the first that fits counts.
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, O]], /) -> AsyncTask[P, O]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[P, Generator[V, Any, O]], /
    ) -> GeneratorTask[P, Generator[V, Any, O], O]: ...
    @overload
    def __call__(self, function: Callable[P, Iterator[V]], /) -> GeneratorTask[P, Iterator[V], Any]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[P, AsyncIterator[V]], /
    ) -> GeneratorTask[P, AsyncIterator[V], Any]: ...
    @overload
    def __call__(self, function: Callable[P, O], /) -> SyncTask[P, O]: ...
    def __call__(self, function: Callable[..., Any], /) -> Task[..., Any]:
        return task_of(function, self._around, self._options)


@overload
def task(function: Callable[P, Coroutine[Any, Any, O]], /) -> AsyncTask[P, O]: ...  # type: ignore[overload-overlap]
@overload
def task(function: Callable[P, Generator[V, Any, O]], /) -> GeneratorTask[P, Generator[V, Any, O], O]: ...  # type: ignore[overload-overlap]
@overload
def task(function: Callable[P, Iterator[V]], /) -> GeneratorTask[P, Iterator[V], Any]: ...  # type: ignore[overload-overlap]
@overload
def task(function: Callable[P, AsyncIterator[V]], /) -> GeneratorTask[P, AsyncIterator[V], Any]: ...  # type: ignore[overload-overlap]
@overload
def task(function: Callable[P, O], /) -> SyncTask[P, O]: ...
@overload
def task(*, lifespan: Lifespan = ..., **options: Unpack[TaskOptions]) -> _Decorator: ...
def task(
    function: Callable[..., Any] | None = None,
    /,
    *,
    lifespan: Lifespan = no_dependencies,
    **options: Unpack[TaskOptions],
) -> Any:
    """Makes a Task of a sync or async function; `@task` alone, or `@task(queue=…, …)` with TaskOptions.

    One parameter is the input; several become one JSON object of their names, and their defaults stay defaults. A parameter
    annotated Context gets the attempt's. Raises TaskRefused for a function that no job could call.
    """
    decorator = _Decorator(Surroundings(lifespan), options)
    return decorator if function is None else decorator(function)


def task_of(function: Callable[..., Any], around: Surroundings, options: TaskOptions) -> Task[..., Any]:
    """The task of a function."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return GeneratorTask(function, around, options)
    return (AsyncTask if inspect.iscoroutinefunction(function) else SyncTask)(function, around, options)


def _check_options(function: Callable[..., Any], options: TaskOptions) -> None:
    known = TaskOptions.__annotations__
    if unknown := sorted(set(options) - set(known)):
        raise TaskRefused(
            function, f"it has no option {', '.join(unknown)}; it has: {', '.join(known)}, lifespan"
        )
    if options.get("isolated") and "<locals>" in function.__qualname__:
        raise TaskRefused(
            function, "another process cannot import a function inside a function: define it in its module"
        )


def _first_line(function: Callable[..., Any]) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0].strip()
