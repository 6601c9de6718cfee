"""Shows what serves this page: versions, broker, store, settings."""

from collections import Counter
from dataclasses import dataclass

from mousetrap import shapes
from mousetrap.dashboard.facts import Facts
from mousetrap.dashboard.view import Page, PageRoute, View
from mousetrap.shapes import Worker


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page shows."""

    about: shapes.About
    #: How many workers have each version.
    versions: tuple[tuple[str, int], ...]


async def show(view: View, facts: Facts) -> Page:
    """The server that answers."""
    about = await facts.get("/about", shapes.About)
    workers = await facts.get("/workers", tuple[Worker, ...]) if view.may("read") else ()
    versions = Counter(worker.version for worker in workers if worker.state != "stale")
    return Page("About", "about.html", Shown(about, tuple(sorted(versions.items()))), ("health",))


ROUTES = (PageRoute("/about", show),)
