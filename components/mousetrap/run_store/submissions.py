"""Opens, publishes and rejects runs."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

import msgspec

from mousetrap.jobs import (
    DEFAULT_PRIORITY,
    Failure,
    MousetrapError,
    Reference,
    TraceContext,
    first_job,
    trace_text,
)
from mousetrap.run_store.connection import StoreConnection
from mousetrap.run_store.keys import run_key
from mousetrap.run_store.packed.openings import NewRun
from mousetrap.run_store.packed.unpublished import BEGIN, Mark
from mousetrap.run_store.records import RunFacts, packs_new_runs
from mousetrap.run_store.signed_records import (
    OPENING,
    Opening,
    Span,
    opening_body,
    packed_opening,
    read_opening,
    sign_opening,
)
from mousetrap.run_store.transitions import OpenRun, Published, RejectRun, Unpublished, text_of

#: For so long after the store failed, a run is recorded before it is published: each message of a run that the store then
#: refuses would need a tombstone.
_AWAY_S = 5.0


class RunConflict(MousetrapError):
    """Another run has this id, or this idempotency key came with another body before: use a new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """When a run may begin and must have begun, in seconds from when it is opened, and what is kept with it."""

    delay_s: float = 0.0
    expires_in: float | None = None
    rerun_of: str = ""
    tags: tuple[str, ...] = ()
    priority: int = DEFAULT_PRIORITY
    trace: TraceContext | msgspec.UnsetType = msgspec.UNSET


class Opened(NamedTuple):
    """The state of a run after `open_run`."""

    #: `new`; `waiting` when it exists, no worker has met it yet, and its first job may not be published; `known` when it is
    #: further.
    state: Literal["new", "waiting", "known"]
    #: Milliseconds since 1970, when the run was accepted first.
    accepted_ms: int
    #: Milliseconds since 1970 after which no job of it starts; None for never.
    expires_ms: int | None = None
    #: Milliseconds since 1970 before which no job of it starts; None for at once.
    due_ms: int | None = None
    #: Seconds from now until then.
    due_in_s: float = 0.0
    #: Whether its record is packed, and so its first job of wire format 5: as it was opened first, by whichever version.
    is_packed: bool = False
    #: Of a packed one that is new or waits: the number of this submission among those of the run.
    number: int = 0


class _Undated(NamedTuple):
    """A run to open, without its times."""

    run_id: str
    facts: RunFacts
    input: bytes
    span: Span


class Abandoned(NamedTuple):
    """Runs that their submitters left recorded and perhaps not published."""

    #: The store's time, in milliseconds since 1970.
    now_ms: int
    run_ids: Sequence[str]
    #: Where the next page begins; empty after the last one.
    marks: Sequence[Mark]


