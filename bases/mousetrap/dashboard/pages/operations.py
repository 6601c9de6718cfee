"""Shows operations, which repair many at a time, and stops them."""

from collections import Counter
from dataclasses import dataclass

from mousetrap.dashboard.facts import Facts
from mousetrap.dashboard.letter_filter import CONDITIONS
from mousetrap.dashboard.view import Done, Page, PageRoute, Query, View
from mousetrap.dashboard.words import address, url
from mousetrap.shapes import Operation, OperationPage, RunLine, RunPage

#: Runs of the page of one.
_RUNS = 25
_STATES = ("running", "done", "stopped", "failed")


@dataclass(frozen=True, slots=True)
class Operations:
    """What the list shows."""

    operations: tuple[Operation, ...]
    #: Of these alone; empty for all.
    state: str
    #: Where the page of earlier ones begins.
    next: str | None
    states: tuple[str, ...] = _STATES


@dataclass(frozen=True, slots=True)
class One:
    """What the page of one shows."""

    operation: Operation
    #: The least that is left of its time, in seconds; None where that is not known.
    least_s: float | None
    #: Some of the runs that it acted on, those that failed first, and how many there are in each state.
    runs: tuple[RunLine, ...]
    counts: tuple[tuple[str, int], ...]
    #: Of a redrive, where the letters are that it was about.
    letters: str


async def show_all(view: View, facts: Facts) -> Page:
    """The operations, newest first."""
    state = view.query.one("state")
    asked = view.query.given("after") | ({"state": state} if state in _STATES else {})
    found = await facts.get("/operations", OperationPage, asked)
    shown = Operations(found.operations, state, found.next)
    return Page("Operations", "operations.html", shown, ("list",), part="dead")


async def show(view: View, facts: Facts) -> Page:
    """One operation: what it is to do, and how far it is."""
    operation = await facts.get(_path(view), Operation)
    under_way = operation.state == "running"
    counts = under_way and not operation.finding and operation.rate > 0  # a damaged record can have any rate
    least_s = operation.left / operation.rate if counts else None
    runs = (await facts.get(f"{_path(view)}/runs", RunPage)).runs
    shown = One(
        operation,
        least_s,
        runs=tuple(sorted(runs, key=lambda it: it.state != "failed"))[:_RUNS],
        counts=tuple(Counter(str(run.state) for run in runs).most_common()),
        letters=_letters(operation),
    )
    is_over = not under_way and all(run.state.ended for run in runs)
    title = f"Operation {operation.id}"
    return Page(title, "operation.html", shown, ("state",), is_over=is_over, part="dead")


async def ask_stop(view: View, facts: Facts) -> Page:
    """Asks before it is stopped."""
    operation = await facts.get(_path(view), Operation)
    return Page("Stop this operation?", "operation_stop.html", operation, part="dead")


async def stop(view: View, _: Query, facts: Facts) -> Done:
    """Stops it: what it did stays."""
    await facts.send("POST", f"{_path(view)}/stop")
    return Done(_path(view), "The operation is stopped: it tries no more. What it did stays.")


def _letters(operation: Operation) -> str:
    """The address of the letters that it was about. Letters that were selected by their ids have none."""
    given = {name: value for name, value in operation.filter.items() if name in CONDITIONS}
    return url("dead", **given) if given or not operation.filter else ""


def _path(view: View) -> str:
    return address("operations", view.names["operation"])


ROUTES = (
    PageRoute("/operations", show_all),
    PageRoute("/operations/{operation}", show),
    PageRoute("/operations/{operation}/stop", ask_stop, stop),
)
