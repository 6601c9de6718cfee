"""Starts a run: a form made of the pipeline's contract."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from mousetrap.dashboard import commands
from mousetrap.dashboard.facts import Facts, Problem, Refused, Reply
from mousetrap.dashboard.input_form import (
    MOST_BYTES,
    ONCE,
    InputForm,
    as_text,
    new_once,
    on_one_line,
    once_key,
    sent,
    with_value,
)
from mousetrap.dashboard.view import Done, Page, PageRoute, Query, View
from mousetrap.dashboard.words import address
from mousetrap.shapes import Accepted, Pipeline, RunPage

#: The options of a run: name of the field, of the query's parameter, of the command's option.
_OPTIONS = (
    ("delay", "--delay"),
    ("at", "--at"),
    ("expires_in", "--expires-in"),
    ("priority", "--priority"),
)
_FIELDS = (*(name for name, _ in _OPTIONS), "tags", "key")
_KEY = "Idempotency-Key"


@dataclass(frozen=True, slots=True)
class Given:
    """The input that an earlier run was started with."""

    id: str
    accepted_ms: int
    # No default: with one, msgspec 0.22 takes nothing but `null` here.
    input: msgspec.Raw
    input_reference: Any = None

    @property
    def can_be_shown(self) -> bool:
        """Whether it is here, and small enough to be edited in a page."""
        return not self.input_reference and len(bytes(self.input)) <= MOST_BYTES


@dataclass(frozen=True, slots=True)
class Start:
    """What the page shows."""

    pipeline: Pipeline
    input: InputForm
    #: What is filled in of the options, and what is wrong with them, by name.
    options: Mapping[str, str]
    errors: Mapping[str, str]
    #: Marks this form: what is sent twice starts one run.
    once: str
    #: The same as commands; empty while a field cannot be read.
    curl: str
    command: str
    #: The run whose input is filled in, or is too large for that.
    given: Given | None = None
    #: Why the API started nothing, where no field is to blame.
    problem: Problem | None = None


async def show(view: View, facts: Facts) -> Page:
    """The form, with the input of the newest run in it, of the run that is asked for, or with the defaults."""
    pipeline = await _pipeline(view, facts)
    given = await _given(view, facts, pipeline.name)
    raw = bytes(given.input) if given and given.can_be_shown else None
    schema = pipeline.stages[0].input
    edited = (
        as_text(schema, raw or b"") if view.query.one("as") == "json" else with_value(schema, raw or None)
    )
    return _page(view, pipeline, edited, Query(), given=given)


async def start(view: View, form: Query, facts: Facts) -> Done | Page:
    """Starts the run, or does what another button of the form does."""
    pipeline = await _pipeline(view, facts)
    edited, is_start = sent(pipeline.stages[0].input, form)
    if not is_start:
        return _page(view, pipeline, edited, form)
    body, edited = edited.body()
    if edited.errors:
        return _page(view, pipeline, edited, form, status=422)
    try:
        reply = await facts.send(
            "POST", f"{_path(view)}/runs", body, query=_query(form), headers={_KEY: _key(form, body)}
        )
    except Refused as refused:
        return _refused(view, pipeline, edited, form, refused.problem)
    return _done(reply)


def _done(reply: Reply) -> Done:
    run = reply.read(Accepted).run_id
    is_repeat = "idempotent-replayed" in {name.lower() for name in reply.headers}
    words = (
        "This run was started before, with the same key: here it is." if is_repeat else "The run is accepted."
    )
    return Done(address("runs", run), words)


def _refused(view: View, pipeline: Pipeline, edited: InputForm, form: Query, problem: Problem) -> Page:
    """The form again, with the error at its field or above all of them."""
    where = problem.where or ""
    if where.startswith("$"):
        return _page(view, pipeline, edited.refused(problem.detail, where), form, status=problem.status)
    name = where.rpartition(".")[2].lower().replace("idempotency-key", "key")
    errors = {name: problem.detail} if name in _FIELDS else {}
    return _page(
        view,
        pipeline,
        edited,
        form,
        errors=errors,
        problem=None if errors else problem,
        status=problem.status,
    )


def _page(
    view: View,
    pipeline: Pipeline,
    edited: InputForm,
    form: Query,
    *,
    status: int = 200,
    errors: Mapping[str, str] | None = None,
    problem: Problem | None = None,
    given: Given | None = None,
) -> Page:
    body, checked = edited.body()
    line, command = ("", "") if checked.errors else _commands(view, pipeline.name, on_one_line(body), form)
    data = Start(
        pipeline=pipeline,
        input=edited,
        options={name: form.one(name) for name in _FIELDS},
        errors=errors or {},
        once=form.one(ONCE) or new_once(),
        curl=line,
        command=command,
        given=given,
        problem=problem,
    )
    return Page(f"Start {pipeline.name}", "start.html", data, status=status, part="pipelines")


def _commands(view: View, name: str, body: str, form: Query) -> tuple[str, str]:
    query = _query(form)
    key = form.one("key")
    pairs = [
        *((name, value) for name, value in query.items() if name != "tags"),
        *(("tags", it) for it in query.get("tags", ())),
    ]
    headers = {"Authorization": "Bearer $MOUSETRAP_API_KEY"} if view.visitor.id else {}
    line = commands.curl(
        view.origin, ("pipelines", name, "runs"), pairs, {**headers, **({_KEY: key} if key else {})}, body
    )
    options = [(option, query[name]) for name, option in _OPTIONS if name in query]
    options += [("--tag", tag) for tag in query.get("tags", ())]
    options += [("--key", key)] if key else []
    return line, commands.mousetrap(("run", name), options, body)


def _query(form: Query) -> dict[str, Any]:
    """The options for the API, which judges them."""
    given: dict[str, Any] = form.given(*(name for name, _ in _OPTIONS))
    tags = [tag.strip() for tag in form.one("tags").split(",") if tag.strip()]
    return {**given, **({"tags": tags} if tags else {})}


def _key(form: Query, body: bytes) -> str:
    return form.one("key") or once_key(form, body, repr(_query(form)).encode())


async def _pipeline(view: View, facts: Facts) -> Pipeline:
    return await facts.get(_path(view), Pipeline)


async def _given(view: View, facts: Facts, pipeline: str) -> Given | None:
    """The run whose input is to be filled in: the one that is asked for, else the newest one."""
    run = view.query.one("from")
    if run == "defaults":
        return None
    if not run:
        newest = (await facts.get("/runs", RunPage, {"pipeline": pipeline, "limit": 1})).runs
        run = newest[0].id if newest else ""
    return await facts.get(address("runs", run), Given) if run else None


def _path(view: View) -> str:
    return address("pipelines", view.names["pipeline"])


ROUTES = (PageRoute("/pipelines/{pipeline}/start", show, start, needs="run"),)
