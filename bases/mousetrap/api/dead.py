"""Shows dead letters, and sends them round again or discards them."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import fields, replace
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import StreamingResponse

from mousetrap.api.access import may_operate, may_read
from mousetrap.api.audit import WithAudit
from mousetrap.api.problems import ABSENT, NO_ACCESS, Problem, refusals
from mousetrap.api.routes import Route
from mousetrap.api.services import WithDeadLetters, WithStore
from mousetrap.api.wishes import Discard, Edited, Page, Redrive, Wish, body_of, given_input, takes
from mousetrap.dead_letters import DeadLetter, DeadLetters, NotEditable, Repaired, Selection, group, line
from mousetrap.jobs import StoreUnreachable
from mousetrap.run_store import RunStore, read_json
from mousetrap.shapes import Discarded, Letter, LetterGroups, LetterLine, LetterPage, Redriven, Run

#: Seconds that the letters of one request may be spread over: nobody should have to wait longer for its answer.
_SPREAD = 5.0
_AWAY = ("broker-away", "unroutable")

router = APIRouter(prefix="/dead", tags=["dead letters"], route_class=Route)


async def _known(queue: Annotated[str, Path(examples=["start_fetch"])], dead_letters: WithDeadLetters) -> str:
    if queue not in dead_letters.queues:
        raise Problem("unknown-queue", f"this server knows: {', '.join(dead_letters.queues)}")
    return queue


KnownQueue = Annotated[str, Depends(_known)]


@router.get("", dependencies=[may_read], responses=refusals(*NO_ACCESS, "invalid-request", *_AWAY))
async def list_dead(dead_letters: WithDeadLetters, page: Annotated[Page, Query()]) -> LetterPage:
    """Dead letters, newest first, without what they carry."""
    looked = await dead_letters.look(page.selection())
    newest = reversed(looked.letters[-page.limit :])
    return LetterPage(
        letters=tuple(newest),
        matched=len(looked.letters),
        seen=looked.seen,
        unseen=looked.unseen,
    )


@router.get("/groups", dependencies=[may_read], responses=refusals(*NO_ACCESS, "invalid-request", *_AWAY))
async def group_dead(dead_letters: WithDeadLetters, wish: Annotated[Wish, Query()]) -> LetterGroups:
    """Dead letters by queue, reason and error, the most frequent first."""
    looked = await dead_letters.look(wish.selection())
    return LetterGroups(groups=tuple(group(looked.letters)), seen=looked.seen, unseen=looked.unseen)


@router.get(
    "/export",
    dependencies=[may_read],
    response_class=StreamingResponse,
    responses={
        200: {"content": {"application/x-ndjson": {}}, "description": "A letter a line."},
        **refusals(*NO_ACCESS, "invalid-request", *_AWAY),
    },
)
async def export_dead(dead_letters: WithDeadLetters, wish: Annotated[Wish, Query()]) -> StreamingResponse:
    """Dead letters with all that they carry, oldest first in each queue, a line of JSON each.

    A line with the member `unseen` ends a queue that holds more letters than can be looked at together.
    """
    selection = wish.selection()
    lines = _lines(dead_letters, selection)
    # The first one is awaited here: a broker that is away is to be an error, and not the end of a file.
    first = await anext(lines, b"")
    return StreamingResponse(_after(first, lines), media_type="application/x-ndjson")


@router.get(
    "/{queue}/{letter}",
    dependencies=[may_read],
    responses=refusals(*NO_ACCESS, "unknown-queue", "unknown-letter", *_AWAY),
)
async def show_dead(
    queue: KnownQueue, letter: str, dead_letters: WithDeadLetters, store: WithStore
) -> Letter:
    """A dead letter with its story: what it carries, where it broke, and what happened to its run."""
    found = await dead_letters.find(queue, letter)
    if found is None:
        raise _unknown(letter, queue)
    run = await _run_of(found, store)
    job = found.job if found.believed else None
    shown = {field.name: getattr(found, field.name) for field in fields(LetterLine)}
    return Letter(
        **shown,
        traceback=_traceback(found, run),
        payload=read_json(job.payload)[0] if job else None,
        body=None if job else found.message.body.decode(errors="replace"),
        run=run,
    )


_ACTING = refusals(
    *NO_ACCESS, "body-too-slow", "body-too-large", "invalid-request", "nothing-selected", *ABSENT
)


@router.post("/redrive", dependencies=[may_operate], responses=_ACTING, openapi_extra=takes(Redrive))
async def redrive_dead(
    dead_letters: WithDeadLetters, wish: Annotated[Redrive, Depends(body_of(Redrive))], audit: WithAudit
) -> Redriven:
    """Sends letters round again, oldest first: each goes back to the queue that gave it up, its attempts counted anew.

    One request takes no more than five seconds of the rate; repeat it while letters are `left`.
    """
    limit = min(wish.limit, max(1, int(wish.rate * _SPREAD)))
    with audit.act("redrive", filter=wish.said()) as act:
        done = await dead_letters.redrive(wish.meant(), rate=wish.rate, limit=limit)
        act.count = done.done
    return _redriven(done)


@router.post("/discard", dependencies=[may_operate], responses=_ACTING, openapi_extra=takes(Discard))
async def discard_dead(
    dead_letters: WithDeadLetters, wish: Annotated[Discard, Depends(body_of(Discard))], audit: WithAudit
) -> Discarded:
    """Forgets letters for good, oldest first; export them before, if somebody may want them."""
    with audit.act("discard", filter=wish.said()) as act:
        done = await dead_letters.discard(wish.meant(), limit=wish.limit)
        act.count = done.done
    return Discarded(matched=done.matched, discarded=done.done, left=done.left, unseen=done.unseen)


@router.post(
    "/{queue}/{letter}/redrive",
    dependencies=[may_operate],
    openapi_extra=takes(Edited),
    responses=refusals(
        *NO_ACCESS,
        *("unknown-queue", "unknown-letter", "body-too-slow", "not-editable", "body-too-large"),
        *("invalid-request", "contract-broken"),
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
    """Sends one letter round again, as it is or with another input."""
    with audit.act("redrive" if payload is None else "edit", queue=queue, letter=letter) as act:
        done = await _sent_again(dead_letters, queue, letter, payload)
        if not done.matched:
            raise _unknown(letter, queue)
        act.count = done.done
    return _redriven(done)


async def _sent_again(dead_letters: DeadLetters, queue: str, letter: str, payload: bytes | None) -> Repaired:
    if payload is None:
        selection = Selection(queue=queue, ids=frozenset({letter}))
        return await dead_letters.redrive(selection, rate=1000, limit=1)
    try:
        return await dead_letters.redrive_edited(queue, letter, payload)
    except NotEditable as error:
        raise Problem("not-editable", str(error)) from error


def _redriven(done: Repaired) -> Redriven:
    return Redriven(
        matched=done.matched, redriven=done.done, stale=done.stale, left=done.left, unseen=done.unseen
    )


def _unknown(letter: str, queue: str) -> Problem:
    what = f"{letter} does not lie in the dead letters of {queue}, or not any more; or somebody else looks at it just now"
    return Problem("unknown-letter", what)


async def _run_of(letter: DeadLetter, store: RunStore) -> Run | None:
    """The run that the letter is of, if it is believed and the store is there and knows it."""
    if not letter.believed or letter.run_id is None:
        return None
    with suppress(StoreUnreachable):
        return await store.get(letter.run_id)
    return None


def _traceback(letter: DeadLetter, run: Run | None) -> str:
    """The whole of it from the run's timeline; else its end, which the letter holds."""
    failed = [
        event for event in (run.timeline if run else ()) if event.job == letter.message.id and event.failure
    ]
    found = [it.failure.traceback for it in failed if it.failure and it.kind == "gave_up"]
    return found[-1] if found and found[-1].endswith(letter.traceback) else letter.traceback


async def _lines(dead_letters: DeadLetters, selection: Selection) -> AsyncIterator[bytes]:
    """Queue after queue, so that no more than one queue's letters are held at once."""
    for queue in dead_letters.queues:
        if selection.queue not in (None, queue):
            continue
        looked = await dead_letters.look(replace(selection, queue=queue))
        for letter in looked.letters:
            yield line(letter)
        if looked.unseen:
            yield msgspec.json.encode({"queue": queue, "unseen": looked.unseen}) + b"\n"


async def _after(first: bytes, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for each in lines:
        yield each
