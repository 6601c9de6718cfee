"""A pipeline, as the API shows it."""

from dataclasses import dataclass
from typing import Annotated, Any

from mousetrap.shapes.doc import Doc


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A step of a pipeline; the contracts are JSON Schemas."""

    name: str
    queue: str
    input: dict[str, Any]
    output: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A named chain of stages."""

    name: Annotated[str, Doc(examples=("earthquakes",))]
    description: str
    stages: tuple[Stage, ...]
