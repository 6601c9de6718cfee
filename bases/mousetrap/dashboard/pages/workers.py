"""Shows the workers: what each runs, and which are silent."""

from dataclasses import dataclass

from mousetrap.dashboard.facts import Facts
from mousetrap.dashboard.view import Page, PageRoute, View
from mousetrap.shapes import Cluster, Worker


@dataclass(frozen=True, slots=True)
class Workers:
    """What the page shows."""

    workers: tuple[Worker, ...]
    #: Queues that no worker serves.
    unserved: tuple[str, ...]


async def show(view: View, facts: Facts) -> Page:
    """All workers, silent ones last."""
    found = await facts.get("/workers", list[Worker])
    cluster = await facts.get("/cluster", Cluster)
    workers = tuple(sorted(found, key=lambda it: (it.state == "stale", it.name)))
    return Page(
        "Workers", "workers.html", Workers(workers, tuple(cluster.unserved)), ("list",), part="workers"
    )


ROUTES = (PageRoute("/workers", show),)
