"""Judges how a submission ended: accepted, refused, held or away. Pure."""

from dataclasses import dataclass, field

from mousetrap.jobs import MousetrapError, PayloadUnusable, QueueFull, RecordDamaged, Unroutable
from mousetrap.outbox.errors import PipelineUnknown, RowUnreadable
from mousetrap.pipeline import ContractBroken
from mousetrap.retry import Backoff, error_kind, error_text
from mousetrap.run_store import RunConflict
from mousetrap.submit_run import DeadLettersFull

#: Seconds for which a pipeline may be unknown before its rows are set aside: its worker may be about to start.
UNKNOWN_S = 60.0
#: Characters of an error that a row keeps.
_MAX_TEXT = 2_000
#: Pauses of a pipeline whose runs are not accepted now.
_PAUSES = Backoff(first_s=1.0, longest_s=30.0)


@dataclass(frozen=True, slots=True)
class Refused:
    """This row will not be accepted as it is."""

    why: str


@dataclass(frozen=True, slots=True)
class Held:
    """No run of this pipeline is accepted now."""

    why: str
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class Away:
    """No run is accepted now: broker or store is away."""

    why: str


Verdict = Refused | Held | Away


def judge(error: Exception) -> Verdict:
    """What the error of a submission means for its row, its pipeline, or all rows."""
    match error:
        case PipelineUnknown():
            return Held(str(error), unknown=True)
        case QueueFull() | DeadLettersFull() | Unroutable():
            return Held(str(error))
        case RunConflict() | RecordDamaged() | PayloadUnusable() | RowUnreadable():
            return Refused(str(error))
        case MousetrapError():
            return Away(str(error))
        case ContractBroken() | ValueError():
            return Refused(error_text(error, _MAX_TEXT))
        case _:  # a defect of ours, or of a contract's own check: the row is kept, and the others go on
            return Refused(f"{error_kind(error)}: {error_text(error, _MAX_TEXT)}")


@dataclass(slots=True)
class _Hold:
    since_s: float
    until_s: float
    failures: int
    #: Since when each verdict was that the pipeline is unknown; None after another one.
    unknown_since_s: float | None = None


@dataclass(slots=True)
class Holds:
    """The pipelines whose rows are passed over for a while. Times are of a monotonic clock."""

    _holds: dict[str, _Hold] = field(default_factory=dict)

    def hold(self, pipeline: str, now_s: float, chance: float, *, unknown: bool = False) -> float:
        """Holds it for a pause that grows with each time; returns for how long it has been held, all pauses together."""
        hold = self._holds.setdefault(pipeline, _Hold(now_s, now_s, 0))
        if now_s >= hold.until_s:
            hold.failures += 1
            hold.until_s = now_s + _PAUSES.pause(hold.failures, chance)
        if not unknown:
            hold.unknown_since_s = None
        elif hold.unknown_since_s is None:
            hold.unknown_since_s = now_s
        return now_s - hold.since_s

    def unknown_s(self, pipeline: str, now_s: float) -> float:
        """For how long it has been unknown without another verdict in between."""
        hold = self._holds.get(pipeline)
        return 0.0 if hold is None or hold.unknown_since_s is None else now_s - hold.unknown_since_s

    def restart_unknown(self, *pipelines: str) -> None:
        """Another verdict came in between; that broker or store is away concerns all pipelines, and names none."""
        for name, hold in self._holds.items():
            if not pipelines or name in pipelines:
                hold.unknown_since_s = None

    def free(self, pipeline: str) -> bool:
        """A run of it was accepted. Returns whether it was held."""
        return self._holds.pop(pipeline, None) is not None

    def held(self, now_s: float) -> frozenset[str]:
        """The pipelines to pass over now."""
        return frozenset(name for name, hold in self._holds.items() if now_s < hold.until_s)
