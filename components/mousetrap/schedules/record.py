"""Declares what is kept of a schedule."""

from typing import Literal

import msgspec

from mousetrap.schedules.schedule import Schedule

#: What became of a tick. `missed`: no scheduler was there. `skipped`: by its policy. `refused`: its run was not accepted, for good.
Became = Literal["fired", "missed", "skipped", "refused"]
#: Why a tick fires: it is due; someone asked for it; it is one of a backfill.
Cause = Literal["tick", "now", "backfill"]
#: Who declares it: the catalogue's code, the code of a worker, or a request.
Origin = Literal["code", "worker", "api"]
#: What became of ticks is kept for so many of them.
MOST_PAST = 50
#: Runs that a schedule may owe at once.
MOST_OWED = 1_000


class Owed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run that is to be submitted. It stays until it is: who submits it a second time finds the first."""

    tick_ms: int
    run_id: str
    cause: Cause = "tick"
    #: The run that is to be cancelled before.
    cancels: str = ""


class Past(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a tick, or of several that were missed together."""

    tick_ms: int
    became: Became
    at_ms: int
    cause: Cause = "tick"
    run_id: str = ""
    #: Of ticks that were missed together: how many, the first hundred of them.
    count: int = 1
    why: str = ""


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """Who paused a schedule, when and why. `orphaned`: it was declared in code, and is there no more."""

    who: str
    at_ms: int
    why: str = ""
    orphaned: bool = False


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule with what became of its ticks. Every write counts the revision on."""

    schedule: Schedule
    #: Declared in code, or made over HTTP.
    origin: Origin
    created_ms: int
    changed_ms: int
    changed_by: str
    revision: int = 1
    #: All ticks up to then are decided.
    decided_ms: int
    owed: tuple[Owed, ...] = ()
    #: A tick that waits for the run before it to end.
    waiting_ms: int | None = None
    #: The run of the last tick that fired.
    last_run: str = ""
    #: The newest first.
    past: tuple[Past, ...] = ()
    pause: Pause | None = None
    #: Why it does not go on just now: what is away.
    waits: str = ""

    @property
    def name(self) -> str:
        """The schedule's name."""
        return self.schedule.name
