"""Shows one run: why it waits, what happened, its jobs and values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mousetrap.dashboard.facts import Facts, Problem, Refused
from mousetrap.dashboard.pages.run_pictures import Pictures, run_pictures
from mousetrap.dashboard.pages.run_tabs import Run, Tab, read_tab
from mousetrap.dashboard.reasons import Explained, explained
from mousetrap.dashboard.view import Done, Page, PageRoute, Query, View
from mousetrap.dashboard.words import address
from mousetrap.shapes import JobLine, JobPage, Pipeline, RunLine, RunPage, RunState, Waiting

TABS = ("timeline", "input", "result", "jobs", "logs", "lineage")
#: Dead letters that the head of a failed run names; the tab of its jobs has all.
_LETTERS = 3


@dataclass(frozen=True, slots=True)
class Why:
    """Why a run waits, or who has it."""

    waits: bool
    headline: Explained
    also: tuple[Explained, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page shows."""

    run: Run
    #: None where no process here knows it.
    pipeline: Pipeline | None
    why: Why | None
    #: Jobs that were given up, with where their dead letters are.
    letters: tuple[JobLine, ...]
    #: The newest run that repeats it, and how many do.
    newest_repeat: RunLine | None
    repeats: int
    #: Whether something of it can still begin.
    goes_on: bool
    tab: str
    of_tab: Tab
    pictures: Pictures

    @property
    def can_be_cancelled(self) -> bool:
        """Whether cancelling it would end something: what is damaged is refused."""
        return self.goes_on and self.run.state is not RunState.UNREADABLE


@dataclass(frozen=True, slots=True)
class Asked:
    """A form that asks before it cancels."""

    run: Run
    reason: str = ""
    problem: Problem | None = None


async def show(view: View, facts: Facts) -> Page:
    """The run that the address names."""
    path = _path(view)
    run = await facts.get(path, Run)
    pipeline = await _pipeline(run, facts)
    tab = view.query.one("tab") if view.query.one("tab") in TABS else TABS[0]
    goes_on = _goes_on(run)
    repeats = (await facts.get(f"{path}/reruns", RunPage)).runs if run.state.ended else ()
    shown = Shown(
        run=run,
        pipeline=pipeline,
        why=None if run.state.ended else _why(await facts.get(f"{path}/waiting", Waiting)),
        letters=tuple(await _letters(run, pipeline, facts)),
        newest_repeat=repeats[0] if repeats else None,
        repeats=len(repeats),
        goes_on=goes_on,
        tab=tab,
        of_tab=await read_tab(tab, run, view, facts),
        pictures=await run_pictures(view, facts, run, pipeline),
    )
    regions = ("head", "why", "picture", "shown")
    title = f"{run.pipeline} {run.id}"
    return Page(title, "run.html", shown, regions, is_over=not goes_on, part="runs")


async def ask_cancel(view: View, facts: Facts) -> Page:
    """The page that asks before the run is cancelled, for where there is no script."""
    return _asking(Asked(await facts.get(_path(view), Run)))


async def cancel(view: View, form: Query, facts: Facts) -> Done | Page:
    """Cancels the run."""
    reason = form.one("reason")
    try:
        await facts.send("DELETE", _path(view), headers={"Mousetrap-Reason": reason} if reason else None)
    except Refused as refused:
        if refused.problem.where is None:
            raise
        run = await facts.get(_path(view), Run)
        return _asking(Asked(run, reason, refused.problem), refused.problem.status)
    return Done(address("runs", view.names["run"]), "The run is cancelled: nothing of it begins any more.")


def _asking(asked: Asked, status: int = 200) -> Page:
    return Page(
        f"Cancel {asked.run.pipeline} {asked.run.id}?", "run_cancel.html", asked, status=status, part="runs"
    )


def _path(view: View) -> str:
    return address("runs", view.names["run"])


async def _pipeline(run: Run, facts: Facts) -> Pipeline | None:
    try:
        return await facts.get(address("pipelines", run.pipeline), Pipeline)
    except Refused as refused:
        if refused.problem.status in (404, 409):  # not known here; or workers contradict each other about it
            return None
        raise


def _why(waiting: Waiting) -> Why:
    return Why(waiting.waits, explained(waiting.headline), tuple(map(explained, waiting.also)))


async def _letters(run: Run, pipeline: Pipeline | None, facts: Facts) -> Sequence[JobLine]:
    if pipeline is None or run.state is not RunState.FAILED:
        return ()
    asked: dict[str, Any] = {"state": "failed", "limit": _LETTERS}
    found = await facts.get(address("runs", run.id, "jobs"), JobPage, asked)
    return [job for job in found.jobs if job.letter]


def _goes_on(run: Run) -> bool:
    """Whether the run, or a child of a failed one, has not ended."""
    left = any(fan.state != "fired" and fan.opened > fan.done + fan.lost for fan in run.fans)
    return not run.state.ended or (run.state is RunState.FAILED and left)


ROUTES = (
    PageRoute("/runs/{run}", show),
    PageRoute("/runs/{run}/cancel", ask_cancel, cancel),
)
