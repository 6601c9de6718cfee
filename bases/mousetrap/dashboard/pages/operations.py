"""Shows operations, which repair many at a time, and stops them."""

from dataclasses import dataclass

from mousetrap.dashboard.facts import Facts
from mousetrap.dashboard.view import Done, Page, PageRoute, Query, View
from mousetrap.shapes import Operation, OperationPage

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
    title = f"Operation {operation.id}"
    return Page(
        title,
        "operation.html",
        One(operation, least_s),
        ("state",),
        is_over=not under_way,
        part="dead",
    )


async def ask_stop(view: View, facts: Facts) -> Page:
    """Asks before it is stopped."""
    operation = await facts.get(_path(view), Operation)
    return Page("Stop this operation?", "operation_stop.html", operation, part="dead")


async def stop(view: View, _: Query, facts: Facts) -> Done:
    """Stops it: what it did stays."""
    await facts.send("POST", f"{_path(view)}/stop")
    return Done(_path(view), "The operation is stopped: it tries no more. What it did stays.")


def _path(view: View) -> str:
    return f"/operations/{view.names['operation']}"


ROUTES = (
    PageRoute("/operations", show_all),
    PageRoute("/operations/{operation}", show),
    PageRoute("/operations/{operation}/stop", ask_stop, stop),
)
