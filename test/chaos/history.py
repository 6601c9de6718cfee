"""Holds what is known when a run of the suite is over."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from chaos.calls import Entry
from chaos.effects import Effect
from chaos.ledger import Line
from mousetrap.schedules import Record


class StoredRun(NamedTuple):
    """What the store holds of a run."""

    state: str
    #: How many stages the result went through; None without a result.
    done: int | None
    #: The kinds of its timeline's events, oldest first.
    events: tuple[str, ...]
    #: Milliseconds since 1970 after which no job of it may begin.
    expires_ms: int | None = None
    #: What could not be read of it: a payload that is missing, or altered.
    unreadable: tuple[str, ...] = ()
    #: What its join was given; empty where its result has none.
    counts: tuple[int, ...] = ()


class DeadLetter(NamedTuple):
    """A message in a dead queue."""

    id: str
    run: str
    queue: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class History:
    """The facts, gathered after everything came to rest."""

    #: In the order of the file.
    ledger: tuple[Line, ...]
    runs: Mapping[str, StoredRun]
    effects: tuple[Effect, ...]
    dead: tuple[DeadLetter, ...]
    #: Messages of any sort, ready, unacknowledged or on their way between queues, in each queue but the dead ones.
    depths: Mapping[str, int]
    #: Of each stage with a limit: how many jobs hold its places, and how many wait for one.
    limits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    #: Keys of the store that never expire.
    eternal: tuple[str, ...] = ()
    #: Runs of which payloads are left after a sweep.
    payloads: frozenset[str] = frozenset()
    #: Seconds since 1970 at which the monotonic clock stood at zero: the clocks of the processes may be wrong.
    epoch: float = 0.0
    #: What workers asked of the store, and its answers.
    calls: tuple[Entry, ...] = ()
    #: What is kept of schedules, which are paused.
    schedules: tuple[Record, ...] = ()
    #: The output of each process.
    logs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: Runs whose queue somebody deleted with their message in it: an operator's act, which no queue survives.
    deleted: frozenset[str] = frozenset()
    #: Runs of which the store can have forgotten something: what a replica had not got when it took over.
    forgotten: frozenset[str] = frozenset()
    #: The exit codes of the workers that were asked to stop at the end.
    exits: tuple[int, ...] = ()

    @cached_property
    def remembered(self) -> "History":
        """The same without the runs that the store can have forgotten something of."""
        return replace(
            self,
            ledger=tuple(line for line in self.ledger if line.run not in self.forgotten),
            calls=tuple(entry for entry in self.calls if entry.run not in self.forgotten),
            runs={run: stored for run, stored in self.runs.items() if run not in self.forgotten},
            dead=tuple(letter for letter in self.dead if letter.run not in self.forgotten),
        )

    @cached_property
    def kinds(self) -> Mapping[str, str]:
        """The kind of each run that was attempted."""
        return {line.run: line.kind for line in self.ledger if line.what == "attempted"}

    def runs_that(self, what: str) -> set[str]:
        """The runs of the ledger's lines of that sort."""
        return {line.run for line in self.ledger if line.what == what}

    def of(self, what: str) -> list[Line]:
        """The ledger's lines of that sort."""
        return [line for line in self.ledger if line.what == what]
