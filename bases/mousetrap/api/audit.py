"""Records acts and refusals in the log, and acts on the trail."""

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import Depends, Header, Request

from mousetrap.api.problems import NotAccepted, Problem
from mousetrap.audit_trail import AuditTrail
from mousetrap.shapes import AuditEntry, Operation

#: Characters of a path or of a name that a caller chose.
_MAX_CHARACTERS = 200
#: Where a request's scope has the name of its caller.
CALLER = "mousetrap.caller"
_PRINTABLE = r"^[ -~]{1,255}$"

_log = logging.getLogger("mousetrap.audit")
# At any MOUSETRAP_LOG_LEVEL: a record that can be switched off is none.
_log.setLevel(logging.INFO)


class _Quoted(str):
    """A text from outside, quoted: it must not look like another field of the line."""

    __slots__ = ()

    def __str__(self) -> str:
        return json.dumps(self[:_MAX_CHARACTERS])


class Done:
    """The result of an act, filled in by the route."""

    def __init__(self) -> None:
        self.outcome = "done"
        self.count: int | str = "unknown"
        self.facts: dict[str, object] = {}


class Audit:
    """Records the acts of one request."""

    def __init__(self, request: Request, reason: str | None) -> None:
        self._request = request
        self.reason = reason or ""

    @property
    def who(self) -> str:
        """The caller."""
        return str(self._request.scope.get(CALLER, "unknown"))

    @contextmanager
    def act(self, act: str, **what: str | dict[str, Any]) -> Iterator[Done]:
        """Writes one record at the end of the block; after an error, with the error as the outcome.

        The count of an act that failed in the middle is unknown: part of it may be done.
        """
        done = Done()
        try:
            yield done
        except Problem as problem:
            done.count, done.outcome = 0, problem.kind
            raise
        except BaseException as error:
            done.outcome = type(error.why if isinstance(error, NotAccepted) else error).__name__
            raise
        finally:
            self._record(act, {**what, **done.facts}, done)

    def _record(self, act: str, what: Mapping[str, object], done: Done) -> None:
        """The log first: it is the record. The trail, which can be listed, may be out of reach."""
        facts = {key: _Quoted(value) if isinstance(value, str) else value for key, value in what.items()}
        result = {"outcome": done.outcome, "count": done.count}
        _log.info("audit", extra={**_who(self._request, act), **facts, **result, **self._why()})
        trail: AuditTrail = self._request.app.state.services.trail
        trail.note(
            AuditEntry(
                at_ms=int(time.time() * 1000),
                **_who(self._request, act),
                outcome=str(done.outcome),
                count=done.count if isinstance(done.count, int) else None,
                reason=self.reason,
                what={key: it[:_MAX_CHARACTERS] if isinstance(it, str) else it for key, it in what.items()},
            )
        )

    def _why(self) -> dict[str, str]:
        return {"reason": _Quoted(self.reason)} if self.reason else {}


async def _audit(
    request: Request,
    reason: Annotated[
        str | None,
        Header(
            alias="Mousetrap-Reason", pattern=_PRINTABLE, description="Why you do this, for the audit log."
        ),
    ] = None,
) -> Audit:
    return Audit(request, reason)


#: For the signatures of routes that change something.
WithAudit = Annotated[Audit, Depends(_audit)]


def note_end(trail: AuditTrail, operation: Operation) -> None:
    """Records the end of an operation, as an act of its caller like its begin."""
    others = {"stale": operation.stale, "failed": operation.failed}
    what = {"operation": operation.id, **{name: count for name, count in others.items() if count}}
    entry = AuditEntry(
        at_ms=operation.ended_ms or operation.updated_ms,
        who=operation.who,
        act=operation.kind,
        outcome=operation.state,
        count=operation.done,
        reason=operation.reason,
        what=what,
    )
    why = {"reason": _Quoted(entry.reason)} if entry.reason else {}
    result = {"outcome": entry.outcome, "count": entry.count}
    _log.info("audit", extra={"who": entry.who, "act": entry.act, "address": "", **what, **result, **why})
    trail.note(entry)


def note_refusal(request: Request, kind: str) -> None:
    """Records that a caller was refused."""
    what = _Quoted(f"{request.method} {request.scope['path']}")
    _log.warning("audit", extra={**_who(request, "refused"), "what": what, "outcome": kind, "count": 0})


def _who(request: Request, act: str) -> dict[str, Any]:
    address = request.client.host if request.client else ""
    return {"who": request.scope.get(CALLER, "unknown"), "act": act, "address": address}
