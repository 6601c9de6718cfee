"""Derives the events that a packed run's stream does not have.

The stream is the beginning of the timeline (`lua/packed/timeline.lua`). What follows from the records after it gets the ids here
that it would get there: so an event keeps its id when it is written later, and the order of ids is the order of the timeline.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mousetrap.run_store.decode_run import by_name, read_event
from mousetrap.run_store.packed.chain import Chain
from mousetrap.run_store.records import JobRecord, RunRecord
from mousetrap.shapes import Event

#: An entry of a stream: its id and its fields.
Entry = tuple[bytes, Sequence[bytes]]
#: Newest entries of which one has a job, if any in the stream has: at most two in a row are of the run alone.
NEWEST = 3
#: States in which jobs may have events that are not written. Elsewhere all were written when the run ended, and a job that was not
#: is a claim that is about to be taken back.
_UNWRITTEN_IN = ("queued", "completed")


class _Unplaced(NamedTuple):
    """An event without its place."""

    kind: str
    at_ms: int
    stage: str = ""
    job: str = ""
    attempt: int = 0
    worker: str = ""


def job_of(newest: Sequence[Entry]) -> str:
    """The job of the newest entry that has one, of entries with the newest first; empty where none has."""
    jobs = (by_name(fields).get(b"job", b"").decode(errors="replace") for _, fields in newest)
    return next(filter(None, jobs), "")


def order(event_id: str) -> tuple[int, int]:
    """Sorts ids of events; a text that is none comes first."""
    at, _, number = event_id.partition("-")
    return (int(at), int(number or 0)) if at.isdigit() and (number or "0").isdigit() else (0, 0)


def read_events(
    run: RunRecord | None, entries: Sequence[Entry], newest: Sequence[Entry], chain: Chain
) -> Iterator[Event]:
    """The events of the entries, then those that are not written; `newest` are the last entries of the stream."""
    yield from map(read_event, entries)
    if run is None:
        return
    place = order(newest[0][0].decode()) if newest else (0, 0)
    for event in _unwritten(run, chain, begun=bool(newest)):
        place = _after(place, event.at_ms)
        yield Event(
            id=f"{place[0]}-{place[1]}",
            kind=event.kind,
            at_ms=event.at_ms,
            stage=event.stage or None,
            job=event.job or None,
            attempt=event.attempt or None,
            worker=event.worker or None,
        )


def _unwritten(run: RunRecord, chain: Chain, *, begun: bool) -> Iterator[_Unplaced]:
    if not begun:
        yield _Unplaced("accepted", run.facts.accepted_ms, run.facts.stage)
    if run.state in _UNWRITTEN_IN:
        for job_id, job in chain.jobs:
            if not job.facts.logged:
                yield from _of_job(job_id, job)


def _of_job(job_id: str, job: JobRecord) -> Iterator[_Unplaced]:
    facts = job.facts
    about = (facts.stage, job_id, facts.attempt, facts.worker)
    yield _Unplaced("started", facts.claimed_ms, *about)
    if job.state == "done":
        yield _Unplaced("finished", facts.decided_ms, *about)
        if not facts.next:
            yield _Unplaced("completed", facts.decided_ms)


def _after(place: tuple[int, int], at_ms: int) -> tuple[int, int]:
    """The id of an event after the one at `place`, as a stream gives it."""
    last_ms, number = place
    return (at_ms, 0) if at_ms > last_ms else (last_ms, number + 1)
