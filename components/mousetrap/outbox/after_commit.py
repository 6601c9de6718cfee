"""Calls a function once a session's transaction is committed."""

import inspect
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.util import await_only

# Importing it needs greenlet, which a caller with a sync session may not have.
if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

_log = logging.getLogger("mousetrap.outbox")

Call = Callable[[], object]


def after_commit(session: "Session | AsyncSession", call: Call) -> None:
    """Calls `call` right after the session's transaction is committed; never where it, or its savepoint, is rolled back.

    With an AsyncSession the call may be asynchronous; `commit` returns once it has ended. What it raises is logged and not
    raised: the transaction is committed by then. A process that dies between the commit and the end of the call loses it;
    `submit_on_commit` does not. Raises ValueError where the session has no transaction yet, TypeError for an asynchronous
    call of a sync session.
    """
    sync: Session = getattr(session, "sync_session", None) or cast(Session, session)
    if sync is session and inspect.iscoroutinefunction(call):
        raise TypeError("a Session cannot await: give a sync call, or use an AsyncSession")
    transaction = sync.get_nested_transaction() or sync.get_transaction()
    if transaction is None:
        raise ValueError("the session has no transaction yet: change something first, or begin one")
    _calls_of(sync).add(transaction, call)


class _Calls:
    """The calls of one session, each with the transaction or savepoint that it belongs to."""

    def __init__(self) -> None:
        self._calls: list[tuple[SessionTransaction, Call]] = []

    def add(self, transaction: SessionTransaction, call: Call) -> None:
        self._calls.append((transaction, call))

    def committed(self, session: Session) -> None:
        """A savepoint's calls become its parent's; those of the whole transaction are made."""
        savepoint = session.get_nested_transaction()
        if savepoint is None:
            due, self._calls = self._calls, []
            for _, call in due:
                _make(call)
        elif savepoint.parent is not None:
            parent = savepoint.parent
            self._calls = [(parent if of is savepoint else of, call) for of, call in self._calls]

    def ended(self, _session: Session, transaction: SessionTransaction) -> None:
        """What is still of it was not committed."""
        self._calls = [(of, call) for of, call in self._calls if of is not transaction]


def _calls_of(session: Session) -> _Calls:
    calls: _Calls | None = session.info.get(_Calls)
    if calls is None:
        calls = session.info[_Calls] = _Calls()
        event.listen(session, "after_commit", calls.committed)
        event.listen(session, "after_transaction_end", calls.ended)
    return calls


def _make(call: Call) -> None:
    try:
        result = call()
        if inspect.isawaitable(result):
            await_only(result)
    except Exception:  # noqa: BLE001  whatever it is, the transaction is committed
        _log.exception("a call after a commit failed, and is not repeated; the transaction is committed")
