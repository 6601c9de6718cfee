"""Declares what the store keeps of an operation."""

from collections.abc import Mapping
from typing import Any

import msgspec

from mousetrap.shapes import Operation, OperationFailure, OperationKind
from mousetrap.signing import Keyring, SignatureRefused

#: Ids of letters that are shown of a filter.
_MAX_SHOWN_IDS = 20


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What an operation was asked to do. It does not change, and is signed: the store alone can start none."""

    kind: OperationKind
    #: The conditions that were given, by their names in the request.
    filter: dict[str, Any]
    #: Of a re-run: `start`, `failed` or a stage's name.
    begin: str = ""
    #: Targets a second, at most, and in all; 0 for any number.
    rate: float
    limit: int = 0
    who: str
    reason: str = ""
    created_ms: int


class Target(msgspec.Struct, frozen=True, array_like=True):
    """A run, or a dead letter of one generation of its job."""

    #: The run's id; of a letter its own.
    id: str
    #: How often it was tried, and is to be tried again.
    tries: int = 0
    queue: str = ""
    generation: int = 0
    #: Of a letter: its job's run; empty where no key of ours signed it.
    run_id: str = ""


class Share(msgspec.Struct, frozen=True):
    """The targets that a carrier is to try next."""

    #: Where the finding goes on; empty once all targets are found.
    after: str
    #: How many targets were tried before these.
    cursor: int
    #: The first so many may have been tried already, by a carrier that did not count them.
    repeated: int
    #: How many were found so far.
    matched: int
    targets: tuple[Target, ...] = ()


class Tried(msgspec.Struct):
    """What became of targets, in their order."""

    count: int = 0
    done: int = 0
    stale: int = 0
    failed: int = 0
    failures: list[OperationFailure] = msgspec.field(default_factory=list)
    #: The runs of those that are done; of a re-run the new ones.
    runs: list[str] = msgspec.field(default_factory=list)
    #: Those to be tried again later.
    again: list[Target] = msgspec.field(default_factory=list)


def encode_plan(plan: Plan, operation_id: str, keyring: Keyring) -> tuple[bytes, str]:
    """The plan and its signature."""
    facts = msgspec.json.encode(plan)
    return facts, keyring.sign_record(_about(operation_id), facts)


def decode_plan(facts: bytes, signature: bytes, operation_id: str, keyring: Keyring) -> Plan:
    """The plan. Raises SignatureRefused for one that is not ours."""
    keyring.verify_record(_about(operation_id), facts, signature.decode("ascii", "replace"))
    try:
        return msgspec.json.decode(facts, type=Plan)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SignatureRefused(f"the record in the store cannot be read: {error}") from error


def read_operation(operation_id: str, row: Mapping[bytes, bytes]) -> Operation | None:
    """The operation as it is shown; None where the row is none, for anything can be in the store."""
    try:
        return _operation(operation_id, {name.decode(): value for name, value in row.items()})
    except (msgspec.DecodeError, msgspec.ValidationError, KeyError, ValueError, RecursionError):
        return None


def _operation(operation_id: str, row: Mapping[str, bytes]) -> Operation:
    plan = msgspec.json.decode(row["facts"], type=Plan)
    counts = {name: int(row[name]) for name in ("matched", "done", "stale", "failed")}
    tried = counts["done"] + counts["stale"] + counts["failed"]
    state: Any = row["state"].decode()
    unseen = row["unseen"].decode()
    return Operation(
        id=operation_id,
        kind=plan.kind,
        state=state,
        filter=_shown(plan.filter),
        begin=plan.begin or None,
        rate=plan.rate,
        limit=plan.limit or None,
        who=plan.who,
        reason=plan.reason,
        **counts,
        finding=state == "running" and bool(row["after"]),
        unseen=int(unseen) if unseen else None,
        left=max(0, counts["matched"] - tried),
        failures=msgspec.json.decode(row["failures"], type=tuple[OperationFailure, ...]),
        waits=row["waits"].decode(errors="replace"),
        created_ms=plan.created_ms,
        updated_ms=int(row["updated_ms"]),
        ended_ms=int(row["ended_ms"]) if "ended_ms" in row else None,
    )


def _shown(filter: Mapping[str, Any]) -> Mapping[str, Any]:
    """The filter; of many ids the first ones, and how many more."""
    ids = filter.get("ids", ())
    if len(ids) <= _MAX_SHOWN_IDS:
        return filter
    return {**filter, "ids": [*ids[:_MAX_SHOWN_IDS], f"and {len(ids) - _MAX_SHOWN_IDS} more"]}


def _about(operation_id: str) -> tuple[str, str]:
    return ("operation", operation_id)
