"""An entry of the audit trail; times are milliseconds since 1970."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from mousetrap.shapes.doc import Doc


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One act that changed something, or was to: who did it, with what, and its outcome."""

    #: Its place on the trail; empty before it is there.
    id: Annotated[str, Doc("Its place on the trail.", ("1765432100123-0",))] = ""
    at_ms: int
    who: Annotated[str, Doc("The id of the caller's key; `loopback` where there are no keys.", ("ops",))]
    act: Annotated[str, Doc(examples=("redrive",))]
    address: Annotated[str, Doc("Where the request came from.", ("10.0.0.7",))] = ""
    outcome: Annotated[str, Doc("`done`, `accepted` for what goes on as an operation, or the problem.")]
    count: Annotated[int | None, Doc("How many it changed; null where that is not known.")] = None
    reason: Annotated[str, Doc("The request's header `Mousetrap-Reason`.", ("ticket 81",))] = ""
    what: Annotated[
        Mapping[str, Any], Doc("The filter, and what was named: run, queue, letter, operation, schedule.")
    ] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """Some entries of the audit trail, newest first."""

    entries: tuple[AuditEntry, ...]
    next: Annotated[str | None, Doc("Ask with `after` set to this for the entries before.")] = None
