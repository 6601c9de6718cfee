"""Opens, ends and finds packed runs."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from mousetrap.jobs import Failure, MousetrapError, first_job
from mousetrap.run_store.damage import read_json
from mousetrap.run_store.keys import (
    OPENED,
    OPENED_DELAYED,
    packed_job_key,
    packed_run_key,
    run_key,
)
from mousetrap.run_store.packed.naming import Naming
from mousetrap.run_store.packed.openings import Found, NewRun, Openings
from mousetrap.run_store.packed.sender import Sender, function_call, ignore_error, is_away
from mousetrap.run_store.packed.transitions import MarkPublished, RejectRun
from mousetrap.run_store.packed.unpublished import Mark, Page, read_page
from mousetrap.run_store.records import RUN_STATES, RecordBroken, RunFacts, RunRecord, decode_run
from mousetrap.run_store.transitions import CancelRun, ReportProgress, YieldValue
from mousetrap.signing import SignatureRefused
from mousetrap.store_client import Command

#: How long a note waits for others to go with.
_NOTE_DELAY_S = 1.0
#: The first bytes of runs that were ended while their jobs were at work: cancelled and expired.
_ENDED_OUTSIDE = (b"X", b"E")
#: The number of the submission that recorded its run.
_RECORDED_FIRST = 1


class PackedRuns:
    """What submitters, operators and handlers do with packed runs; `unknown` and None stand for a run that is not packed."""

    def __init__(self, sender: Sender, naming: Naming, ttl: int) -> None:
        self._sender = sender
        self._naming = naming
        self._ttl = ttl
        self._openings = Openings(sender, ttl)
        #: Runs that were ended from outside here, by pipeline and state.
        self.ended_outside = Counter[tuple[str, str]]()
        #: Runs opened or found here, whose publish is not noted yet, and whether each may have a delay.
        self._unpublished: dict[str, bool] = {}
        #: What the next note is about: runs that began at once, and those with a delay.
        self._published: list[str] = []
        self._delayed: list[str] = []
        self._noting: asyncio.TimerHandle | None = None
        self._marking: set[asyncio.Task[None]] = set()

    async def now_ms(self) -> int:
        """The server's time. Raises StoreUnreachable."""
        await self._sender.server_known()
        return self._sender.now_ms()

    async def open(self, run: NewRun) -> Found:
        """Records the run unless its id is recorded."""
        found = await self._openings.open(run)
        if found.state != "conflict":
            self._unpublished[run.run_id] = bool(found.due_ms)
        return found

    def forget_unpublished(self, run_id: str) -> None:
        """Nothing will be published of a run that was opened or found here."""
        self._unpublished.pop(run_id, None)

    def mark_published(self, run_id: str) -> bool:
        """Notes that a run's first job is with the broker, within a second; False where the run may not be packed."""
        delayed = self._unpublished.pop(run_id, None)
        (self._delayed if delayed else self._published).append(run_id)
        if self._noting is None:
            self._noting = asyncio.get_running_loop().call_later(_NOTE_DELAY_S, self._note)
        return delayed is not None

    async def unpublished(self, age_ms: int, limit: int, marks: Sequence[Mark]) -> Page:
        """Live runs recorded that long ago whose first job may not be published."""
        await self._noted()
        page = await read_page(self._sender, marks, await self.now_ms() - age_ms, limit)
        self._unpublished.update((it.run_id, it.key == OPENED_DELAYED) for it in page.names)
        return page

    async def states(self, run_ids: Sequence[str]) -> list[bytes | Exception]:
        """The first byte of each run's record; empty for one that is not packed, an error for a damaged one."""
        if not run_ids:
            return []
        return await self._sender.send([("GETRANGE", packed_run_key(run_id), 0, 0) for run_id in run_ids])

    async def look(self, run_id: str) -> str:
        """The state of a run, all that who waits for its end needs; empty for one that is not packed or not readable."""
        (state,) = await self.states([run_id])
        if is_away(state):
            self._sender.value(state)
        if isinstance(state, Exception):
            return ""
        return RUN_STATES.get(state.decode("ascii", "replace"), "")

    async def known(self, run_ids: Sequence[str]) -> set[str]:
        """Those of the runs that are remembered, packed or not."""
        if not run_ids:
            return set()
        there = await self._sender.send(
            [("EXISTS", key(run_id)) for run_id in run_ids for key in (packed_run_key, run_key)]
        )
        return {
            run_id
            for run_id, packed, older in zip(run_ids, there[::2], there[1::2], strict=True)
            if self._sender.value(packed) or self._sender.value(older)
        }

    async def is_older(self, run_id: str) -> bool:
        """Whether the run is one of the older family; one that is not known is not, nor is any in a cluster."""
        if self._sender.is_cluster:  # the older key is in another slot, and its server may be away
            return False
        packed, older = await self._sender.send(
            [("EXISTS", packed_run_key(run_id)), ("EXISTS", run_key(run_id))]
        )
        return bool(self._sender.value(older)) and not self._sender.value(packed)

    async def ended(self, run_ids: Sequence[str]) -> tuple[set[str], list[str]]:
        """Those of the runs that were ended from outside, and those that are not packed.

        A run that failed is not among them: another worker may have died before it published the dead letter, and the message
        that is here is then the only one. Its claim is lost, which the next renewal shows. So is that of one that was rejected: a
        run of which a job is at work was accepted since, and the store has forgotten both.
        """
        states = await self.states(run_ids)
        found = list(zip(run_ids, states, strict=True))
        return {run_id for run_id, state in found if state in _ENDED_OUTSIDE}, [
            run_id for run_id, state in found if state == b""
        ]

    async def record(self, run_id: str) -> RunRecord | None:
        """The run; None for one that is not packed. Raises SignatureRefused for what is no record of ours."""
        (record,) = await self._sender.send([("GET", packed_run_key(run_id))])
        if self._sender.value(record) is None:
            return None
        try:
            return decode_run(record)
        except RecordBroken as error:
            raise SignatureRefused(f"the record in the store is not ours: {error}") from error

    async def job(self, run_id: str, job_id: str) -> bytes | None:
        """The record of a job."""
        (record,) = await self._sender.send([("GET", packed_job_key(run_id, job_id))])
        found: bytes | None = self._sender.value(record)
        return found

    async def withdraw(self, run: NewRun, failure: str) -> None:
        """As `reject`, whether or not this submission has been recorded: one of another that has leaves the run as it is."""
        self._unpublished.pop(run.run_id, None)
        named = (run.facts.pipeline, run.facts.accepted_ms, run.run_id)
        await self._naming.ending("rejected", named, _kind(failure))
        about = (run.run_id, run.first, run.facts.accepted_ms, _RECORDED_FIRST)
        await self._sender.call(RejectRun(*about, failure, self._ttl))

    async def reject(self, run_id: str, accepted_ms: int, number: int, failure: str) -> None:
        """Ends the run unless another submission holds or a worker has met it; of an unknown one a tombstone stays.

        The run was accepted first at `accepted_ms`, and the submission is its `number`th; 0 for whichever.
        """
        self._unpublished.pop(run_id, None)
        try:
            known = await self.record(run_id)
        except SignatureRefused:
            return  # nothing can be noted in a record that cannot be read, and no worker begins a job of it
        first = _first_job_id(run_id, known.facts) if known else ""
        await self._name_ending("rejected", run_id, known, failure)
        (state,) = await self._sender.call(RejectRun(run_id, first, accepted_ms, number, failure, self._ttl))
        self._count_end(known, state)

    async def cancel(self, run_id: str, failure: str) -> str:
        """The state after this. A run that is recorded only after it was looked for here is unknown: no list would name its end."""
        known: RunRecord | None = None
        with suppress(SignatureRefused):  # of one that cannot be read nothing changes
            known = await self.record(run_id)
            if known is None:
                return "unknown"
            await self._name_ending("cancelled", run_id, known, failure)
        (state,) = await self._sender.call(CancelRun(run_id, failure, self._ttl))
        self._count_end(known, state)
        return str(state)

    def _count_end(self, before: RunRecord | None, state: str) -> None:
        """Counts a run that was not in this state before, and whose pipeline is known."""
        if state in ("cancelled", "rejected") and before is not None and before.state != state:
            self.ended_outside[before.facts.pipeline, state] += 1

    async def _name_ending(self, state: str, run_id: str, known: RunRecord | None, failure: str) -> None:
        """Names a run that is to be ended from outside. A tombstone is no run."""
        if known is not None and known.facts.pipeline:
            named = (known.facts.pipeline, known.facts.accepted_ms, run_id)
            await self._naming.ending(state, named, _kind(failure))

    async def report(self, run_id: str, progress: str) -> str:
        """Records the progress of a running handler: `recorded` or `unknown`."""
        (reply,) = await self._sender.call(ReportProgress(run_id, progress))
        return str(reply)

    async def keep_value(self, value: YieldValue) -> str:
        """Keeps a value that a handler yielded."""
        (reply,) = await self._sender.call(value)
        return str(reply)

    async def close(self) -> None:
        """Sends the remaining notes and waits for all replies."""
        await self._noted()
        await self._openings.close()
        await self._sender.close()

    def _note(self) -> None:
        if self._noting is not None:
            self._noting.cancel()
            self._noting = None
        published, self._published = self._published, []
        if published:
            self._sender.send(_unnamed(published)).add_done_callback(ignore_error)
        delayed, self._delayed = self._delayed, []
        if delayed:
            marking = asyncio.create_task(self._mark(delayed))
            self._marking.add(marking)
            marking.add_done_callback(self._marking.discard)

    async def _mark(self, run_ids: Sequence[str]) -> None:
        """Notes that the runs are published, of which the names are taken away only after: they lead to those not noted."""
        marks = [function_call(MarkPublished(run_id)) for run_id in run_ids]
        with suppress(MousetrapError):  # then they are published once more
            await self._sender.send_in_order(marks, _unnamed(run_ids))

    async def _noted(self) -> None:
        """Sends the notes, and waits for the marks among them."""
        self._note()
        if self._marking:
            await asyncio.wait(set(self._marking))


def _unnamed(run_ids: Sequence[str]) -> list[Command]:
    return [("ZREM", key, *run_ids) for key in (OPENED, OPENED_DELAYED)]


def _kind(failure: str) -> str:
    """The kind of a failure; empty for none."""
    read, _ = read_json(failure.encode(), Failure)
    return read.kind if read else ""


def _first_job_id(run_id: str, facts: RunFacts) -> str:
    named = first_job(
        run_id=run_id, pipeline=facts.pipeline, stage=facts.stage, payload=b"null", accepted_ms=0
    )
    return named.id
