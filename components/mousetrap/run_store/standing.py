"""Reads where open jobs of a run stand, for people who ask."""

from collections.abc import Sequence

import msgspec

from mousetrap.run_store.connection import StoreConnection
from mousetrap.run_store.damage import is_damage
from mousetrap.run_store.keys import OPENED, OPENED_DELAYED, lock_key
from mousetrap.run_store.packed.heads import ask, job_head
from mousetrap.run_store.records import HEAD, RecordBroken, decode_head
from mousetrap.store_client import ReplyError


class Holder(msgspec.Struct, frozen=True):
    """Who holds a lock. Times are milliseconds since 1970; 0 and empty where that is not known."""

    run_id: str
    worker: str = ""
    since_ms: int = 0
    until_ms: int = 0


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A job's record, as far as it shows what the job waits for. Times are milliseconds since 1970; 0 for none."""

    #: As in the store: running, retrying, outage, waiting, redriven, done, dead.
    state: str = ""
    attempt: int = 1
    starts: int = 1
    suspect: bool = False
    worker: str = ""
    claimed_ms: int = 0
    #: 0 of one that was handed back.
    until_ms: int = 0
    decided_ms: int = 0
    due_ms: int = 0
    #: Since when it waits for a lock or a limit, and for an outage to end.
    waiting_ms: int = 0
    outage_ms: int = 0
    #: The lock that it waits for, and the limit.
    needs: str = ""
    limit: str = ""


class Standings(StoreConnection):
    """What holds the jobs of a run up, by their records. Runs of earlier wire formats have none of these."""

    async def standings(self, run_id: str, jobs: Sequence[str]) -> Sequence[Standing | None]:
        """Where each of the jobs stands; None for one that was never claimed, or whose record cannot be read."""
        async with self._reaching():
            heads = await ask(self._client.pipeline, [job_head(run_id, job) for job in jobs]) if jobs else []
        return [read_standing(head) for head in heads]

    async def holder(self, lock: str) -> Holder | None:
        """Who holds the lock; None where it is free."""
        async with self._reaching():
            fields = ("job", "run", "until_ms", "fence")
            (held,) = await ask(self._client.pipeline, [("HMGET", lock_key(lock), *fields)])
            job, run, until, fence = (None,) * 4 if is_damage(held) else held
            if not job or not run:
                return None
            run_id = run.decode(errors="replace")
            (head,) = await ask(self._client.pipeline, [job_head(run_id, job.decode(errors="replace"))])
        taken = read_standing(head)
        # A lock's fence is never less than the time at which it was taken.
        since_ms = taken.claimed_ms if taken else _number(fence)
        return Holder(run_id, taken.worker if taken else "", since_ms, _number(until))

    async def unpublished_since(self, run_id: str) -> int | None:
        """When the run was recorded, if its first message is not known to be published."""
        async with self._reaching():
            replies = await self._client.pipeline(
                [("ZSCORE", key, run_id) for key in (OPENED, OPENED_DELAYED)]
            )
        return next((int(float(it)) for it in replies if it and not isinstance(it, ReplyError)), None)


def read_standing(head: object) -> Standing | None:
    """The standing in the head of a job's record; None where it has none."""
    if not isinstance(head, bytes) or not head:
        return None
    try:
        state, _ = decode_head(head)
        facts = msgspec.json.decode(head[HEAD:].partition(b"\n")[0], type=Standing)
    except (RecordBroken, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return msgspec.structs.replace(facts, state=state)


def _number(value: object) -> int:
    return int(value) if isinstance(value, bytes) and value.isdigit() and len(value) <= 15 else 0
