"""A run in a simulated world, as a test looks at it."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import msgspec

from mousetrap.handlers import failure_of
from mousetrap.pipeline import Pipeline, read
from mousetrap.run_store import StoredRun
from mousetrap.shapes import Event, Failure, JobLine, RunState


class NotCompleted(AssertionError):
    """The run has no result, and no error of a handler is the cause."""


class RaisedErrors:
    """The errors that handlers raised, to be found by the failures that the store keeps of them."""

    def __init__(self) -> None:
        self._errors: list[BaseException] = []

    def __call__(self, error: BaseException) -> None:
        self._errors.append(error)

    def of(self, failure: Failure | None) -> BaseException | None:
        """The newest error that this failure was made of."""
        if failure is None:
            return None
        return next((each for each in reversed(self._errors) if _is_of(each, failure)), None)


@dataclass(frozen=True)
class WorldRun:
    """One run. What it shows is read from the simulated store at that moment."""

    id: str
    pipeline: Pipeline
    _read: Callable[[str], StoredRun | None] = field(repr=False)
    _list: Callable[[StoredRun, Pipeline], Sequence[JobLine]] = field(repr=False)
    _errors: RaisedErrors = field(repr=False)
    _cancel: Callable[[str], Coroutine[Any, Any, RunState | None]] = field(repr=False)
    #: Milliseconds since 1970 at the world's beginning.
    _began_ms: int = field(repr=False)

    @property
    def stored(self) -> StoredRun:
        """The run as the API would show it."""
        found = self._read(self.id)
        if found is None:
            raise NotCompleted(f"run {self.id} is not known: it was never accepted, or is forgotten")
        return found

    @property
    def state(self) -> RunState:
        """Its state; equal to the state's name, as "completed"."""
        return self.stored.state

    @property
    def input(self) -> Any:
        """Its input, as JSON has it."""
        return self.stored.input

    @property
    def result(self) -> Any:
        """The value of its last stage, under that stage's contract.

        Raises the handler's error for a failed run, and NotCompleted for any other; both with the run's timeline.
        """
        run = self.stored
        if run.state != "completed":
            self.fail(f"run {self.id} is {run.state} and has no result")
        return read(msgspec.json.encode(run.result), self.pipeline.result)

    @property
    def timeline(self) -> tuple[Event, ...]:
        """What happened to it, oldest first."""
        return self.stored.timeline

    @property
    def jobs(self) -> tuple[JobLine, ...]:
        """Its jobs by stage, those of a fan-out by index, as `mousetrap jobs` lists them."""
        return tuple(self._list(self.stored, self.pipeline))

    def attempts(self, stage: str | None = None) -> int:
        """How often the handler of the stage has begun; of all stages without one.

        The timeline has no begin of a fan-out's jobs: of each of them those since its last redrive count.
        """
        begun = sum(event.kind == "started" and stage in (None, event.stage) for event in self.timeline)
        return begun + sum(line.attempt for line in self.jobs if line.index and stage in (None, line.stage))

    async def cancel(self) -> RunState | None:
        """Cancels it, as the API would."""
        return await self._cancel(self.id)

    def fail(self, why: str) -> NoReturn:
        """Raises the error of its handler, or NotCompleted, with the reason and the timeline."""
        fail(self.stored, self._errors, why, self._began_ms)


def last_failure(run: StoredRun) -> Failure | None:
    """The failure of its last attempt that failed; None where none did."""
    failures = (event.failure for event in reversed(run.timeline) if event.failure is not None)
    return next(failures, run.failure)


def fail(run: StoredRun, errors: RaisedErrors, why: str, began_ms: int | None = None) -> NoReturn:
    """Raises the error of the run's handler, or NotCompleted, with the reason and the timeline, in seconds since `began_ms`."""
    began_ms = run.accepted_ms if began_ms is None else began_ms
    lines = [why, f"timeline of {run.id}:", *(_line(event, began_ms) for event in run.timeline)]
    error = errors.of(last_failure(run))
    if error is None:
        raise NotCompleted("\n".join(lines))
    error.add_note("\n".join(lines))
    raise error


def _line(event: Event, began_ms: int) -> str:
    facts = [event.kind, event.stage or "", f"#{event.attempt}" if event.attempt else ""]
    why = f"{event.failure.kind}: {event.failure.text}" if event.failure else ""
    return f"{(event.at_ms - began_ms) / 1000:12.3f}  {' '.join(filter(None, [*facts, why]))}"


def _is_of(error: BaseException, failure: Failure) -> bool:
    kept = failure_of(error)
    return (kept.kind, kept.text) == (failure.kind, failure.text)
