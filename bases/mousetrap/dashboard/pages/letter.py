"""Shows one dead letter, redrives it with the same or another input."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from mousetrap import shapes
from mousetrap.dashboard.changes import Changes, changes, mark_of
from mousetrap.dashboard.facts import Facts, Problem, Refused
from mousetrap.dashboard.input_form import is_same
from mousetrap.dashboard.json_tree import Tree, json_tree
from mousetrap.dashboard.view import Done, Page, PageRoute, Query, View
from mousetrap.dashboard.words import address
from mousetrap.schema_form import indented
from mousetrap.shapes import Discarded, Event, Pipeline, Redriven

#: Events of the job that the page shows, the newest ones.
_EVENTS = 50
#: Characters of a foreign message, and of an input that can be edited here; more than a page should hold.
_BODY, _EDITABLE = 20_000, 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter(shapes.Letter):
    """A letter whose payload is kept as it was written."""

    # No default: with one, msgspec 0.22 takes nothing but `null` here.
    payload: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page shows."""

    letter: Letter
    #: None where the letter has no payload to show.
    tree: Tree | None
    #: The beginning of a message that is no job of ours, and how many characters are left out.
    body: str
    body_left: int
    #: What happened to its job, oldest first, and how many events came before.
    events: tuple[Event, ...]
    events_before: int
    #: Whether its input can be edited here.
    is_editable: bool


@dataclass(frozen=True, slots=True)
class Edit:
    """The form with another input."""

    letter: Letter
    text: str
    #: The contract of its stage's input, as JSON Schema; empty where it is not known here.
    schema: str
    why: str = ""
    problem: Problem | None = None
    #: What is other in it, to be looked at before it is sent.
    changes: Changes | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """The form that asks before it is removed."""

    letter: Letter
    why: str = ""
    problem: Problem | None = None


async def show(view: View, facts: Facts) -> Page:
    """The letter that the address names."""
    letter = await facts.get(_path(view), Letter)
    run = letter.run
    events = [event for event in (run.timeline if run else ()) if event.job == letter.id]
    body = letter.body or ""
    shown = Shown(
        letter=letter,
        tree=json_tree(bytes(letter.payload)) if _has_payload(letter) else None,
        body=body[:_BODY],
        body_left=max(0, len(body) - _BODY),
        events=tuple(events[-_EVENTS:]),
        events_before=max(0, len(events) - _EVENTS),
        is_editable=_is_editable(letter),
    )
    return Page(f"Dead letter {letter.id}", "letter.html", shown, part="dead")


async def redrive(view: View, form: Query, facts: Facts) -> Done:
    """Redrives it as it is."""
    letter = await facts.get(_path(view), Letter)
    reply = await facts.send("POST", f"{_path(view)}/redrive", headers=_why(form))
    return _redriven(reply.read(Redriven), letter)


async def ask_edit(view: View, facts: Facts) -> Page:
    """The form with its input."""
    letter = await facts.get(_path(view), Letter)
    text = indented(bytes(letter.payload)) if _is_editable(letter) else ""
    return await _edit_page(letter, text, facts)


async def edit(view: View, form: Query, facts: Facts) -> Done | Page:
    """Redrives it with the input of the form."""
    text = form.one("input")
    try:
        _check_json(text)
        letter = await facts.get(_path(view), Letter)
        if (seen := _unseen(text.encode(), bytes(letter.payload), form)) is not None:
            page = await _edit_page(letter, text, facts, form.one("why"))
            return replace(page, data=replace(page.data, changes=seen))
        body = b'{"input":' + text.encode() + b"}"
        reply = await facts.send("POST", f"{_path(view)}/redrive", body, headers=_why(form))
    except Refused as refused:
        if refused.problem.where is None:
            raise
        letter = await facts.get(_path(view), Letter)
        return await _edit_page(letter, text, facts, form.one("why"), refused.problem)
    return _redriven(reply.read(Redriven), letter)


