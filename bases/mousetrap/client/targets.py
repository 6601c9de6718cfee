"""Finds the pipeline, the input and the output contract of a target."""

from dataclasses import dataclass
from typing import Any

import msgspec

from mousetrap.handlers import Call, Chain, Task
from mousetrap.pipeline import Pipeline, read, write

#: The input where none is given: the contract's, or the pipeline's, defaults.
DEFAULTS: Any = msgspec.UNSET

Target = Task[..., Any] | Chain[..., Any] | Call[Any] | Pipeline | str


@dataclass(frozen=True, slots=True)
class Aim:
    """The pipeline that a target names."""

    name: str
    #: None where only its name is known.
    pipeline: Pipeline | None = None

    def result(self, value: Any) -> Any:
        """A run's result, plain JSON, as a value of the last stage's contract. Raises ContractBroken for one that does not fit."""
        if self.pipeline is None:
            return value
        return read(msgspec.json.encode(value), self.pipeline.result)


def aim_of(target: Target) -> Aim:
    """The pipeline of a task, a chain, a call of one, or of a name. Raises TypeError for anything else."""
    match target:
        case str():
            return Aim(target)
        case Pipeline():
            return Aim(target.name, target)
        case Task() | Chain() | Call():
            return Aim(target.pipeline.name, target.pipeline)
        case _:
            advice = f": write @task above {target.__name__}" if hasattr(target, "__name__") else ""
            raise TypeError(
                f"{target!r} cannot be submitted: give a task, a chain or a pipeline's name{advice}"
            )


def input_of(target: Target, given: Any) -> bytes:
    """The input as JSON, checked where the contract is at hand. Raises ContractBroken; TypeError for a call with one more input."""
    if isinstance(target, Call):
        if given is not DEFAULTS:
            raise TypeError(f"{target!r} has its input already: give none beside it")
        return target.input
    if given is DEFAULTS:
        return b""
    if isinstance(target, Task | Chain):
        return target.call(given).input
    return write(given, target.first.input if isinstance(target, Pipeline) else Any)
