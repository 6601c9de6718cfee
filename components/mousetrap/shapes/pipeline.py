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
    #: The stages of which it takes the output of one; none for the stage that runs start with, and for a fallback.
    after: tuple[str, ...] = ()
    #: The stage that a run goes on with when a job of this one is given up.
    fallback: str | None = None
    #: Whether a run goes on then as if the output were null.
    skips: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A named chain of stages."""

    name: Annotated[str, Doc(examples=("earthquakes",))]
    description: str
    stages: tuple[Stage, ...]