def _unseen(text: bytes, stored: bytes, form: Query) -> Changes | None:
    """What is other in an input that was not looked at yet."""
    is_seen = form.one("seen") == mark_of(text)
    return None if is_seen or is_same(text, stored) else changes(stored, text)


async def ask_discard(view: View, facts: Facts) -> Page:
    """Asks before it is removed for good."""
    return _discard_page(Asked(await facts.get(_path(view), Letter)))


async def discard(view: View, form: Query, facts: Facts) -> Done | Page:
    """Removes it for good."""
    body = {"queue": view.names["queue"], "ids": [view.names["letter"]]}
    try:
        reply = await facts.send("POST", "/dead/discard", body, headers=_why(form))
    except Refused as refused:
        if refused.problem.where is None:
            raise
        letter = await facts.get(_path(view), Letter)
        return _discard_page(Asked(letter, form.one("why"), refused.problem))
    done = reply.read(Discarded).discarded
    return Done("/dead", "The letter is discarded." if done else "The letter was gone before.")


def _redriven(done: Redriven, letter: Letter) -> Done:
    to = address("runs", letter.run_id) if letter.run_id and letter.believed else "/dead"
    if done.redriven:
        return Done(
            to,
            f"The letter is redriven: its job is in {letter.queue} again, and its attempts count from one.",
        )
    if done.stale:
        return Done(to, "The letter is dropped: its run has gone on without it, or needs it no more.")
    return Done(
        address("dead", letter.queue, letter.id),
        "Another process holds the letter just now: redrive it again.",
    )


async def _edit_page(
    letter: Letter, text: str, facts: Facts, why: str = "", problem: Problem | None = None
) -> Page:
    edit = Edit(letter, text, await _schema(letter, facts), why, problem)
    return Page(
        "Edit and redrive", "letter_edit.html", edit, status=problem.status if problem else 200, part="dead"
    )


def _discard_page(asked: Asked) -> Page:
    status = asked.problem.status if asked.problem else 200
    return Page("Discard this dead letter?", "letter_discard.html", asked, status=status, part="dead")


async def _schema(letter: Letter, facts: Facts) -> str:
    if not letter.pipeline or not letter.stage:
        return ""
    try:
        pipeline = await facts.get(address("pipelines", letter.pipeline), Pipeline)
    except Refused:  # it is not known here, or contradicted: the API decides what it takes
        return ""
    schemas: Mapping[str, Any] = {stage.name: stage.input for stage in pipeline.stages}
    return json.dumps(schemas[letter.stage], indent=2) if letter.stage in schemas else ""


def _check_json(text: str) -> None:
    """Raises Refused, with the line, for what is no JSON: the API's own parser counts bytes."""
    try:
        json.loads(text, parse_int=str)
    except (ValueError, RecursionError) as error:
        detail = f"this is no JSON: {error}"
        raise Refused(
            Problem(status=422, title="The input is no JSON", detail=detail, where="input")
        ) from None


def _has_payload(letter: Letter) -> bool:
    is_left_out = letter.payload_reference is not None and bytes(letter.payload) == b"null"
    return letter.body is None and not letter.payload_error and not is_left_out


def _is_editable(letter: Letter) -> bool:
    return letter.believed and _has_payload(letter) and len(bytes(letter.payload)) <= _EDITABLE


def _why(form: Query) -> dict[str, str]:
    why = form.one("why")
    return {"Mousetrap-Reason": why} if why else {}


def _path(view: View) -> str:
    return address("dead", view.names["queue"], view.names["letter"])


ROUTES = (
    PageRoute("/dead/{queue}/{letter}", show),
    PageRoute("/dead/{queue}/{letter}/redrive", act=redrive),
    PageRoute("/dead/{queue}/{letter}/edit", ask_edit, edit),
    PageRoute("/dead/{queue}/{letter}/discard", ask_discard, discard),
)
