"""Reads the jobs that the children of a job led to."""

from collections.abc import AsyncIterator, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from mousetrap.jobs import first_job
from mousetrap.run_store.damage import is_damage
from mousetrap.run_store.keys import fan_keys_key, fan_out_key, packed_job_key
from mousetrap.run_store.packed.chain import next_id
from mousetrap.run_store.packed.fan_state import ask_fan, read_fan
from mousetrap.run_store.records import JobRecord, RecordBroken, decode_job
from mousetrap.store_client import StoreClient

#: Bytes of a child in its fan: how its way ended, and the id of the job that it ended with.
SLOT = 17
#: Slots that are read at once, and ways that are followed at once.
_SLOTS, _WAYS = 4_096, 100
#: Children whose keys are looked for at once, and keys that are scanned at once. The store finds no key by its index, so that all
#: are read: a hundred thousand take 40 ms.
_BATCH, _KEYS = 1_000, 2_000

_model = first_job(run_id="r", pipeline="p", stage="s", payload=b"null", accepted_ms=0)


class StoredJob(NamedTuple):
    """A job as the store has it."""

    id: str
    stage: str
    #: None for one that was never claimed.
    record: JobRecord | None = None
    #: Why its record cannot be read.
    damage: str = ""

    @property
    def has_children(self) -> bool:
        """Whether it has opened some."""
        return self.record is not None and self.record.facts.opens


@dataclass(frozen=True, slots=True)
class Way:
    """A child, and the jobs that followed from it so far, by their stages."""

    index: int
    key: str | None
    jobs: Mapping[str, StoredJob]


class FanRead(NamedTuple):
    """Whose children to read, and which of them."""

    run_id: str
    job_id: str
    #: The stage of these children.
    stage: str
    #: The first index, and the bytes of `lua/packed/fans.lua` that a way may have ended with; None for any.
    first: int = 0
    ends: Container[int] | None = None
    #: The only index, where the stage is a branch of a fork.
    only: int | None = None


class Budget:
    """How much one call may read: records, and a hundredth of that for each slot."""

    def __init__(self, records: int) -> None:
        self._left = records * 100

    def spend(self, *, records: int = 0, slots: int = 0) -> None:
        """Notes what was read."""
        self._left -= records * 100 + slots

    @property
    def is_spent(self) -> bool:
        """Whether no more may be read."""
        return self._left <= 0


async def read_ways(client: StoreClient, fan: FanRead, budget: Budget) -> AsyncIterator[Way | int]:
    """The ways of the children, by index. An index in place of a way: the budget ended before it."""
    async for indexes in _batches(client, fan, budget):
        if isinstance(indexes, int):
            yield indexes
            return
        keys = await _keys_of(client, fan, indexes)
        for start in range(0, len(indexes), _WAYS):
            some = indexes[start : start + _WAYS]
            if budget.is_spent:
                yield some[0]
                return
            for way in await _follow(client, fan, some, keys, budget):
                yield way


async def _batches(client: StoreClient, fan: FanRead, budget: Budget) -> AsyncIterator[Sequence[int] | int]:
    """The indexes whose ways may be asked for, so many at once that their keys are worth a scan of all; or where the budget ended."""
    batch: list[int] = []
    async for indexes in _indexes(client, fan, budget):
        if isinstance(indexes, int):
            yield batch[0] if batch else indexes
            return
        batch += indexes
        while len(batch) >= _BATCH:
            yield batch[:_BATCH]
            batch = batch[_BATCH:]
    if batch:
        yield batch


async def _indexes(client: StoreClient, fan: FanRead, budget: Budget) -> AsyncIterator[Sequence[int] | int]:
    """The indexes that may be asked for, by how their ways ended; or where the budget ended."""
    if fan.only is not None:
        yield [fan.only] if fan.first <= fan.only else []
        return
    (counts,) = await client.pipeline([ask_fan(fan.run_id, fan.job_id)])
    state = read_fan(counts)
    opened = state.opened if state else 0
    budget.spend(records=1)
    for first in range(fan.first, opened, _SLOTS):
        if budget.is_spent:
            yield first
            return
        count = min(_SLOTS, opened - first)
        (slots,) = await client.pipeline(
            [("GETRANGE", fan_out_key(fan.run_id, fan.job_id), first * SLOT, (first + count) * SLOT - 1)]
        )
        raw = b"" if is_damage(slots) else slots
        budget.spend(slots=count)
        ends = raw[::SLOT].ljust(count, b"\0")
        yield [first + place for place, end in enumerate(ends) if fan.ends is None or end in fan.ends]


async def _keys_of(client: StoreClient, fan: FanRead, indexes: Sequence[int]) -> Mapping[int, str]:
    """The keys of these indexes; none of a fan-out without keys. One whose field is damaged is left out."""
    found: dict[int, str] = {}
    wanted, cursor = set(indexes), b"0"
    while wanted:
        (reply,) = await client.pipeline(
            [("HSCAN", fan_keys_key(fan.run_id, fan.job_id), cursor, "COUNT", _KEYS)]
        )
        if is_damage(reply):
            break
        cursor, fields = reply
        for key, value in zip(fields[::2], fields[1::2], strict=True):
            number = value.split(b" ")[0]
            index = int(number) if number.isdigit() else -1
            if index in wanted:
                wanted.discard(index)
                found[index] = key.decode(errors="replace")
        if cursor == b"0":
            break
    return found


async def _follow(
    client: StoreClient, fan: FanRead, indexes: Sequence[int], keys: Mapping[int, str], budget: Budget
) -> list[Way]:
    """The ways at these indexes; one call reads a job of each."""
    parent = msgspec.structs.replace(_model, run_id=fan.run_id, id=fan.job_id)
    ways: list[dict[str, StoredJob]] = [{} for _ in indexes]
    heads = {
        place: (parent.child(fan.stage, b"null", index=index, key=keys.get(index), fence=1).id, fan.stage)
        for place, index in enumerate(indexes)
    }
    while heads:
        records = await client.pipeline(
            [("GET", packed_job_key(fan.run_id, job_id)) for job_id, _ in heads.values()]
        )
        budget.spend(records=len(records))
        following = {}
        for (place, (job_id, stage)), record in zip(heads.items(), records, strict=True):
            if record is None and any(it.has_children for it in ways[place].values()):
                continue  # a join is there once it was claimed: its fan may not have fired
            job = ways[place][stage] = stored(job_id, stage, record)
            if (after := follower(fan.run_id, job)) is not None and after[1] not in ways[place]:
                following[place] = after
        heads = following
    return [Way(index, keys.get(index), jobs) for index, jobs in zip(indexes, ways, strict=True)]


def stored(job_id: str, stage: str, record: Any) -> StoredJob:
    """The job in a reply."""
    if record is None:
        return StoredJob(job_id, stage)
    try:
        if is_damage(record):
            raise RecordBroken(str(record))
        return StoredJob(job_id, stage, decode_job(record))
    except RecordBroken as error:
        return StoredJob(job_id, stage, None, str(error))


def follower(run_id: str, job: StoredJob) -> tuple[str, str] | None:
    """The id and the stage of the job that follows; None where the way has ended, or the job has children."""
    held = job.record
    if held is None or held.state != "done" or held.facts.joins or held.facts.next in ("", "?"):
        return None
    return next_id(run_id, job.id, held.facts.next), held.facts.next
