"""Shows dead letters by their cause, and repairs a group."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from mousetrap.charts import Sparkline, sparkline
from mousetrap.dashboard.facts import Facts, Problem, Refused
from mousetrap.dashboard.letter_filter import SINCE_S, letter_filter, selecting
from mousetrap.dashboard.view import Done, File, Page, PageRoute, Query, View
from mousetrap.dashboard.words import number, typed_number
from mousetrap.shapes import (
    Discarded,
    LetterGroup,
    LetterGroups,
    LetterLine,
    LetterNote,
    LetterPage,
    Operation,
    OperationPage,
)

#: Groups of one page, and letters that are listed of one group.
_GROUPS, _LETTERS = 30, 50
#: The most letters of one discard, as in the API.
_MOST_DISCARDED = 1_000
#: What a redrive begins with: slow enough to look at what becomes of the first ones.
_RATE = "10"


@dataclass(frozen=True, slots=True)
class Cause:
    """A group, with the conditions that select it."""

    group: LetterGroup
    filter: Mapping[str, Any]
    #: Of the last hour, five minutes a point.
    spark: Sparkline


@dataclass(frozen=True, slots=True)
class Dead:
    """What the page shows."""

    causes: tuple[Cause, ...]
    #: Groups that have no room on the page.
    more: int
    #: How many letters there are in all groups, how many were looked at, and how many more there are.
    count: int
    seen: int
    unseen: int
    #: The newest letters, where all that is shown is one group.
    letters: tuple[LetterLine, ...]
    operations: tuple[Operation, ...]
    #: What is selected, as the API takes it.
    filter: Mapping[str, Any]
    since: str
    choices: tuple[str, ...] = tuple(SINCE_S)


@dataclass(frozen=True, slots=True)
class Asked:
    """A form that asks before it acts on many letters."""

    act: str
    filter: Mapping[str, Any]
    matched: int
    unseen: int
    #: What was typed, and an id by which a form sent twice begins one operation.
    fields: Mapping[str, str]
    problem: Problem | None = None
    most: int = _MOST_DISCARDED


@dataclass(frozen=True, slots=True)
class Noting:
    """The form of a note on a group."""

    filter: Mapping[str, str]
    text: str
    #: The one that is there.
    kept: LetterNote | None
    problem: Problem | None = None


async def show(view: View, facts: Facts) -> Page:
    """The groups that the address selects, the largest first."""
    filter = letter_filter(view.query, view.now_ms)
    found = await facts.get("/dead/groups", LetterGroups, filter)
    running = await facts.get("/operations", OperationPage, {"state": "running"})
    letters: tuple[LetterLine, ...] = ()
    if len(found.groups) == 1:
        letters = (await facts.get("/dead", LetterPage, {**filter, "limit": _LETTERS})).letters
    dead = Dead(
        causes=tuple(_cause(group, filter) for group in found.groups[:_GROUPS]),
        more=max(0, len(found.groups) - _GROUPS),
        count=sum(group.count for group in found.groups),
        seen=found.seen,
        unseen=found.unseen,
        letters=letters,
        operations=tuple(it for it in running.operations if it.kind == "redrive"),
        filter=filter,
        since=view.query.one("since"),
    )
    return Page("Dead letters", "dead.html", dead, ("operations", "list"), part="dead")


async def ask_redrive(view: View, facts: Facts) -> Page:
    """Asks how many to redrive, and how fast."""
    return await _ask("redrive", view.query, view, facts)


async def redrive(view: View, form: Query, facts: Facts) -> Done | Page:
    """Begins an operation that redrives what the form selects."""
    body = selecting(letter_filter(form, view.now_ms))
    body |= {name: typed_number(text) for name, text in form.given("limit", "rate").items()}
    try:
        reply = await facts.send("POST", "/dead/redrive", body, headers=_headers(form))
    except Refused as refused:
        return await _again("redrive", form, view, facts, refused)
    operation = reply.read(Operation)
    letters = "letter is" if operation.matched == 1 else "letters are"
    return Done(f"/operations/{operation.id}", f"{number(operation.matched)} {letters} being redriven.")


async def ask_discard(view: View, facts: Facts) -> Page:
    """Asks before letters are removed for good."""
    return await _ask("discard", view.query, view, facts)


async def discard(view: View, form: Query, facts: Facts) -> Done | Page:
    """Removes what the form selects."""
    filter = letter_filter(form, view.now_ms)
    body = {**selecting(filter), "limit": _MOST_DISCARDED}
    try:
        reply = await facts.send("POST", "/dead/discard", body, headers=_headers(form))
    except Refused as refused:
        return await _again("discard", form, view, facts, refused)
    done = reply.read(Discarded)
    left = f"; {number(done.left)} of these are left: discard again" if done.left else ""
    back = {name: value for name, value in filter.items() if done.left and name != "before_ms"}
    return Done(f"/dead?{urlencode(back)}", f"{number(done.discarded)} letters are discarded{left}.")


async def ask_note(view: View, facts: Facts) -> Page:
    """The form with the note on a group."""
    return await _note_page(view.query, facts)


async def note(view: View, form: Query, facts: Facts) -> Done | Page:
    """Writes the note, or takes it away."""
    body = {name: form.one(name) for name in ("queue", "reason", "error", "text")}
    try:
        await facts.send("PUT", "/dead/notes", body)
    except Refused as refused:
        if not refused.problem.where:
            raise
        return await _note_page(form, facts, refused.problem)
    return Done("/dead", "The note is kept." if body["text"] else "The note is taken away.")


async def _note_page(query: Query, facts: Facts, problem: Problem | None = None) -> Page:
    """A text that was refused is shown again."""
    filter = query.given("queue", "reason", "error")
    groups = (await facts.get("/dead/groups", LetterGroups, filter)).groups
    kept = next((it.note for it in groups if it.error_kind == query.one("error")), None)
    noting = Noting(filter, query.one("text", kept.text if kept else ""), kept, problem)
    status = problem.status if problem else 200
    return Page("Note on dead letters", "dead_note.html", noting, status=status, part="dead")


async def _ask(act: str, query: Query, view: View, facts: Facts, problem: Problem | None = None) -> Page:
    filter = letter_filter(query, view.now_ms)
    # What dies while someone reads the question is not part of what is asked. A redrive does no harm to it.
    if act == "discard":
        filter.setdefault("before_ms", view.now_ms)
    found = await facts.get("/dead", LetterPage, {**filter, "limit": 1})
    fields = {"key": secrets.token_hex(16), "rate": _RATE, **query.given("limit", "rate", "why", "key")}
    asked = Asked(act, filter, found.matched, found.unseen, fields, problem)
    title = {"redrive": "Redrive dead letters", "discard": "Discard dead letters?"}[act]
    status = problem.status if problem else 200
    return Page(title, "dead_ask.html", asked, status=status, part="dead")


async def _again(act: str, form: Query, view: View, facts: Facts, refused: Refused) -> Page:
    """The form with the error at its field. Raises it again where no field is to blame."""
    if not refused.problem.where:
        raise refused
    return await _ask(act, form, view, facts, refused.problem)


def export(view: View) -> File:
    """What the address selects, a letter a line."""
    return File("dead-letters.ndjson", "/dead/export", letter_filter(view.query, view.now_ms))


def _cause(group: LetterGroup, filter: Mapping[str, Any]) -> Cause:
    return Cause(group, _of_group(group, filter), sparkline(group.recent or (0, 0), 72, 20))


def _of_group(group: LetterGroup, filter: Mapping[str, Any]) -> dict[str, Any]:
    error = {"error": group.error_kind} if group.error_kind else {}
    return {**filter, "queue": group.queue, "reason": group.reason, **error}


def _headers(form: Query) -> dict[str, str]:
    """The reason, and the id by which a form that is sent twice acts once."""
    names = {"Mousetrap-Reason": "why", "Idempotency-Key": "key"}
    return {name: value for name, field in names.items() if (value := form.one(field))}


ROUTES = (
    PageRoute("/dead", show),
    PageRoute("/dead/redrive", ask_redrive, redrive),
    PageRoute("/dead/discard", ask_discard, discard),
    PageRoute("/dead/note", ask_note, note),
    PageRoute("/dead/export", file=export),
)
