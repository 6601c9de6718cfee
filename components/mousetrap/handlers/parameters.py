"""Reads what a function takes and gives from its annotations."""

import inspect
import sys
import types
import typing
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from dataclasses import dataclass
from functools import partial
from typing import Any

from mousetrap.handlers.context import Context
from mousetrap.handlers.yields import Result
from mousetrap.pipeline import REQUIRED, item_of

_VARIADIC: Mapping[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}

#: How a generator's values are annotated.
_GENERATORS = (Generator, Iterator, Iterable, AsyncGenerator, AsyncIterator, AsyncIterable)


class TaskRefused(ValueError):
    """A function that cannot be a task: names the place, what is wrong, and the fix."""

    def __init__(self, function: Any, what: str) -> None:
        name = getattr(function, "__name__", None) or repr(function)
        super().__init__(f"{place_of(function)}: task {name!r}: {what}")


def place_of(function: Any) -> str:
    """The file and line of a function."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter that a value of the input goes to."""

    name: str
    contract: Any
    #: REQUIRED where it has none.
    default: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What a function takes and gives."""

    #: All but the context, in their order.
    inputs: tuple[Parameter, ...]
    #: The name of the parameter that takes the Context.
    context: str | None
    #: The contract of what it returns; of a generator, of what it returns at its end, or of its Results; or Many of what it yields.
    output: Any
    #: Whether it takes one value, and a context after it or none, so that it can be called as a handler is.
    as_handler: bool


def parameters_of(function: Callable[..., Any]) -> Parameters:
    """The parameters of a plain function. Raises TaskRefused for one that no job could call."""
    _check_kind(function)
    hints = _hints(function)
    parameters = inspect.signature(function).parameters
    for parameter in parameters.values():
        _check_parameter(function, parameter, hints)
    if "return" not in hints:
        raise TaskRefused(
            function, "what it returns has no annotation: add one, `-> None` where it returns nothing"
        )
    contexts = [name for name in parameters if _is_context(hints[name])]
    if len(contexts) > 1:
        raise TaskRefused(
            function, f"{' and '.join(contexts)} are both a Context: there is one, take it once"
        )
    return Parameters(
        inputs=tuple(_inputs(parameters, hints)),
        context=contexts[0] if contexts else None,
        output=_output(function, hints["return"]),
        as_handler=_is_as_handler(function, contexts),
    )


def _output(function: Callable[..., Any], hint: Any) -> Any:
    if not (inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)):
        return hint
    if item_of(hint) is not None:
        return hint
    if typing.get_origin(hint) not in _GENERATORS:
        raise TaskRefused(
            function,
            f"it yields values, and its return annotation is {hint}: write Generator[Value, None, Output] or, for an async "
            "one, AsyncIterator[Value | Result[Output]]",
        )
    yielded, *rest = typing.get_args(hint)
    if len(rest) == 2 and rest[1] is not type(None):  # Generator[yielded, sent, returned]
        return rest[1]
    results = [typing.get_args(each)[0] for each in _members(yielded) if typing.get_origin(each) is Result]
    return typing.Union[tuple(results)] if results else type(None)  # noqa: UP007  of a list


def _members(hint: Any) -> tuple[Any, ...]:
    """The members of a union, or the type alone."""
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if is_union else (hint,)


def _inputs(parameters: Mapping[str, inspect.Parameter], hints: Mapping[str, Any]) -> Iterator[Parameter]:
    for name, parameter in parameters.items():
        if not _is_context(hints[name]):
            default = REQUIRED if parameter.default is parameter.empty else parameter.default
            yield Parameter(name=name, contract=hints[name], default=default)


def _check_kind(function: Callable[..., Any]) -> None:
    if isinstance(function, staticmethod | classmethod):
        raise TaskRefused(
            function, f"write @{type(function).__name__} above @task, or take it out of its class"
        )
    if not inspect.isroutine(function):
        kind = "a class" if inspect.isclass(function) else f"a {type(function).__name__}"
        raise TaskRefused(function, f"a task is made of a function, and this is {kind}: write a `def`")


def _check_parameter(
    function: Callable[..., Any], parameter: inspect.Parameter, hints: Mapping[str, Any]
) -> None:
    name = parameter.name
    if stars := _VARIADIC.get(parameter.kind):
        raise TaskRefused(
            function, f"it takes {stars}{name}, and a contract needs names: write each parameter out"
        )
    if name not in hints and name in ("self", "cls"):
        raise TaskRefused(
            function,
            "it is a method, and a worker has no instance to call it on: make it a function, and keep what it needs "
            "in the lifespan's value, which is `Context.deps`",
        )
    if name not in hints:
        raise TaskRefused(
            function, f"parameter {name!r} has no annotation, and its type is the contract: add one"
        )


def _is_as_handler(function: Callable[..., Any], contexts: list[str]) -> bool:
    parameters = list(inspect.signature(function).parameters.values())
    kinds = {parameter.kind for parameter in parameters}
    in_order = bool(parameters) and [each.name for each in parameters[1:]] == contexts
    if in_order and inspect.Parameter.KEYWORD_ONLY not in kinds:
        return True
    if inspect.Parameter.POSITIONAL_ONLY in kinds:
        raise TaskRefused(function, "its values are given by name: take out the `/` among its parameters")
    return False


def _is_context(hint: Any) -> bool:
    """Whether it is Context[Deps], or that or None, for direct calls without one."""
    return any(Context in (each, typing.get_origin(each)) for each in _members(hint))


def _hints(function: Callable[..., Any]) -> Mapping[str, Any]:
    resolve = partial(typing.get_type_hints, function, include_extras=True)
    try:
        try:
            return resolve()
        except NameError:  # a class that is defined in the same function as the task
            return resolve(localns=_names_around(function))
    except Exception as error:
        raise TaskRefused(
            function,
            f"its annotations cannot be resolved ({type(error).__name__}: {error}): each name in them must be there "
            "when the task is defined, so import it outside `if TYPE_CHECKING`",
        ) from error


def _names_around(function: Callable[..., Any]) -> dict[str, Any]:
    """The local names of the functions in whose code the task is being defined."""
    names: dict[str, Any] = {}
    frame, file = sys._getframe(1), function.__code__.co_filename
    while frame := frame.f_back:  # type: ignore[assignment]
        if frame.f_code.co_filename == file:
            names = {**frame.f_locals, **names}
    return names
