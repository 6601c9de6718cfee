"""Shows schedules, pauses, changes and fires them."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from mousetrap.dashboard.facts import Facts, Problem, Refused
from mousetrap.dashboard.schedule_members import MEMBERS, changed, moment_ms
from mousetrap.dashboard.view import Act, Done, Page, PageRoute, Query, Show, View
from mousetrap.shapes import Schedule, SchedulePage

_PART = "schedules"
Kind = Literal["run", "pause", "resume", "backfill", "change", "remove"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A form about one schedule: what was typed, and what is wrong with it."""

    schedule: Schedule
    kind: Kind
    typed: Mapping[str, str] = field(default_factory=dict)
    problem: Problem | None = None
    #: Of a run: sent with the form, so that one that is sent twice starts one.
    key: str = field(default_factory=lambda: secrets.token_hex(16))

    members = MEMBERS

    def value(self, name: str, otherwise: str = "") -> str:
        """What a field shows."""
        return self.typed.get(name, otherwise)

    def wrong(self, name: str) -> bool:
        """Whether the problem is about this field; a path into the input is about the input."""
        where = (self.problem.where if self.problem else None) or ""
        place = "input" if where.startswith("$") else where.rpartition(".")[2]
        return place.removesuffix("_ms") == name.removesuffix("_ms")

    @property
    def is_at_a_field(self) -> bool:
        """Whether a field shows the problem."""
        fields = {"backfill": ("from", "to"), "change": tuple(it.name for it in MEMBERS)}
        return any(map(self.wrong, (*fields.get(self.kind, ()), "Mousetrap-Reason")))


#: What each asks for, and the notice once it is done.
_WORDS: Mapping[Kind, tuple[str, str]] = {
    "run": ("Run {} now?", "A run is started, beside the schedule's ticks."),
    "pause": ("Pause {}?", "The schedule is paused: no tick of it fires."),
    "resume": ("Resume {}?", "The schedule is resumed."),
    "backfill": ("Backfill {}?", "The ticks of that span fire, where they have no run."),
    "change": ("Change {}?", "The schedule is changed; new times count from now."),
    "remove": ("Remove {}?", "The schedule is removed; its runs go on."),
}


async def show_all(view: View, facts: Facts) -> Page:
    """The schedules by name."""
    page = await facts.get("/schedules", SchedulePage, view.query.given("after"))
    return Page("Schedules", "schedules.html", page, ("list",), part=_PART)


async def show(view: View, facts: Facts) -> Page:
    """One schedule: what is next, and what became of its last ticks."""
    schedule = await facts.get(_path(view), Schedule)
    return Page(f"Schedule {schedule.name}", "schedule.html", schedule, ("state",), part=_PART)


def _asking(kind: Kind) -> Show:
    async def ask(view: View, facts: Facts) -> Page:
        return _form(Asked(await facts.get(_path(view), Schedule), kind))

    return ask


def _acting(kind: Kind, carry_out: Callable[[View, Query, Facts, Mapping[str, str]], Awaitable[Any]]) -> Act:
    async def act(view: View, form: Query, facts: Facts) -> Done | Page:
        reason = form.one("reason")
        try:
            await carry_out(view, form, facts, {"Mousetrap-Reason": reason} if reason else {})
        except Refused as refused:
            if refused.problem.where is None:
                raise
            schedule = await facts.get(_path(view), Schedule)
            return _form(Asked(schedule, kind, dict(form.pairs), refused.problem), refused.problem.status)
        return Done("/schedules" if kind == "remove" else _path(view), _WORDS[kind][1])

    return act


def _form(asked: Asked, status: int = 200) -> Page:
    title = _WORDS[asked.kind][0].format(asked.schedule.name)
    return Page(title, "schedule_ask.html", asked, status=status, part=_PART)


def _post(kind: Kind) -> Callable[[View, Query, Facts, Mapping[str, str]], Awaitable[Any]]:
    async def post(view: View, form: Query, facts: Facts, headers: Mapping[str, str]) -> None:
        if kind == "run" and (key := form.one("key")):
            headers = {**headers, "Idempotency-Key": key}
        body = {"make_up": bool(form.one("make_up"))} if kind == "resume" else None
        await facts.send("POST", f"{_path(view)}/{kind}", body, headers=headers)

    return post


async def _backfill(view: View, form: Query, facts: Facts, headers: Mapping[str, str]) -> None:
    span = {f"{name}_ms": moment_ms(form.one(name)) for name in ("from", "to")}
    await facts.send("POST", f"{_path(view)}/backfill", span, headers=headers)


async def _change(view: View, form: Query, facts: Facts, headers: Mapping[str, str]) -> None:
    members = changed(await facts.get(_path(view), Schedule), dict(form.pairs))
    await facts.send("PATCH", _path(view), members, headers=headers)


async def _remove(view: View, form: Query, facts: Facts, headers: Mapping[str, str]) -> None:
    await facts.send("DELETE", _path(view), headers=headers)


def _path(view: View) -> str:
    return f"/schedules/{quote(view.names['name'], safe='')}"


ROUTES = (
    PageRoute("/schedules", show_all),
    PageRoute("/schedules/{name}", show),
    PageRoute("/schedules/{name}/run", _asking("run"), _acting("run", _post("run"))),
    PageRoute("/schedules/{name}/pause", _asking("pause"), _acting("pause", _post("pause"))),
    PageRoute("/schedules/{name}/resume", _asking("resume"), _acting("resume", _post("resume"))),
    PageRoute("/schedules/{name}/backfill", _asking("backfill"), _acting("backfill", _backfill)),
    PageRoute("/schedules/{name}/change", _asking("change"), _acting("change", _change)),
    PageRoute("/schedules/{name}/remove", _asking("remove"), _acting("remove", _remove)),
)