class Submissions(StoreConnection):
    """What a submitter does with a run: open it, note its publish, or reject it."""

    async def open_run(
        self,
        run_id: str,
        pipeline: str,
        stage: str,
        input: bytes,
        *,
        reference: Reference | msgspec.UnsetType = msgspec.UNSET,
        terms: Terms = Terms(),
    ) -> Opened:
        """Records a run before its first job is published. Raises RunConflict when the id is another run's.

        With a `reference` to its input, the run's record holds that in place of the input.
        """
        asked = self._undated(run_id, pipeline, stage, input, reference=reference, terms=terms)
        # The version before may have opened it: recorded a second time, it would run a second time.
        if packs_new_runs() and not await self._packed_runs.is_older(run_id):
            return await self._open_packed(asked)
        state, at, expires, due, left = await self._batches.call(
            OpenRun(
                run=run_id,
                pipeline=pipeline,
                stage=stage,
                input=asked.input.decode(),
                input_reference=asked.facts.input_reference,
                digest=asked.facts.digest,
                expires_in=asked.span.expires,
                delay=asked.span.delay,
                rerun_of=terms.rerun_of,
                tags=asked.facts.tags,
                signature=asked.facts.signature,
                ttl=self._ttl,
            )
        )
        if state == "packed":
            return await self._open_packed(asked)
        return _opened(run_id, state, at, expires, due, left)

    async def _open_packed(self, asked: "_Undated") -> Opened:
        opened = await self.open_drafted(await self._dated(asked))
        if opened.state == "known":  # its submitter publishes nothing, and so notes nothing
            self._packed_runs.forget_unpublished(asked.run_id)
        return opened

    def opens_beside(self) -> bool:
        """Whether a run may be published while its record is on its way: it is packed, and the store is not known to be away."""
        return packs_new_runs() and not self._sender.failed_within(_AWAY_S)

    async def draft_run(
        self, run_id: str, pipeline: str, stage: str, input: bytes, *, terms: Terms = Terms()
    ) -> NewRun:
        """The packed record of a run as of now, which `open_drafted` writes. Raises StoreUnreachable."""
        return await self._dated(self._undated(run_id, pipeline, stage, input, terms=terms))

    async def open_drafted(self, draft: NewRun) -> Opened:
        """As `open_run`. Where the run's first job was claimed before, its record gets what only the draft has."""
        state, at, expires, due, number = await self._packed_runs.open(draft)
        opened = _opened(draft.run_id, state, at, expires, due, max(0, due - draft.facts.accepted_ms))
        return opened._replace(is_packed=True, number=number)

    def withdraw_run(self, draft: NewRun, why: Failure) -> None:
        """As `reject_run`, of a run that `open_drafted` may have recorded: as soon as the store can.

        It is tried for an hour, while this store is open; then its message runs.
        """
        self._withdrawals.add(draft, text_of(why))

    def _undated(
        self,
        run_id: str,
        pipeline: str,
        stage: str,
        input: bytes,
        *,
        reference: Reference | msgspec.UnsetType = msgspec.UNSET,
        terms: Terms,
    ) -> "_Undated":
        if isinstance(reference, msgspec.UnsetType):
            digest, referred = hashlib.sha256(input).hexdigest(), ""
        else:
            input, digest, referred = b"null", reference.sha256, text_of(reference)
        span = Span(math.ceil((terms.expires_in or 0) * 1000), math.ceil(terms.delay_s * 1000))
        body = opening_body(input, referred.encode())
        facts = RunFacts(
            pipeline=pipeline,
            stage=stage,
            digest=digest,
            rerun_of=terms.rerun_of,
            tags=text_of(terms.tags) if terms.tags else "",
            priority=terms.priority,
            trace=trace_text(terms.trace),
            signature=sign_opening(run_id, pipeline, stage, body, span, self._keyring),
            input_reference=referred,
        )
        return _Undated(run_id, facts, input, span)

    async def _dated(self, asked: "_Undated") -> NewRun:
        """Raises StoreUnreachable."""
        run_id, facts, input, span = asked
        now = await self._packed_runs.now_ms()
        first = first_job(
            run_id=run_id, pipeline=facts.pipeline, stage=facts.stage, payload=b"null", accepted_ms=0
        )
        dated = msgspec.structs.replace(
            facts,
            accepted_ms=now,
            expires_ms=now + span.expires if span.expires else 0,
            due_ms=now + span.delay if span.delay else 0,
        )
        return NewRun(run_id, dated, input, first.id)

    async def opening(self, run_id: str) -> Opening | None:
        """The start of the run; None for an unknown one. Raises SignatureRefused for a record that is not ours."""
        record = await self._packed_runs.record(run_id)
        # A tombstone is no run.
        if record is not None and record.facts.pipeline:
            return packed_opening(run_id, record, self._keyring)
        async with self._reaching():
            fields = cast(list[bytes | None], await self._client.call("HMGET", run_key(run_id), *OPENING))
        return read_opening(run_id, fields, self._keyring) if fields[0] is not None else None

    def mark_published(self, run_id: str) -> None:
        """Notes, within a second or so, that the run's first job is with the broker for good.

        If the note is lost, the job is published once more, under the same id.
        """
        if not self._packed_runs.mark_published(run_id):
            self._batches.note(Published(run_id))

    async def unpublished(
        self, *, age: float, limit: int = 100, marks: Sequence[Mark] = BEGIN
    ) -> "Abandoned":
        """A page of the runs recorded at least `age` seconds ago whose first job may not be published: their submitter died.

        At most `limit` with a delay, and as many without; `marks` are those of the page before.
        """
        now_ms, older = 0, []
        if marks is BEGIN:  # of runs before wire format 5 there is no other page: they end, and none is added
            _, now_ms, *older = await self._batches.call(Unpublished(int(age * 1000), limit))
        page = await self._packed_runs.unpublished(int(age * 1000), limit, marks)
        # One that was rejected, and then accepted with a delay or without, has both names.
        run_ids = dict.fromkeys([*older, *(it.run_id for it in page.names)])
        return Abandoned(now_ms or await self._packed_runs.now_ms(), list(run_ids), page.following)

    async def known(self, run_ids: Sequence[str]) -> set[str]:
        """Those of the runs that are remembered."""
        return await self._packed_runs.known(run_ids)

    async def reject_run(self, run_id: str, why: Failure, opened: Opened | None = None) -> None:
        """Withdraws one submission: ends the run unless another submission holds, or a worker has met the run.

        With what it `opened`, a call that comes twice counts once.
        """
        failure = text_of(why)
        if await self._packed_runs.is_older(run_id):
            await self._batches.call(RejectRun(run_id, failure, self._ttl))
        else:
            accepted_ms, number = (opened.accepted_ms, opened.number) if opened else (0, 0)
            await self._packed_runs.reject(run_id, accepted_ms, number, failure)


def _opened(run_id: str, state: str, at: int, expires: int, due: int, left: int) -> Opened:
    if state == "conflict":
        raise RunConflict(
            f"run {run_id} exists with another input or pipeline: use a new id or idempotency key"
        )
    known: Any = "new" if state == "opened" else state
    return Opened(known, at, expires or None, due or None, left / 1000)
