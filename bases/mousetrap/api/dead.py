"""Shows dead letters, redrives and discards them."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse
from msgspec import UNSET
from pydantic import BaseModel, ConfigDict, Field, field_validator

from mousetrap.api.access import may_operate, may_read
from mousetrap.api.audit import WithAudit
from mousetrap.api.bodies import body_of, given_input, takes
from mousetrap.api.filters import Discard, LetterFilter, Listed, Redrive
from mousetrap.api.known import KnownQueue
from mousetrap.api.operations import BEGINNING, OperationKey, begin_operation
from mousetrap.api.problems import ABSENT, NO_ACCESS, Kind, Problem, refusals
from mousetrap.api.routes import Route
from mousetrap.api.services import WithDeadLetters, WithNotes, WithServices, WithStore
from mousetrap.dead_letters import DeadLetter, DeadLetters, NotEditable, Repaired, Selection, group, line
from mousetrap.jobs import PayloadUnusable, StoreUnreachable
from mousetrap.letter_notes import MOST_CHARACTERS, LetterNotes, Noted
from mousetrap.pipeline import Payload, payload_as_text, shown_payload
from mousetrap.run_store import RunStore, read_json
from mousetrap.shapes import (
    Discarded,
    Letter,
    LetterGroup,
    LetterGroups,
    LetterLine,
    LetterNote,
    LetterPage,
    Operation,
    Redriven,
    Run,
)

_AWAY = (Kind.BROKER_AWAY, Kind.UNROUTABLE)

router = APIRouter(prefix="/dead", tags=["dead letters"], route_class=Route)


class Edited(BaseModel):
    """The input to redrive a letter with."""

    model_config = ConfigDict(extra="forbid")

    input: Any = Field(None, description="Instead of the stage's former input.")


class Note(BaseModel):
    """A note, and the group that it is on."""

    model_config = ConfigDict(extra="forbid")

    queue: str = Field(min_length=1, max_length=200, description="The queue that gave the letters up.")
    reason: str = Field(min_length=1, max_length=200)
    error: str = Field("", max_length=500, description="The whole name of the error's class; empty for none.")
    text: str = Field(max_length=MOST_CHARACTERS, description="Empty to take the note away.")

    @field_validator("text")
    @classmethod
    def _strip(cls, text: str) -> str:
        return text.strip()


@router.get("", dependencies=[may_read], responses=refusals(*NO_ACCESS, Kind.INVALID_REQUEST, *_AWAY))
async def list_dead(
    dead_letters: WithDeadLetters, store: WithStore, filter: Annotated[Listed, Query()]
) -> LetterPage:
    """Dead letters, newest first, without their payloads; with the tags of their runs, while the store is there."""
    looked = await dead_letters.look(filter.selection())
    newest = looked.letters[-filter.limit :][::-1]
    return LetterPage(
        letters=tuple(await _with_tags(newest, store)),
        matched=len(looked.letters),
        seen=looked.seen,
        unseen=looked.unseen,
    )


@router.get("/groups", dependencies=[may_read], responses=refusals(*NO_ACCESS, Kind.INVALID_REQUEST, *_AWAY))
async def group_dead(
    dead_letters: WithDeadLetters, notes: WithNotes, filter: Annotated[LetterFilter, Query()]
) -> LetterGroups:
    """Dead letters by queue, reason and error, the most frequent first; with the notes on these groups."""
    looked = await dead_letters.look(filter.selection())
    groups = group(looked.letters, int(time.time() * 1000))
    found = await _notes_on(groups, notes)
    noted = tuple(replace(it, note=note) for it, note in zip(groups, found, strict=True))
    return LetterGroups(groups=noted, seen=looked.seen, unseen=looked.unseen)


@router.put(
    "/notes",
    dependencies=[may_operate],
    status_code=204,
    openapi_extra=takes(Note),
    responses=refusals(
        *NO_ACCESS, Kind.BODY_TOO_SLOW, Kind.BODY_TOO_LARGE, Kind.INVALID_REQUEST, Kind.STORE_AWAY
    ),
)
async def note_dead(
    notes: WithNotes, note: Annotated[Note, Depends(body_of(Note))], audit: WithAudit
) -> None:
    """Writes a note on a group of dead letters, in place of the former one; an empty text takes that away.

    It stays when the letters are gone, so that it is there when the cause comes back. The newest five hundred are kept, for up to
    90 days after the last one was written.
    """
    what = {"queue": note.queue, "reason": note.reason, "error": note.error, "text": note.text}
    with audit.act("note", **what) as act:
        written = LetterNote(text=note.text, who=audit.who, at_ms=int(time.time() * 1000))
        await notes.put(Noted(note.queue, note.reason, note.error), written)
        act.count = 1


@router.get(
    "/export",
    dependencies=[may_read],
    response_class=StreamingResponse,
    responses={
        200: {"content": {"application/x-ndjson": {}}, "description": "A letter a line."},
        **refusals(*NO_ACCESS, Kind.INVALID_REQUEST, *_AWAY),
    },
)
async def export_dead(
    dead_letters: WithDeadLetters, filter: Annotated[LetterFilter, Query()]
) -> StreamingResponse:
    """Dead letters with their whole messages, oldest first in each queue, a line of JSON each.

    A line with the member `unseen` ends a queue that holds more letters than can be looked at together.
    """
    selection = filter.selection()
    lines = _lines(dead_letters, selection)
    # The first one is awaited here, so that an absent broker is an error and not the end of a file.
    first = await anext(lines, b"")
    return StreamingResponse(_after(first, lines), media_type="application/x-ndjson")


@router.get(
    "/{queue}/{letter}",
    dependencies=[may_read],
    responses=refusals(*NO_ACCESS, Kind.UNKNOWN_QUEUE, Kind.UNKNOWN_LETTER, *_AWAY),
)
async def show_dead(
    queue: KnownQueue, letter: str, dead_letters: WithDeadLetters, store: WithStore
) -> Letter:
    """A dead letter with its payload, its error, and its run."""
    found = await dead_letters.find(queue, letter)
    if found is None:
        raise _unknown(letter, queue)
    run = await _run_of(found, store)
    job = found.job if found.believed else None
    payload, missing = await _payload_of(found, dead_letters)
    value, broken = read_json(shown_payload(payload)) if payload else (None, None)
    shown = {field.name: getattr(found, field.name) for field in fields(LetterLine)}
    return Letter(
        **shown,
        traceback=_traceback(found, run),
        payload=value,
        payload_reference=(job.reference or None) if job else None,
        payload_error=missing or (f"it cannot be shown as JSON: {broken}" if broken else ""),
        body=None if job else found.message.body.decode(errors="replace"),
        run=run,
    )


_ACTING = refusals(
    *NO_ACCESS, Kind.BODY_TOO_SLOW, Kind.BODY_TOO_LARGE, Kind.INVALID_REQUEST, Kind.NOTHING_SELECTED, *ABSENT
)


@router.post(
    "/redrive",
    dependencies=[may_operate],
    status_code=202,
    response_model=Operation,
    responses=BEGINNING,
    openapi_extra=takes(Redrive),
)
async def redrive_dead(
    services: WithServices,
    filter: Annotated[Redrive, Depends(body_of(Redrive))],
    audit: WithAudit,
    key: OperationKey = None,
) -> Response:
    """Redrives letters, oldest first: each goes back to the queue that gave it up, and its attempts count from one.

    The letters are those that match now: of each queue, the oldest ten thousand. This begins an operation, which goes on in the
    server: GET /operations/{id} shows how far it is.
    """
    return await begin_operation("redrive", filter, services, audit, key)


@router.post("/discard", dependencies=[may_operate], responses=_ACTING, openapi_extra=takes(Discard))
async def discard_dead(
    dead_letters: WithDeadLetters, filter: Annotated[Discard, Depends(body_of(Discard))], audit: WithAudit
) -> Discarded:
    """Removes letters for good, oldest first; export them before, if they may be needed."""
    with audit.act("discard", filter=filter.audited()) as act:
        done = await dead_letters.discard(filter.selected(), limit=filter.limit)
        act.count = done.done
    return Discarded(matched=done.matched, discarded=done.done, left=done.left, unseen=done.unseen)


@router.post(
    "/{queue}/{letter}/redrive",
    dependencies=[may_operate],
    openapi_extra=takes(Edited),
    responses=refusals(
        *NO_ACCESS,
        *(
            Kind.UNKNOWN_QUEUE,
            Kind.UNKNOWN_LETTER,
            Kind.BODY_TOO_SLOW,
            Kind.NOT_EDITABLE,
            Kind.BODY_TOO_LARGE,
        ),
        *(Kind.INVALID_REQUEST, Kind.CONTRACT_BROKEN),
        *ABSENT,
    ),
)
async def redrive_one(
    queue: KnownQueue,
    letter: str,
    dead_letters: WithDeadLetters,
    _: Annotated[Edited, Depends(body_of(Edited))],
    payload: Annotated[bytes | None, Depends(given_input)],
    audit: WithAudit,
) -> Redriven:
    """Redrives one letter, as it is or with another input."""
    with audit.act("redrive" if payload is None else "edit", queue=queue, letter=letter) as act:
        done = await _redrive_one(dead_letters, queue, letter, payload)
        if not done.matched:
            raise _unknown(letter, queue)
        act.count = done.done
    return _redriven(done)


async def _redrive_one(dead_letters: DeadLetters, queue: str, letter: str, payload: bytes | None) -> Repaired:
    if payload is None:
        selection = Selection(queue=queue, ids=frozenset({letter}))
        return await dead_letters.redrive(selection, rate=1000, limit=1)
    try:
        return await dead_letters.redrive_edited(queue, letter, payload)
    except NotEditable as error:
        raise Problem(Kind.NOT_EDITABLE, str(error)) from error


def _redriven(done: Repaired) -> Redriven:
    return Redriven(
        matched=done.matched, redriven=done.done, stale=done.stale, left=done.left, unseen=done.unseen
    )


def _unknown(letter: str, queue: str) -> Problem:
    what = f"{letter} is not, or no longer, a dead letter of {queue}; or another process is looking at it just now"
    return Problem(Kind.UNKNOWN_LETTER, what)


async def _payload_of(letter: DeadLetter, dead_letters: DeadLetters) -> tuple[Payload | None, str]:
    """The letter's input; or why a reference's is not there."""
    try:
        return await dead_letters.payload_of(letter), ""
    except (PayloadUnusable, StoreUnreachable) as error:
        return None, error.outside()


async def _run_of(letter: DeadLetter, store: RunStore) -> Run | None:
    """The letter's run, if the letter is signed by a key of ours and the store has the run."""
    if not letter.believed or letter.run_id is None:
        return None
    with suppress(StoreUnreachable):
        return await store.get(letter.run_id)
    return None


