"""Opens children of jobs, and reads what became of them."""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from mousetrap.jobs import IN_FANS, Done, GiveUp, Job, Place, first_job
from mousetrap.run_store.children import SLOT
from mousetrap.run_store.connection import StoreConnection
from mousetrap.run_store.keys import fan_key, fan_out_key, packed_job_key
from mousetrap.run_store.packed.call import Call
from mousetrap.run_store.packed.heads import read_run_head, run_head
from mousetrap.run_store.records import RecordBroken, decode_job
from mousetrap.run_store.requests import Decision, FanOpening, Window
from mousetrap.run_store.signed_records import read_verdict
from mousetrap.signing import SignatureRefused

#: How a way ended, by the first of them.
_STATES: dict[bytes, Literal["done", "lost", "open"]] = {b"D": "done", b"K": "lost"}

_model = first_job(run_id="r", pipeline="p", stage="s", payload=b"null", accepted_ms=0)


class ChildOutput(msgspec.Struct, frozen=True):
    """What became of one of a job's children."""

    index: int
    #: `open` is one that is not decided yet.
    state: Literal["done", "lost", "open"]
    #: None where its record is gone, and where it was lost with children of its own.
    outcome: Done | GiveUp | None


class _Ended(msgspec.Struct, frozen=True, gc=False):
    index: int
    state: Literal["done", "lost", "open"]
    #: The job that the way ended with; empty for none.
    job_id: str


class Fans(StoreConnection):
    """What a worker does with the children of a job: open them, and give them to their join."""

    async def open_children(self, job: Job, fence: int, window: Window, *, worker: str) -> FanOpening:
        """Lets children of the job be claimed, before they are published; only the newest claim of the job may.

        The same window may be opened again: a call whose reply was lost.
        """
        return await self._packed_work.open_children(job, fence, window, worker)

    async def give_up_fan(self, job: Job, why: GiveUp, *, worker: str) -> Decision:
        """Gives a job up, in place of what it came to, because nothing was decided of its children for long (`Decided.waits_s`), or,
        with the reason `fan-late`, because too few were in time (`Decided.late`).

        Its redrive opens all once more. `stale` where its children are joined meanwhile, or that reason holds no more, or its run has
        failed and may be repaired; `over` when its run has ended otherwise.
        """
        return await self._packed_work.give_up_fan(job, why, worker)

    async def children(self, run_id: str, fan_job: str, first: int, count: int) -> Sequence[ChildOutput]:
        """What became of the children of `fan_job` with the indexes from `first` on, at most `count`, in their order.

        A record that is read is kept as long as any from now on. Raises SignatureRefused for a record that is not ours, or is of
        another job than this child.
        """
        last = (first + count) * SLOT - 1
        async with self._reaching():
            head, slots, late = await self._client.pipeline(
                [
                    run_head(run_id),
                    ("GETRANGE", fan_out_key(run_id, fan_job), first * SLOT, last),
                    ("HGET", fan_key(run_id, fan_job), "late"),
                ]
            )
            run = read_run_head(head)
            ended = _ended(first, slots, left="lost" if late not in (None, b"0") else "open")
            records = await self._records(run_id, fan_job, ended, run.facts.accepted_ms if run else 0)
        if run is None:
            return []
        of = msgspec.structs.replace(_model, v=IN_FANS, run_id=run_id, pipeline=run.facts.pipeline)
        return [
            ChildOutput(it.index, it.state, self._outcome(it, fan_job, record, of))
            for it, record in zip(ended, records, strict=True)
        ]

    async def _records(
        self, run_id: str, fan_job: str, ended: Sequence[_Ended], accepted_ms: int
    ) -> Sequence[bytes | None]:
        """The records of the jobs that the ways ended with, in one call."""
        keys = [packed_job_key(run_id, it.job_id) for it in ended]
        if not keys:
            return []
        call, now = Call(), await self._packed_runs.now_ms()
        call.add("MGET", *keys)
        call.keep_fan(run_id, fan_job, accepted_ms, now, self._ttl)
        call.keep_records(keys, accepted_ms, now, self._ttl)
        records, *_ = await self._client.pipeline(call.commands)
        if isinstance(records, Exception):
            raise records
        return list(records)

    def _outcome(self, ended: _Ended, fan_job: str, record: Any, of: Job) -> Done | GiveUp | None:
        if not record or ended.state == "open":
            return None
        try:
            held = decode_job(record)
        except RecordBroken as error:
            raise SignatureRefused(f"the record in the store is not ours: {error}") from error
        if held.state != ("done" if ended.state == "done" else "dead"):
            return None
        job = msgspec.structs.replace(
            of,
            id=ended.job_id,
            stage=held.facts.stage,
            generation=held.facts.generation,
            fans=(Place(fan_job, ended.index),),
        )
        outcome = read_verdict(held.verdict, job, self._keyring)
        return outcome if isinstance(outcome, Done | GiveUp) else None


def _ended(first: int, slots: Any, left: Literal["lost", "open"]) -> list[_Ended]:
    """How the ways ended, from the bytes of the fan; `left` are those that are not decided. Those behind the last are open."""
    if isinstance(slots, Exception):
        raise slots
    found = []
    for start in range(0, len(slots), SLOT):
        slot = slots[start : start + SLOT]
        is_decided = slot[:1] in _STATES
        state = _STATES[slot[:1]] if is_decided else left
        found.append(_Ended(first + start // SLOT, state, slot[1:].hex() if is_decided else ""))
    return found
