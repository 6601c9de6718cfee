"""Cancels or repeats the selected runs, or all that match a filter."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mousetrap.dashboard.facts import Facts, Problem, Refused
from mousetrap.dashboard.run_filter import ENDED, OPEN, RunFilter, read_filter
from mousetrap.dashboard.view import Act, Done, Page, PageRoute, Query, Show, View
from mousetrap.dashboard.words import address, typed_number
from mousetrap.shapes import Operation, RunPage
from mousetrap.shutdown import end_tasks

#: Above this many runs the act's word is to be typed.
_MANY = 1_000
#: Runs of one request while they are counted, and requests at most.
_COUNTED, _COUNTS = 200, 12
#: Runs that can be selected: those of a page, and of a few more.
_MOST_SELECTED = 200
#: Of these so many are acted on at a time: one after the other, two hundred took seconds.
_AT_A_TIME = 10
#: By the act's name: its word, and the states that it is for where none is given.
_WORDS = {"cancel": "cancel", "rerun": "re-run"}
_DONE = {"cancel": "cancelled", "rerun": "repeated"}
_STATES = {"cancel": OPEN, "rerun": ENDED}


@dataclass(frozen=True, slots=True)
class Ask:
    """The page that asks before it acts on many runs."""

    act: str
    word: str
    filter: RunFilter
    #: The selected runs; none where all that match are acted on.
    selected: tuple[str, ...]
    everything: bool
    count: int
    #: Whether there are more than were counted.
    more: bool
    #: A random text, with which a second click does nothing twice.
    key: str
    given: Query
    error: str = ""
    problem: Problem | None = None

    @property
    def typed(self) -> bool:
        """Whether the word is to be typed."""
        return self.more or self.count > _MANY


def _show(act: str) -> Show:
    async def show(view: View, facts: Facts) -> Page:
        return _page(await _asked(act, view.query, facts))

    return show


def _act(act: str) -> Act:
    async def carry_out(view: View, form: Query, facts: Facts) -> Done | Page:
        asked = await _asked(act, form, facts)
        if not asked.selected and not asked.everything:
            return _page(asked, status=422)
        if asked.typed and form.one("typed").lower() != asked.word:
            return _page(asked, f"type {asked.word} to go on", status=422)
        try:
            return await (_operate(asked, facts) if asked.everything else _each(asked, facts))
        except Refused as refused:
            if refused.problem.status != 422:
                raise
            return _page(asked, problem=refused.problem, status=422)

    return carry_out


async def _asked(act: str, given: Query, facts: Facts) -> Ask:
    wanted, selected = read_filter(given), tuple(dict.fromkeys(given.all("run")))[:_MOST_SELECTED]
    everything = given.one("all") == "1"
    count, more = await _count(act, wanted, facts) if everything else (len(selected), False)
    key = given.one("key") or secrets.token_hex(16)
    return Ask(act, _WORDS[act], wanted, () if everything else selected, everything, count, more, key, given)


def _page(asked: Ask, error: str = "", problem: Problem | None = None, status: int = 200) -> Page:
    what = f"{asked.word.capitalize()} {'all runs that match' if asked.everything else 'the selected runs'}?"
    shown = replace(asked, error=error, problem=problem)
    return Page(what, "runs_bulk.html", shown, status=status, part="runs")


async def _count(act: str, wanted: RunFilter, facts: Facts) -> tuple[int, bool]:
    """How many runs match, and whether there are more than were counted."""
    states: Sequence[str] = [wanted.given["state"]] if "state" in wanted.given else _STATES[act]
    if "repaired" in wanted.given:  # of runs that failed alone
        states = [state for state in states if state == "failed"]
    count, asked = 0, 0
    for state in states:
        after: str | None = ""
        while after is not None:
            if count > _MANY or asked == _COUNTS:
                return min(count, _MANY), True
            query: dict[str, Any] = {**wanted.given, "state": str(state), "limit": _COUNTED}
            page = await facts.get("/runs", RunPage, query | ({"after": after} if after else {}))
            count, asked, after = count + len(page.runs), asked + 1, page.next
    return count, False


async def _operate(asked: Ask, facts: Facts) -> Done:
    """Begins the operation on all that match."""
    body: dict[str, Any] = asked.filter.body()
    if rate := asked.given.one("rate"):
        body["rate"] = typed_number(rate)
    if asked.act == "rerun":
        body["from"] = asked.given.one("begin") or "start"
    headers = {"Idempotency-Key": asked.key, **_reason(asked)}
    operation = (await facts.send("POST", f"/runs/{asked.act}", body, headers=headers)).read(Operation)
    return Done(address("operations", operation.id), "It has begun, and goes on in the server.")


async def _each(asked: Ask, facts: Facts) -> Done:
    """Acts on the selected runs, some at a time; one that is refused keeps no other from it."""
    at_a_time = asyncio.Semaphore(_AT_A_TIME)
    acts = [asyncio.create_task(_refused(asked, run_id, facts, at_a_time)) for run_id in asked.selected]
    try:
        problems = await asyncio.gather(*acts)
    finally:
        await end_tasks(*acts)
    refused = [problem for problem in problems if problem is not None]
    done = len(asked.selected) - len(refused)
    notice = f"{done} {'run is' if done == 1 else 'runs are'} {_DONE[asked.act]}."
    why = f" {len(refused)} could not be: {refused[0].detail}." if refused else ""
    return Done(f"/runs?{asked.filter.query()}", notice + why)


async def _refused(asked: Ask, run_id: str, facts: Facts, at_a_time: asyncio.Semaphore) -> Problem | None:
    """Acts on one run. Gives the problem where it cannot be acted on; raises Refused for any other."""
    async with at_a_time:
        try:
            await _one(asked, run_id, facts)
        except Refused as error:
            if error.problem.status not in (404, 409):
                raise
            return error.problem
    return None


async def _one(asked: Ask, run_id: str, facts: Facts) -> None:
    path = address("runs", run_id)
    if asked.act == "cancel":
        await facts.send("DELETE", path, headers=_reason(asked))
        return
    headers = {"Idempotency-Key": f"{asked.key}-{run_id}"[:255], **_reason(asked)}
    await facts.send("POST", f"{path}/rerun", {"from": asked.given.one("begin") or "start"}, headers=headers)


def _reason(asked: Ask) -> dict[str, str]:
    reason = asked.given.one("reason")
    return {"Mousetrap-Reason": reason} if reason else {}


ROUTES = tuple(PageRoute(f"/runs/{act}", _show(act), _act(act)) for act in _WORDS)