async def _notes_on(groups: Sequence[LetterGroup], notes: LetterNotes) -> Sequence[LetterNote | None]:
    with suppress(StoreUnreachable):
        return await notes.of([Noted(it.queue, it.reason, it.error_kind) for it in groups])
    return [None] * len(groups)


async def _with_tags(letters: Sequence[DeadLetter], store: RunStore) -> Sequence[LetterLine]:
    """The letters with the tags of their runs. Of one that is not ours the run is not believed either."""
    ids = list(dict.fromkeys(it.run_id for it in letters if it.believed and it.run_id))
    runs: Sequence[Run | None] = ()
    with suppress(StoreUnreachable):
        runs = await store.lines(ids)
    tags = {run.id: run.tags for run in runs if run is not None}
    return [replace(it, tags=tags.get(it.run_id or "", ()) if it.believed else ()) for it in letters]


def _traceback(letter: DeadLetter, run: Run | None) -> str:
    """The whole traceback from the run's timeline; else its end, from the letter."""
    failed = [
        event for event in (run.timeline if run else ()) if event.job == letter.message.id and event.failure
    ]
    found = [it.failure.traceback for it in failed if it.failure and it.kind == "gave_up"]
    return found[-1] if found and found[-1].endswith(letter.traceback) else letter.traceback


async def _lines(dead_letters: DeadLetters, selection: Selection) -> AsyncIterator[bytes]:
    """Queue after queue, so that only one queue's letters are in memory at once."""
    for queue in await dead_letters.queues_of(selection):
        looked = await dead_letters.look(replace(selection, queue=queue))
        for letter in looked.letters:
            referred = letter.job is not None and letter.job.reference is not UNSET
            payload = (await _payload_of(letter, dead_letters))[0] if referred else None
            yield line(letter, payload_as_text(payload) if payload else None)
        if looked.unseen:
            yield msgspec.json.encode({"queue": queue, "unseen": looked.unseen}) + b"\n"


async def _after(first: bytes, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for each in lines:
        yield each
