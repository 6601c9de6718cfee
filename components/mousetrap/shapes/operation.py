"""A repair that goes on in the server; times are in milliseconds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from mousetrap.shapes.doc import Doc

OperationKind = Literal["redrive", "cancel", "rerun"]
#: `done`: all targets were tried. `failed`: it cannot go on, as `failures` explains.
OperationState = Literal["running", "stopped", "done", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationFailure:
    """What could not be done for one target."""

    target: Annotated[str, Doc("The run's id, or the letter's.")]
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A repair of what a filter selected when it was asked for; any API carries it on."""

    id: Annotated[str, Doc(examples=("019b1f0c6a7e4d5f8a9b0c1d2e3f4a5b",))]
    kind: OperationKind
    state: OperationState
    filter: Annotated[
        Mapping[str, Any], Doc("What selects the letters or runs.", ({"reason": "max-retries"},))
    ]
    begin: Annotated[str | None, Doc("Of a re-run: the stage that it begins with.")] = None
    rate: Annotated[float, Doc("Targets a second, at most.")]
    limit: Annotated[int | None, Doc("Targets in all, at most.")] = None
    who: Annotated[str, Doc("The id of the caller's key.", ("ops",))]
    reason: Annotated[str, Doc("The request's header `Mousetrap-Reason`.", ("ticket 81",))] = ""
    matched: Annotated[int, Doc("How many targets were found.")] = 0
    finding: Annotated[bool, Doc("Whether more are still being looked for; none is acted on before.")] = False
    unseen: Annotated[
        int | None, Doc("How many more there are than one operation takes; null where some are, uncounted.")
    ] = 0
    done: int = 0
    stale: Annotated[int, Doc("Targets that needed it no more: a job had gone on, a run had ended.")] = 0
    failed: Annotated[int, Doc("Targets that it was refused for; `failures` has the first reasons.")] = 0
    left: Annotated[int, Doc("Targets that are not tried yet.")] = 0
    failures: Annotated[tuple[OperationFailure, ...], Doc("The first ten.", ([],))] = field(default=())
    waits: Annotated[str, Doc("Why it does not go on just now: broker or store is away.")] = ""
    created_ms: int
    updated_ms: int
    ended_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationPage:
    """Some operations, newest first."""

    operations: tuple[Operation, ...]
    next: Annotated[str | None, Doc("Ask with `after` set to this for those before.")] = None
