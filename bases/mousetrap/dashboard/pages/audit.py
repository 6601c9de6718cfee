"""Shows the audit trail: who changed what, how many, and why."""

from dataclasses import dataclass

from mousetrap.dashboard.facts import Facts
from mousetrap.dashboard.view import Page, PageRoute, Query, View
from mousetrap.shapes import AuditEntry, AuditPage

_LIMIT = 50
#: Acts that the form offers; others can be written in the address.
ACTS = ("cancel", "discard", "edit", "note", "redrive", "rerun", "stop")


@dataclass(frozen=True, slots=True)
class Audit:
    """What the page shows."""

    entries: tuple[AuditEntry, ...]
    #: Whether a filter is given.
    is_filtered: bool
    #: Whether this is a page of earlier entries.
    is_later_page: bool
    #: The query of the page of earlier entries; None where there are none.
    next: Query | None
    acts: tuple[str, ...] = ACTS


async def show(view: View, facts: Facts) -> Page:
    """The entries that match, newest first."""
    asked = view.query.given("act", "who", "after")
    page = await facts.get("/audit", AuditPage, {**asked, "limit": _LIMIT})
    following = view.query.but(after=page.next) if page.next else None
    shown = Audit(page.entries, bool(view.query.given("act", "who")), "after" in asked, following)
    return Page("Audit", "audit.html", shown, ("list",), is_over="after" in asked)


ROUTES = (PageRoute("/audit", show),)
