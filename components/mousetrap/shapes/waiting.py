"""Why a run waits, with the evidence for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from mousetrap.shapes.doc import Doc
from mousetrap.shapes.run import RunState


class WaitsFor(StrEnum):
    """What a run waits for, or that it does not wait."""

    #: The broker cannot be asked: it is away, or takes no messages for lack of memory or disk.
    BROKER = "broker"
    #: Its message became a dead letter without its job: the broker or a worker put it aside.
    PUT_ASIDE = "put-aside"
    #: It is recorded, and its first message may not be published yet.
    PUBLISH = "publish"
    #: The pause before its next attempt.
    RETRY = "retry"
    #: The end of an outage of what its handler depends on.
    OUTAGE = "outage"
    #: The time that its submitter gave.
    DUE = "due"
    #: A lock that another job holds.
    LOCK = "lock"
    #: A limit of its stage that has no room.
    LIMIT = "limit"
    #: Its queue to be resumed: an operator paused it.
    PAUSED = "paused"
    #: A worker for its queue: there is none.
    WORKER = "worker"
    #: A free slot of the workers, which are all busy.
    SLOT = "slot"
    #: Nothing that is known: its job is in its queue, and workers have room.
    QUEUE = "queue"
    #: The jobs that it opened.
    CHILDREN = "children"
    #: Another worker to take over from one that is silent.
    TAKEOVER = "takeover"
    #: Its turn to run alone, as it was started before without an end.
    ALONE = "alone"
    #: Nothing: a worker has it.
    RUNNING = "running"
    #: Nothing: it has ended.
    ENDED = "ended"
    #: Not known, as the store's data of it is damaged.
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One thing that a run waits for."""

    kind: WaitsFor
    text: Annotated[
        str, Doc("In a sentence.", ("No worker serves start_fetch; the last one was seen 3 min ago.",))
    ]
    since_ms: Annotated[int | None, Doc("Since when, in milliseconds since 1970; null where not known.")] = (
        None
    )
    age_seconds: Annotated[float | None, Doc("The same as an age.")] = None
    evidence: Annotated[
        Mapping[str, Any], Doc("The facts that it was found by.", ({"queue": "start_fetch", "ready": 3},))
    ]
    advice: Annotated[
        str, Doc("What to do: a command, or where to look. Empty for nothing.", ("mousetrap workers",))
    ] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Why a run waits."""

    run_id: Annotated[str, Doc(examples=("019b1f0c6a7e4d5f8a9b0c1d2e3f4a5b",))]
    state: RunState
    waits: Annotated[bool, Doc("False for one that runs or has ended, which `headline` describes then.")]
    headline: Annotated[Reason, Doc("What comes first on its way.")]
    also: Annotated[tuple[Reason, ...], Doc("What it will meet after that, or in other jobs of it.")] = ()
