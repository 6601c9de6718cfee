"""Shows limits: who holds them, and who waits."""

from dataclasses import dataclass

from mousetrap.dashboard.facts import Facts
from mousetrap.dashboard.view import Page, PageRoute, View
from mousetrap.shapes import Limit

#: Limits of one page.
_LIMITS = 40


@dataclass(frozen=True, slots=True)
class Limits:
    """What the page shows."""

    limits: tuple[Limit, ...]
    start: int
    count: int
    most: int = _LIMITS


async def show_all(view: View, facts: Facts) -> Page:
    """The limits of all stages, those first for which most wait."""
    every = await facts.get("/limits", list[Limit])
    every.sort(key=lambda it: (-it.waiting, it.stage))
    start = view.query.place("start")
    data = Limits(tuple(every[start : start + _LIMITS]), start, len(every))
    return Page("Limits", "limits.html", data, ("list",), part="queues")


ROUTES = (PageRoute("/limits", show_all),)
