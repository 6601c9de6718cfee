"""Writes the arguments of a task as the input of its pipeline."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from mousetrap.handlers.parameters import Parameters
from mousetrap.pipeline import REQUIRED, ContractBroken, Pipeline, write

O_co = TypeVar("O_co", covariant=True)


class _Task(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def parameters(self) -> Parameters: ...

    @property
    def input(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Call(Generic[O_co]):
    """A pipeline with its input, for a client to submit; generic over what the pipeline gives."""

    pipeline: Pipeline
    #: JSON.
    input: bytes

    def __repr__(self) -> str:
        return f"<call of {self.pipeline.name!r}>"


def input_of(task: _Task, given: tuple[Any, ...], named: Mapping[str, Any]) -> bytes:
    """The input as JSON, from the arguments of a call without its context.

    Raises TypeError where they do not fit the parameters, ContractBroken where a value does not fit its contract.
    """
    names = [each.name for each in task.parameters.inputs]
    values = dict(zip(names, given, strict=False))
    if len(given) > len(names):
        raise TypeError(
            f"task {task.name!r} takes {', '.join(names) or 'nothing'}: {len(given)} values are given"
        )
    if wrong := [name for name in named if name in values or name not in names]:
        raise TypeError(
            f"task {task.name!r} takes {', '.join(names) or 'nothing'}, each once: take out {', '.join(wrong)}"
        )
    values.update(named)
    required = [each.name for each in task.parameters.inputs if each.default is REQUIRED]
    if missing := [name for name in required if name not in values]:
        raise TypeError(f"task {task.name!r} needs {', '.join(missing)} as well")
    if len(names) == 1:
        return write(values.get(names[0], task.parameters.inputs[0].default), task.input)
    return write(_object(task, values), task.input)


def _object(task: _Task, values: Mapping[str, Any]) -> Any:
    try:
        return task.input(**values)
    except ValueError as error:  # a pydantic model checks where it is made
        raise ContractBroken(str(error)) from error
