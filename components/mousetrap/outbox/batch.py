"""Submits rows at once, those of a key in order."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from mousetrap.outbox.entry import Entry, read_entry
from mousetrap.outbox.rows import Refusal, Row, Taken
from mousetrap.outbox.verdicts import UNKNOWN_S, Away, Held, Holds, Refused, Verdict, judge
from mousetrap.settings import masked

#: Submissions that are under way at once.
AT_ONCE = 100
#: Seconds after which no more rows of a batch are begun: their locks are held while it goes on.
_BATCH_S = 20.0

_log = logging.getLogger("mousetrap.outbox")

#: Submits the run of an entry under its run id; returns once it is accepted, and raises where it is not.
Submit = Callable[[Entry], Awaitable[object]]


@dataclass(slots=True)
class Batch:
    """What became of the rows so far; those in neither list stay as they are."""

    ends_s: float
    accepted: list[int] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    #: Why no more of them are begun: broker or store is away.
    away: str = ""


class Batches:
    """Submits batches, and knows which pipelines to pass over."""

    def __init__(self, submit: Submit) -> None:
        self._submit = submit
        self._holds = Holds()
        self._at_once = asyncio.Semaphore(AT_ONCE)

    def held(self) -> frozenset[str]:
        """The pipelines whose rows are not to be taken now."""
        return self._holds.held(time.monotonic())

    def begin(self) -> Batch:
        """A batch without any rows submitted yet."""
        return Batch(time.monotonic() + _BATCH_S)

    async def submit(self, taken: Taken, batch: Batch) -> None:
        """Submits what was taken, and notes each row in `batch` as soon as its end is known."""
        async with asyncio.TaskGroup() as group:
            for rows in by_key(taken.rows):
                group.create_task(self._submit_in_order(rows, batch))

    async def _submit_in_order(self, rows: Sequence[Row], batch: Batch) -> None:
        for row in rows:
            async with self._at_once:
                if batch.away or time.monotonic() > batch.ends_s or row["pipeline"] in self.held():
                    return
                verdict = await self._submit_one(row)
            if verdict is not None:
                self._note(batch, row, verdict)
                return
            batch.accepted.append(row["id"])
            if self._holds.free(row["pipeline"]):
                _log.info("runs of pipeline %s are accepted again", row["pipeline"])

    async def _submit_one(self, row: Row) -> Verdict | None:
        """None where its run was accepted."""
        try:
            await self._submit(read_entry(row))
        except Exception as error:  # noqa: BLE001  the row keeps whatever it is, and the others go on
            return judge(error)
        return None

    def _note(self, batch: Batch, row: Row, verdict: Verdict) -> None:
        pipeline, now_s = row["pipeline"], time.monotonic()
        match verdict:
            case Away(why):
                self._holds.restart_unknown()
                batch.away = batch.away or why
            case Held(why, unknown):
                if self._holds.hold(pipeline, now_s, random.random(), unknown=unknown) == 0:
                    _log.warning("keeps the rows of pipeline %s for later: %s", pipeline, masked(why))
                if unknown and self._holds.unknown_s(pipeline, now_s) >= UNKNOWN_S:
                    _set_aside(batch, row, why)
            case Refused(why):
                self._holds.restart_unknown(pipeline)
                _set_aside(batch, row, why)


def by_key(rows: Sequence[Row]) -> Sequence[Sequence[Row]]:
    """Rows that are to go one after another: those of each key, and each row without a key by itself."""
    groups: dict[object, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["key"] or row["id"], []).append(row)
    return list(groups.values())


def _set_aside(batch: Batch, row: Row, why: str) -> None:
    batch.refused.append(Refusal(row["id"], masked(why)))
    facts = {"run": row["run_id"], "pipeline": row["pipeline"]}
    _log.error("sets row %s aside: %s", row["id"], masked(why), extra=facts)
