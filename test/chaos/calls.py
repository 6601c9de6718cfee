"""Records the calls of workers to the store, with their responses."""

import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TypeVar

import msgspec

from chaos.claims import Asked
from chaos.linearizability import Operation

Answer = TypeVar("Answer")

#: Answers of a call that has had no effect, this time.
_REFUSALS = frozenset(("stale", "over", "unlocked", "lost", "Busy", "Locked", "Limited", "Decided", "Over"))
#: A call that took less was sent once. More calls that may have happened twice would be too many orders.
_RECONNECTED_S = 0.1


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The begin or the end of a call; both ends of one have the same worker and number."""

    worker: str
    number: int
    #: Seconds on the monotonic clock, which all processes of a machine share.
    at: float
    job: str
    run: str
    asked: Asked


class Calls:
    """An append-only file; what a killed process wrote is there, for the kernel lives on."""

    def __init__(self, path: Path, worker: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._worker = worker
        self._numbers = count()

    async def made(
        self,
        asked: Asked,
        about: tuple[str, str],
        call: Awaitable[Answer],
        answered: Callable[[Answer], Asked],
    ) -> Answer:
        """Makes the call about a job and its run, with an entry before it and one for its answer."""
        return await self.made_together([(asked, about)], call, lambda answer: [answered(answer)])

    async def made_together(
        self,
        asked: Sequence[tuple[Asked, tuple[str, str]]],
        call: Awaitable[Answer],
        answered: Callable[[Answer], Iterable[Asked | None]],
    ) -> Answer:
        """Makes one call about several jobs; what was not answered (None) has only the entry before it."""
        begun = [(next(self._numbers), about) for _, about in asked]
        for (number, about), (request, _) in zip(begun, asked, strict=True):
            self._note(number, request, about)
        answer = await call
        for (number, about), each in zip(begun, answered(answer), strict=True):
            if each is not None:
                self._note(number, each, about)
        return answer

    def _note(self, number: int, asked: Asked, about: tuple[str, str]) -> None:
        job, run = about
        entry = Entry(worker=self._worker, number=number, at=time.monotonic(), job=job, run=run, asked=asked)
        os.write(self._file, msgspec.json.encode(entry) + b"\n")


def read_calls(path: Path) -> tuple[Entry, ...]:
    """The entries of all workers, in the order of the file; none where no worker made one."""
    if not path.exists():
        return ()
    *whole, _ = path.read_bytes().split(b"\n")
    return tuple(map(_decoder.decode, whole))


def by_job(
    entries: Iterable[Entry], stoppable: Callable[[str], bool]
) -> Mapping[str, list[Operation[Asked]]]:
    """The calls about each job; `stoppable` is true of a run that may be ended from outside.

    A claim that names its parent's outcome is about that as well. A call whose connection was lost is sent once more: what it was
    refused then can be due to its own first time.
    """
    ends: dict[tuple[str, int], Entry] = {}
    begins: dict[tuple[str, int], Entry] = {}
    for entry in entries:
        (ends if entry.asked.answer else begins)[entry.worker, entry.number] = entry
    jobs: dict[str, list[Operation[Asked]]] = {}
    for which, begin in begins.items():
        end = ends.get(which)
        asked = (end or begin).asked._replace(stoppable=stoppable(begin.run))
        jobs.setdefault(begin.job, []).append(Operation(asked, begin.at, end.at if end else None))
        if end and asked.answer in _REFUSALS and end.at - begin.at > _RECONNECTED_S:
            jobs[begin.job].append(Operation(asked._replace(answer=""), begin.at, None))
        if asked.parent_fence:
            jobs.setdefault(asked.parent, []).append(_implied(asked, begin.at, end.at if end else None))
    return jobs


def _implied(claim: Asked, begin: float, end: float | None) -> Operation[Asked]:
    """What the claim implies of the parent; of one that was not granted, and has not found its job granted, perhaps nothing."""
    implied = Asked("imply", claim.worker, claim.attempt, fence=claim.parent_fence, stoppable=claim.stoppable)
    if claim.answer in ("", "Over"):
        return Operation(implied, begin, None)
    return Operation(implied._replace(answer="implied"), begin, end)


_decoder = msgspec.json.Decoder(Entry)
