"""The entries of a catalogue."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from mousetrap.settings import Settings


class Worker(NamedTuple):
    """A worker, by names that are imported when it is started: of binders, or of modules with tasks."""

    #: "module:function" that takes the settings and returns the binding of a stage; a worker of several stages has several.
    binder: str | tuple[str, ...] | None = None
    #: The module that `python -m` runs as the worker's process; None for `mousetrap worker`.
    program: str | None = None
    #: It serves all tasks and chains of these modules: any target of `mousetrap worker`.
    modules: tuple[str, ...] = ()

    @property
    def binders(self) -> tuple[str, ...]:
        """Its binders, however many."""
        return (self.binder,) if isinstance(self.binder, str) else self.binder or ()

    @property
    def names(self) -> tuple[str, ...]:
        """All that a process of it imports by name."""
        return tuple(name for name in (*self.binders, self.program, *self.modules) if name)

    def command(self, name: str) -> tuple[str, ...]:
        """What `python -m` runs as its process: a module and its arguments; `name` is its name in the catalogue."""

        return (self.program,) if self.program else ("mousetrap.cli", "worker", *(self.modules or (name,)))


class SampleRun(NamedTuple):
    """One more run of a sample."""

    pipeline: str
    #: JSON.
    input: bytes
    #: What the demo shows of the input, by label.
    facts: Mapping[str, str]


class Sample(NamedTuple):
    """A run to try a stack with, and what the stack's processes need for it."""

    pipeline: str
    #: JSON.
    input: bytes
    #: What the input leads to, as in "a week of earthquakes that needs no internet".
    about: str
    #: What the demo shows of the input, by label.
    facts: Mapping[str, str]
    #: Where the results are kept, by label; without passwords.
    results: Mapping[str, str]
    #: MOUSETRAP_ variables for all processes of the stack.
    variables: Mapping[str, str]
    #: What the demo runs after it, on the same data.
    then: tuple[SampleRun, ...] = ()


class Recorded(NamedTuple):
    """A run's result in a record of the pipeline's own."""

    run_id: str
    #: When it was stored, in UTC.
    at: datetime
    #: JSON.
    result: bytes | str


class Record(Protocol):
    """Results that a pipeline keeps by itself; they outlive their runs in the run store. Used in threads, one at a time."""

    def newest(self) -> Recorded | None:
        """The result stored last; None before the first. Raises MousetrapError while it cannot be read."""
        ...

    def close(self) -> None:
        """Closes its connections."""
        ...


#: Opens the sample of a stack: takes the stack's folder, its settings and the names of those that were given.
OpenSample = Callable[[Path, Settings, frozenset[str]], AbstractContextManager[Sample]]
