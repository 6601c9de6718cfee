"""The entries of a catalogue."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from mousetrap.settings import Settings


class Worker(NamedTuple):
    """A worker, by names that are imported when it is started."""

    #: "module:function" that takes the settings and returns the binding of a stage.
    binder: str
    #: The module that `python -m` runs as the worker's process.
    program: str


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


#: Opens the sample of a stack: takes the stack's folder, its settings and the names of those that were given.
OpenSample = Callable[[Path, Settings, frozenset[str]], AbstractContextManager[Sample]]
