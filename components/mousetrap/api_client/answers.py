"""What the API answers, as far as a terminal shows it; fields that it does not know are left alone."""

from typing import Any

import msgspec


def kind_and_text(kind: str, text: str) -> str:
    """Both with a colon between them, or the one that is there."""
    return ": ".join(filter(None, (kind, text)))


class Failure(msgspec.Struct, frozen=True):
    """Why an attempt or a run failed."""

    kind: str
    text: str
    traceback: str = ""

    @property
    def words(self) -> str:
        """`ValueError: text`, or the kind alone where the error has no text."""
        return kind_and_text(self.kind.rpartition(".")[2], self.text)


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a run's timeline."""

    id: str
    kind: str
    #: Milliseconds since 1970.
    at_ms: int
    stage: str | None = None
    attempt: int | None = None
    worker: str | None = None
    failure: Failure | None = None

    @property
    def last(self) -> bool:
        """Whether the run ended with this."""
        return self.kind in ("completed", "failed", "rejected", "cancelled", "expired")


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far the handler that runs now has come."""

    stage: str
    done: float
    total: float | None = None
    note: str = ""


class PutAside(msgspec.Struct, frozen=True, kw_only=True):
    """The dead letter that keeps a run waiting."""

    id: str
    queue: str
    reason: str
    believed: bool


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One input's trip through a pipeline."""

    id: str
    pipeline: str
    state: str
    stage: str
    accepted_ms: int
    finished_ms: int | None = None
    input: Any = None
    result: Any = None
    failure: Failure | None = None
    rerun_of: str | None = None
    timeline: tuple[Event, ...] = ()
    letter: PutAside | None = None
    #: What of it could not be read.
    unreadable: tuple[str, ...] = ()


class Accepted(msgspec.Struct, frozen=True):
    """The API's reply to a new run."""

    run_id: str


class Page(msgspec.Struct, frozen=True):
    """Some runs, newest first."""

    runs: tuple[Run, ...]
    #: What the next page starts after; None when there is none.
    next: str | None = None


class Stage(msgspec.Struct, frozen=True):
    """A step of a pipeline and its queue."""

    name: str
    queue: str


class Pipeline(msgspec.Struct, frozen=True):
    """A chain of stages."""

    name: str
    stages: tuple[Stage, ...]


class Doing(msgspec.Struct, frozen=True):
    """An attempt that a worker has under way, and for how long it had at the worker's last beat."""

    run_id: str
    stage: str
    attempt: int
    seconds: float


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker by its last beat."""

    name: str
    state: str
    stages: tuple[str, ...]
    concurrency: int
    running: int
    done: int
    failed: int
    #: Seconds since that beat.
    silent: float
    doing: tuple[Doing, ...] = ()


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A job given up; its story is whole on its own page alone."""

    id: str
    queue: str
    reason: str
    error_kind: str
    error: str
    believed: bool
    attempts: int | None = None
    worker: str = ""
    #: Milliseconds since 1970.
    at_ms: int | None = None
    run_id: str | None = None
    pipeline: str | None = None
    stage: str | None = None
    generation: int = 0
    traceback: str = ""
    payload: Any = None
    #: The whole message, where it is no job of ours.
    body: str | None = None
    run: Run | None = None


class LetterPage(msgspec.Struct, frozen=True):
    """Some dead letters, newest first."""

    letters: tuple[Letter, ...]
    matched: int
    seen: int
    #: How many lie there that one look did not take.
    unseen: int


class LetterGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters that died of the same."""

    queue: str
    reason: str
    error_kind: str
    count: int
    oldest_ms: int | None = None
    newest_ms: int | None = None


class LetterGroups(msgspec.Struct, frozen=True):
    """Dead letters by what went wrong."""

    groups: tuple[LetterGroup, ...]
    seen: int
    unseen: int


class Repaired(msgspec.Struct, frozen=True):
    """What became of the dead letters that were meant."""

    matched: int
    left: int
    unseen: int
    redriven: int = 0
    discarded: int = 0
    #: Dropped, because their jobs have gone on without them.
    stale: int = 0

    @property
    def dealt_with(self) -> int:
        """Those of the letters that lie there no more."""
        return self.redriven + self.discarded + self.stale

    def and_then(self, later: "Repaired") -> "Repaired":
        """What became of them after a later request for the rest."""
        dealt_with = self.dealt_with + later.dealt_with
        return Repaired(
            matched=self.matched,
            left=max(0, self.matched - dealt_with),
            unseen=later.unseen,
            redriven=self.redriven + later.redriven,
            discarded=self.discarded + later.discarded,
            stale=self.stale + later.stale,
        )
