"""Repeats a run from a stage on, its input edited or not."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from mousetrap.dashboard import commands
from mousetrap.dashboard.changes import Changes, changes, mark_of
from mousetrap.dashboard.facts import Facts, Problem, Refused
from mousetrap.dashboard.input_form import (
    MOST_BYTES,
    ONCE,
    InputForm,
    as_text,
    is_same,
    new_once,
    on_one_line,
    once_key,
    sent,
    with_value,
)
from mousetrap.dashboard.view import Done, Page, PageRoute, Query, View
from mousetrap.dashboard.words import address
from mousetrap.shapes import Accepted, Pipeline, RunLine, Stage

_REASON = "Mousetrap-Reason"


@dataclass(frozen=True, slots=True)
class Job:
    """The job that a run had at a stage."""

    stage: str
    # No default: with one, msgspec 0.22 takes nothing but `null` here.
    payload: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Rerun:
    """What the page shows."""

    run: RunLine
    #: Where it can begin: `failed`, and stages that have one job in a run.
    places: tuple[str, ...]
    begin: str
    #: The stage itself; empty where the run cannot begin there.
    stage: str
    #: Bytes of the stored input; None where it cannot be asked for.
    size: int | None
    #: None where the stage takes no other input than the stored one.
    input: InputForm | None
    reason: str = ""
    once: str = ""
    curl: str = ""
    command: str = ""
    #: What is wrong with the reason.
    wrong_reason: Problem | None = None
    problem: Problem | None = None
    #: What is other in the input, to be looked at before it is sent.
    changes: Changes | None = None


async def show(view: View, facts: Facts) -> Page:
    """The form, with the input that the run's job at that stage had."""
    shown, stored = await _read(view, facts, view.query.one("stage"))
    return _page(view, shown, stored, Query())


async def rerun(view: View, form: Query, facts: Facts) -> Done | Page:
    """Repeats the run, or does what another button of the form does."""
    shown, stored = await _read(view, facts, form.one("stage"))
    is_act, body = True, b""
    if shown.input:
        edited, is_act = sent(shown.input.schema, form)
        if is_act:
            body, edited = edited.body()
        shown = replace(shown, input=edited)
        if not is_act or edited.errors:
            return _page(view, shown, stored, form, status=422 if is_act else 200)
    body = b"" if is_same(body, stored) else body
    if body and len(stored) <= MOST_BYTES and form.one("seen") != mark_of(body):
        return _page(view, replace(shown, changes=changes(stored, body)), stored, form)
    try:
        reply = await facts.send(
            "POST",
            f"{_path(view)}/rerun",
            _asked(shown.begin, body),
            headers=_headers(form, shown.begin, body),
        )
    except Refused as refused:
        return _refused(view, shown, stored, form, refused.problem)
    run = reply.read(Accepted).run_id
    return Done(address("runs", run), f"This run repeats {view.names['run']} from {shown.stage} on.")


def _asked(begin: str, body: bytes) -> bytes:
    """The request's body; the input in it stays as it was written."""
    given: dict[str, Any] = {"from": begin}
    return msgspec.json.encode({**given, "input": msgspec.Raw(body)} if body else given)


def _headers(form: Query, begin: str, body: bytes) -> Mapping[str, str]:
    reason = form.one("reason")
    key = {"Idempotency-Key": once_key(form, begin.encode(), body)}
    return {**key, **({_REASON: reason} if reason else {})}


def _refused(view: View, shown: Rerun, stored: bytes, form: Query, problem: Problem) -> Page:
    where = problem.where or ""
    if where.startswith("$") and shown.input:
        shown = replace(shown, input=shown.input.refused(problem.detail, where))
    elif where.endswith(_REASON):
        shown = replace(shown, wrong_reason=problem)
    else:
        shown = replace(shown, problem=problem)
    return _page(view, shown, stored, form, status=problem.status)


async def _read(view: View, facts: Facts, begin: str) -> tuple[Rerun, bytes]:
    """What is known of the run and its job there, and the stored input."""
    run = await facts.get(_path(view), RunLine)
    pipeline = await facts.get(address("pipelines", run.pipeline), Pipeline)
    places = _places(run, pipeline)
    begin = begin or places[0]
    shown = Rerun(run, places, begin, stage="", size=None, input=None)
    try:
        job = await facts.get(address("runs", view.names["run"], "jobs", begin), Job)
    except Refused as refused:
        if refused.problem.kind != "rerun-impossible":
            raise
        return replace(shown, problem=refused.problem), b""
    stored = bytes(job.payload)
    stage = next((each for each in pipeline.stages if each.name == job.stage), None)
    edited = _input(stage, stored) if stage and stage.edge != "gather" else None
    return replace(shown, stage=job.stage, size=len(stored), input=edited), stored


def _input(stage: Stage, stored: bytes) -> InputForm:
    if len(stored) > MOST_BYTES:
        return as_text(stage.input, b"")
    return with_value(stage.input, stored)


def _places(run: RunLine, pipeline: Pipeline) -> tuple[str, ...]:
    failed = ("failed",) if run.state == "failed" else ()
    return (*failed, *(stage.name for stage in pipeline.stages if not stage.inside))


def _page(view: View, shown: Rerun, stored: bytes, form: Query, *, status: int = 200) -> Page:
    body, checked = shown.input.body() if shown.input else (b"", None)
    if not (checked and checked.errors) and shown.stage:
        given = "" if is_same(body, stored) else on_one_line(body)
        line, command = _commands(view, shown, given, form.one("reason"))
        shown = replace(shown, curl=line, command=command)
    shown = replace(shown, reason=form.one("reason"), once=form.one(ONCE) or new_once())
    title = f"Re-run {shown.run.pipeline} {shown.run.id}"
    return Page(title, "rerun.html", shown, status=status, part="runs")


def _commands(view: View, shown: Rerun, body: str, reason: str) -> tuple[str, str]:
    key = {"Authorization": "Bearer $MOUSETRAP_API_KEY"} if view.visitor.id else {}
    headers = {**key, **({_REASON: reason} if reason else {})}
    asked = _asked(shown.begin, body.encode()).decode()
    line = commands.curl(view.origin, ("runs", shown.run.id, "rerun"), (), headers, asked)
    options = [("--from", shown.begin), *([("--why", reason)] if reason else [])]
    return line, commands.mousetrap(("rerun", shown.run.id), options, body)


def _path(view: View) -> str:
    return address("runs", view.names["run"])


ROUTES = (PageRoute("/runs/{run}/rerun", show, rerun),)
