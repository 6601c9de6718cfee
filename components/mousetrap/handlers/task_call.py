"""Calls a task's function with its input and its context."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from mousetrap.handlers.parameters import Parameters
from mousetrap.handlers.soft_timeout import SoftTimeout


class _Task(Protocol):
    @property
    def function(self) -> Callable[..., Any]: ...

    @property
    def parameters(self) -> Parameters: ...

    @property
    def isolated(self) -> bool: ...


def handler_of(task: _Task, *, by_name: bool) -> Callable[..., Any]:
    """The function itself where it can be called as a handler, else a call that gives each parameter its value.

    `by_name`: the input holds the values by name; otherwise it is the value of the first parameter.
    """
    # An isolated handler's process finds a function by its name, and that is the task's.
    if task.parameters.as_handler and not task.isolated:
        return task.function
    kinds: Iterator[type[_Call]] = (call for is_kind, call in _CALLS if is_kind(task.function))
    return next(kinds, _Call)(task, by_name)


@dataclass(frozen=True)
class _Call:
    task: _Task
    by_name: bool

    def __call__(self, *given: Any) -> Any:
        return self.task.function(**self._arguments(*given))

    @property
    def __signature__(self) -> inspect.Signature:
        """What the worker gives: the input, and a context where the function takes one."""
        names = ("input", "context") if self.task.parameters.context else ("input",)
        return inspect.Signature(
            [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in names]
        )

    def _arguments(self, value: Any, context: Any = None) -> dict[str, Any]:
        parameters = self.task.parameters
        arguments = {parameters.context: context} if parameters.context else {}
        if self.by_name:
            return arguments | {each.name: getattr(value, each.name) for each in parameters.inputs}
        return arguments | {parameters.inputs[0].name: value}


class _AsyncCall(_Call):
    async def __call__(self, *given: Any) -> Any:
        return await self.task.function(**self._arguments(*given))


class _GeneratorCall(_Call):
    def __call__(self, *given: Any) -> Any:
        return (yield from self.task.function(**self._arguments(*given)))


class _AsyncGeneratorCall(_Call):
    async def __call__(self, *given: Any) -> Any:
        async with aclosing(self.task.function(**self._arguments(*given))) as values:
            step = anext(values)
            while True:
                try:
                    value = await step
                except StopAsyncIteration:
                    return
                try:
                    yield value
                    step = anext(values)
                except SoftTimeout as soft:  # it is the function's, which waits at its `yield`
                    step = values.athrow(soft)


#: A worker sees from the kind of a handler how to run it.
_CALLS: tuple[tuple[Callable[[Any], bool], type[_Call]], ...] = (
    (inspect.iscoroutinefunction, _AsyncCall),
    (inspect.isgeneratorfunction, _GeneratorCall),
    (inspect.isasyncgenfunction, _AsyncGeneratorCall),
)
