"""A run's log lines."""

from dataclasses import dataclass
from typing import Annotated

from mousetrap.shapes.doc import Doc


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """What a handler caused to be logged, also by another library."""

    number: Annotated[int, Doc("Of the run's lines, from 1; it stays when earlier lines are dropped.")]
    at_ms: Annotated[int, Doc("Milliseconds since 1970, by the clock of the worker's machine.")]
    level: Annotated[str, Doc(examples=("INFO",))]
    logger: Annotated[str, Doc(examples=("httpx",))]
    message: Annotated[str, Doc("With its facts and its traceback; a long one is cut.", ("GET /feed 200",))]
    stage: Annotated[str, Doc(examples=("fetch",))]
    job: Annotated[str, Doc(examples=("5f0c5b7e6a1d5c0e8f3a2b4c6d8e0f1a",))]
    attempt: int
    worker: Annotated[str, Doc("The name of the worker.", ("host-812-a3f1",))]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """Some of the lines that are kept of a run, oldest first."""

    lines: tuple[LogLine, ...]
    next: Annotated[int | None, Doc("Ask with `after` set to this for the lines that follow.")]
    dropped: Annotated[int, Doc("Earlier lines that gave way to these.")] = 0
    missed: Annotated[
        int, Doc("Lines that a worker could not keep: the store was away, or there were too many.")
    ] = 0
